"""Checkpoints (c2sp.org/tlog-checkpoint): what a log signs about its size and root."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from consent_ledger.log.encoding import MAX_SIZE, decode_base64, decode_decimal, encode_base64
from consent_ledger.log.errors import FormatError, NoteError
from consent_ledger.log.note import NoteSigner, NoteVerifier, open_note, sign_note


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: its origin, its number of leaves, and the root (32 bytes) of their tree."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        """Refuse what has no form as text."""
        if not self.origin or "\n" in self.origin:
            raise FormatError("a checkpoint's origin is one line and not empty")
        if not 0 <= self.size <= MAX_SIZE:
            raise FormatError("a checkpoint's size is from 0 to 2^63-1")
        if len(self.root) != 32:
            raise FormatError(f"a checkpoint's root has 32 bytes, not {len(self.root)}")

    def body(self) -> str:
        """Return the note text: origin, size and base64 of the root, a line each."""
        return f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n"

    @classmethod
    def parse(cls, body: str) -> Checkpoint:
        """Read a note text; raises FormatError, also on extension lines: our log writes none."""
        lines = body.split("\n")
        if len(lines) != 4 or lines[3]:
            raise FormatError("expected a checkpoint of three lines: origin, size, root")
        return cls(lines[0], decode_decimal(lines[1], "tree size"), decode_base64(lines[2]))


def sign_checkpoint(checkpoint: Checkpoint, signers: Iterable[NoteSigner]) -> str:
    """Return the signed note of a checkpoint."""
    return sign_note(checkpoint.body(), signers)


def open_checkpoint(note: str | bytes, verifiers: Sequence[NoteVerifier]) -> Checkpoint:
    """Return the checkpoint of a note that a known key *named as its origin* signed.

    Other known keys (witnesses) may sign too, but cannot speak for the log. Raises NoteError or FormatError
    (c2sp.org/tlog-checkpoint, "Signatures"; c2sp.org/tlog-proof, verification step 2).
    """
    opened = open_note(note, verifiers)
    checkpoint = Checkpoint.parse(opened.text)
    if all(signature.name != checkpoint.origin for signature in opened.signatures):
        signed_by = ", ".join(signature.name for signature in opened.signatures)
        raise NoteError(f"expected a signature by the log {checkpoint.origin}, got only {signed_by}")
    return checkpoint
