"""Checkpoints that a log gave out before, against the log as it is: one root for each size, for ever (I6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.keys import parse_verifiers
from consent_ledger.log.note import NoteVerifier
from consent_ledger.log.quorum import Quorum
from consent_ledger.log.tiles import root
from consent_ledger.verify.snapshot import Snapshot
from consent_ledger.verify.walk import Walk

PUBLISHED = "published"


class Checkpoints:
    """Judges notes by a log whose leaves were all read; each is opened and hashed once."""

    def __init__(self, walk: Walk, verifiers: Sequence[NoteVerifier], log_keys: Iterable[str] = ()) -> None:
        """Judge with the keys given, and with ``log_keys`` that the log itself names: some are retired since."""
        self._walk = walk
        ever = parse_verifiers(" ".join(log_keys)) if log_keys else ()
        self.verifiers = list({(key.name, key.key_id): key for key in (*verifiers, *ever)}.values())
        self._known: dict[str | bytes, Checkpoint] = {}

    def check(self, note: str | bytes) -> Checkpoint:
        """Return the checkpoint of a note that is one of this log; raises VerificationError."""
        known = self._known.get(note)
        if known is None:
            known = self._known[note] = self._checked(open_checkpoint(note, self.verifiers))
        return known

    def _checked(self, signed: Checkpoint) -> Checkpoint:
        size = self._walk.checkpoint.size
        if signed.origin != self._walk.checkpoint.origin:
            raise VerificationError(f"expected a checkpoint of {self._walk.checkpoint.origin}, got {signed.origin}")
        if signed.size > size:
            raise VerificationError(
                f"expected a size up to {size}, got {signed.size}: this is an older copy of the log"
            )
        found = root(signed.size, self._tile)
        if found != signed.root:
            raise VerificationError(f"root of size {signed.size}: expected {found.hex()}, got {signed.root.hex()}")
        return signed

    def _tile(self, level: int, index: int, width: int) -> bytes:
        first = 256 * index
        if level == 0:
            return bytes(self._walk.hashes[32 * first : 32 * (first + width)])
        tiles = self._walk.replay.tiles
        return b"".join(tiles[level, place] for place in range(first, first + width))


def check_witnessed(snapshot: Snapshot, checkpoints: Checkpoints, quorum: Quorum) -> int | None:
    """Return the size of the newest checkpoint that enough witnesses cosigned, None when there is none or no quorum.

    What is published must be of this log, and have its quorum. Raises VerificationError.
    """
    if PUBLISHED not in snapshot.source.tables():
        return None
    size = None
    for _, note in snapshot.table(PUBLISHED, ("id", "note"), text=frozenset({"note"})):
        size = checkpoints.check(note).size
        quorum.open(note.decode(), checkpoints.verifiers)
    return size if quorum.needed else None
