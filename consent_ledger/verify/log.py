"""Verification of a whole log from its entries: every leaf is read and hashed, and the signed root derived again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.keys import parse_verifier
from consent_ledger.log.merkle import leaf_hashes
from consent_ledger.log.tiles import Frontier
from consent_ledger.v1.events_pb2 import PublicEvent
from consent_ledger.verify.leaves import COMMITMENT_BYTES, COMMITMENT_HEAD, read_entry

Progress = Callable[[int, int], None]
"""(leaves done, leaves in all), called now and then."""

CHUNK = 4096
"""Leaves per step: enough to make hashing the cost, few enough for a smooth progress bar."""


@dataclass(frozen=True, slots=True)
class LogReport:
    """A log that checks: what its checkpoint says, its public events with their indices, and how many commitments."""

    origin: str
    size: int
    root: bytes
    public_events: tuple[tuple[int, PublicEvent], ...]
    commitments: int

    @property
    def erased(self) -> frozenset[int]:
        """Indices of the leaves whose payload was erased lawfully: an ``EntryErased`` names each."""
        return frozenset(index for _, event in self.public_events for index in erased_by(event))


def verify_log(
    entries: Iterable[bytes], checkpoint_note: str, verifier_keys: Sequence[str], progress: Progress | None = None
) -> LogReport:
    """Check that exactly these entries, in this order, are the log that the checkpoint signs.

    ``verifier_keys`` are note keys; the one named as the log's origin must have signed. Raises VerificationError naming
    the leaf where it can be told.
    """
    checkpoint = open_checkpoint(checkpoint_note, [parse_verifier(key) for key in verifier_keys])
    replay = LogReplay()
    rest = iter(entries)
    # One entry more than the log holds is asked for, so that a tail nobody signed shows; no more than that is read.
    while chunk := list(islice(rest, max(1, min(CHUNK, checkpoint.size - replay.size)))):
        if replay.size == checkpoint.size:
            raise VerificationError(f"expected {checkpoint.size} entries as signed, got more")
        replay.add(chunk, leaf_hashes(chunk))
        if progress is not None:
            progress(replay.size, checkpoint.size)
    return replay.finish(checkpoint)


def erased_by(event: PublicEvent) -> list[int]:
    """Return the indices of the entries that a public event says were erased."""
    return [event.entry_erased.index, *event.entry_erased.further] if event.HasField("entry_erased") else []


class LogReplay:
    """A log as it grows from its entries; one pass, memory only for public events and full-tile roots."""

    def __init__(self) -> None:
        """Begin with the empty log."""
        self.tiles: dict[tuple[int, int], bytes] = {}
        self._frontier = Frontier()
        self._public: list[tuple[int, PublicEvent]] = []
        self._public_indices: set[int] = set()

    @property
    def size(self) -> int:
        """How many leaves were added."""
        return self._frontier.size

    @property
    def public_sequence(self) -> int:
        """How many of them are public events: also the sequence number of the last."""
        return len(self._public)

    def add(self, entries: Sequence[bytes], hashes: Sequence[bytes]) -> None:
        """Add the next entries, whose leaf hashes the caller computed; raises VerificationError on an invalid leaf."""
        for index, entry in enumerate(entries, self.size):
            if len(entry) == COMMITMENT_BYTES and entry.startswith(COMMITMENT_HEAD):
                continue  # nearly all of them: half a million a second are checked
            try:
                content = read_entry(entry)
                if not isinstance(content, bytes):
                    self._add_public(index, content)
            except VerificationError as error:
                raise VerificationError(f"leaf {index}: {error}") from None
        for level, index, value in self._frontier.append(hashes):
            self.tiles[level, index] = value

    def finish(self, checkpoint: Checkpoint) -> LogReport:
        """Compare with what the log signed; raises VerificationError."""
        if self.size != checkpoint.size:
            raise VerificationError(f"expected {checkpoint.size} entries as signed, got {self.size}")
        root = self._frontier.root()
        if root != checkpoint.root:
            raise VerificationError(
                f"root of size {self.size}: expected {checkpoint.root.hex()} as signed, got {root.hex()} by the entries"
            )
        public = tuple(self._public)
        return LogReport(checkpoint.origin, self.size, root, public, self.size - len(public))

    def _add_public(self, index: int, event: PublicEvent) -> None:
        # Whoever reads only the public events must be able to see that none is missing.
        if event.sequence != len(self._public) + 1:
            raise VerificationError(f"public event: expected sequence {len(self._public) + 1}, got {event.sequence}")
        for erased in erased_by(event):
            if erased >= index or erased in self._public_indices:
                raise VerificationError(f"EntryErased: expected the index of an earlier commitment, got {erased}")
        self._public.append((index, event))
        self._public_indices.add(index)
