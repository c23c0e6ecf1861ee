"""Proof files (c2sp.org/tlog-proof@v1, ``.tlog-proof``): an entry's place in a signed tree, checkable offline."""

from __future__ import annotations

from dataclasses import dataclass

from consent_ledger.log.encoding import MAX_SIZE, decode_base64, decode_decimal, encode_base64
from consent_ledger.log.errors import FormatError

VERSION = "c2sp.org/tlog-proof@v1"
MAX_PATH = 63
"""Longest path in a tree of at most 2^63-1 leaves."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The parts of a proof file: extra data, leaf index, inclusion path (32 bytes each) and the checkpoint's note.

    Parsing says nothing about truth: ``consent_ledger.verify.verify_receipt`` checks.
    """

    extra: bytes
    index: int
    path: tuple[bytes, ...]
    checkpoint_note: str

    def __post_init__(self) -> None:
        """Refuse what has no form as text."""
        if not 0 <= self.index <= MAX_SIZE:
            raise FormatError("a receipt's index is from 0 to 2^63-1")
        if len(self.path) > MAX_PATH:
            raise FormatError(f"a receipt's path has at most {MAX_PATH} hashes, not {len(self.path)}")
        if any(len(value) != 32 for value in self.path):
            raise FormatError("the hashes of a receipt's path have 32 bytes")

    def format(self) -> str:
        """Write the proof file."""
        extra = [f"extra {encode_base64(self.extra)}"] if self.extra else []
        lines = [VERSION, *extra, f"index {self.index}", *map(encode_base64, self.path), "", self.checkpoint_note]
        return "\n".join(lines)

    @classmethod
    def parse(cls, text: str) -> Receipt:
        """Read a proof file; raises FormatError on everything that ``format`` would not write."""
        head, blank, note = text.partition("\n\n")
        if not blank or not note:
            raise FormatError("expected a proof, an empty line and a checkpoint")
        lines = head.split("\n")
        if lines.pop(0) != VERSION:
            raise FormatError(f"expected {VERSION} on the first line")
        extra = b""
        if lines and lines[0].startswith("extra "):
            extra = decode_base64(lines.pop(0).removeprefix("extra "))
            if not extra:
                raise FormatError("expected no extra line where there is no extra data")
        if not lines or not lines[0].startswith("index "):
            raise FormatError("expected an index line")
        index = decode_decimal(lines.pop(0).removeprefix("index "), "index")
        return cls(extra, index, tuple(decode_base64(line) for line in lines), note)
