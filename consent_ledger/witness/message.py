"""What a log sends to a witness: the body of ``add-checkpoint`` (c2sp.org/tlog-witness, "add-checkpoint")."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from consent_ledger.log.encoding import decode_base64, decode_decimal, encode_base64
from consent_ledger.log.errors import FormatError

MAX_PROOF = 63
"""Hashes of a consistency proof: more than any tree needs."""
MAX_BODY = 256 * 1024
"""Bytes: old size, proof, and a checkpoint with dozens of post-quantum signatures."""
SIZE_TYPE = "text/x.tlog.size"
"""Content type of a 409 that says from which size the witness goes on."""
_OLD = "old "


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A checkpoint note, and the proof (hashes of 32 bytes) that its log begins with the log of ``old_size``."""

    old_size: int
    proof: tuple[bytes, ...]
    note: str

    def format(self) -> bytes:
        """Write the body of the request."""
        lines = [f"{_OLD}{self.old_size}", *map(encode_base64, self.proof)]
        return ("\n".join(lines) + "\n\n" + self.note).encode()

    @classmethod
    def parse(cls, body: bytes) -> AddCheckpoint:
        """Read the body of a request; raises FormatError. The note is not looked into."""
        head, blank, note = body.partition(b"\n\n")
        if not blank or not note.endswith(b"\n"):
            raise FormatError("expected an old size line, proof lines, an empty line and a checkpoint")
        try:
            first, *hashes = head.decode("ascii").split("\n")
            text = note.decode()
        except UnicodeDecodeError:
            raise FormatError("expected ASCII lines and a checkpoint in UTF-8") from None
        if not first.startswith(_OLD):
            raise FormatError(f"expected a first line of {_OLD.strip()!r}, a space and a size")
        if len(hashes) > MAX_PROOF:
            raise FormatError(f"expected at most {MAX_PROOF} proof lines, got {len(hashes)}")
        return cls(decode_decimal(first.removeprefix(_OLD), "old size"), tuple(map(_hash, hashes)), text)


def parse_size(body: bytes) -> int:
    """Read the body of a 409 of type ``text/x.tlog.size``; raises FormatError."""
    text = body.decode("ascii", "replace")
    if not text.endswith("\n"):
        raise FormatError("expected a size and a newline")
    return decode_decimal(text[:-1], "size of the latest cosigned checkpoint")


def origin_hash(origin: str) -> str:
    """Return the SHA-256 of an origin in lower-case hex: its place under the monitoring prefix."""
    return sha256(origin.encode()).hexdigest()


def _hash(line: str) -> bytes:
    found = decode_base64(line)
    if len(found) != 32:
        raise FormatError(f"expected proof lines of 32 bytes, got {len(found)}")
    return found
