"""The shape of a request to the sequencer: apply, and once the group is sealed, finish."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, Protocol, TypeVar

from consent_ledger.log.tiles import packed_paths
from consent_ledger.storage.rows import BatchRow, ChangeRow, PayloadRow, PullRow
from consent_ledger.writing.transaction import Group, Transaction, Wanted

Answer = TypeVar("Answer")
Answer_co = TypeVar("Answer_co", covariant=True)
Sign = Callable[[bytes], bytes]
"""Signs one message of the ledger; the label belongs to whoever made it."""


class Sealed:
    """A group whose leaves have their checkpoint but are not durable yet: answers are made and kept here.

    Nothing may leave before the commit. What goes wrong while finishing is fatal: the leaves are in the transaction.
    """

    def __init__(self, group: Group, size: int, checkpoint: str) -> None:
        """Take the signed checkpoint over everything the group appended."""
        self._group = group
        self.size = size
        self.checkpoint = checkpoint

    def paths(self, indices: Collection[int]) -> list[bytes]:
        """Return inclusion proofs (32 bytes a hash) in the tree of the checkpoint, in the order of ``indices``."""
        return packed_paths(indices, self.size, self._group.store.tile)

    def payloads(self, indices: Collection[int]) -> dict[int, PayloadRow]:
        """Return what opens these leaves, those of this group too, as far as it is not erased."""
        return self._group.store.payloads(indices)

    def batch(self, header_hash: bytes) -> BatchRow:
        """Return a batch with its answer, made in this group or before."""
        row = self._group.writes.batches.get(header_hash) or self._group.store.batch(header_hash)
        assert row is not None, "a batch vanished within its own transaction"
        return row

    def pull(self, header_hash: bytes, nonce: bytes) -> PullRow:
        """Return a pull with its answer, made in this group or before."""
        row = self._group.writes.pulls.get((header_hash, nonce)) or self._group.store.pull(header_hash, nonce)
        assert row is not None, "a pull vanished within its own transaction"
        return row

    def keep(self, row: BatchRow | PullRow | ChangeRow) -> None:
        """Store an answer, so that the same request gets it again."""
        writes = self._group.writes
        if isinstance(row, BatchRow):
            writes.batches[row.header_hash] = row
        elif isinstance(row, PullRow):
            writes.pulls[row.header_hash, row.nonce] = row
        else:
            writes.changes[row.change_id] = row


Finish = Callable[[Sealed], Answer]


class Work(Protocol[Answer_co]):
    """One request. ``weight`` is about how many leaves it appends.

    A kind of which many are in one group also has ``wants`` (``read_ahead``).
    """

    @property
    def weight(self) -> int:
        """About how many leaves it appends: groups are bounded by it."""
        ...

    def apply(self, tx: Transaction) -> Callable[[Sealed], Answer_co]:
        """Read, decide and write; raises RegieError when this request is refused, and then nothing of it stays."""
        ...


def read_ahead(group: Group, works: Iterable[Work[Any]]) -> None:
    """Read what requests will look up in a few questions for all of them, instead of a few for each."""
    wanted = Wanted()
    for work in works:
        wants: Callable[[Wanted], None] | None = getattr(work, "wants", None)
        if wants is not None:
            wants(wanted)
    group.read_ahead(wanted)
