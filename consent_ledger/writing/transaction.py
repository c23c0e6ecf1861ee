"""The transaction of one request, laid over that of its group, laid over the database.

A request that fails leaves nothing behind and the others of its group go on; what succeeds is merged into the group
and becomes durable with it. Log indices are taken from the head's size, so that no failure leaves a gap.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from consent_ledger.events import Committed, Rng, chain_hash, make_committed, public_entry
from consent_ledger.log.merkle import leaf_hash
from consent_ledger.registry import Registry
from consent_ledger.state import EMPTY, SubjectState, fold
from consent_ledger.storage.rows import (
    BatchRow,
    ChangeRow,
    HeadRow,
    LeafRow,
    PayloadRow,
    PermitRow,
    PullRow,
    SubjectRow,
    Writes,
)
from consent_ledger.storage.store import LedgerStore
from consent_ledger.v1 import events_pb2 as pb

NEW_SUBJECT = SubjectRow(0, b"", EMPTY)


class Group:
    """The requests of one commit: what they wrote so far, and what they read from the database."""

    def __init__(self, store: LedgerStore, head: HeadRow, registry: Registry, now_ms: int, rng: Rng) -> None:
        """Begin over a durable head; the store's transaction is open."""
        self.store = store
        self.head = head
        self.registry = registry
        self.now_ms = now_ms
        self.rng = rng
        self.writes = Writes()
        self.read_subjects: dict[bytes, SubjectRow] = {}

    @property
    def size(self) -> int:
        """The size of the log with what the group appended."""
        return self.head.size + len(self.writes.leaves)

    def merge(self, transaction: Transaction) -> None:
        """Take over what a request wrote."""
        self.writes.merge(transaction.writes)
        self.registry = transaction.registry


class Transaction:
    """What one request reads and writes."""

    def __init__(self, group: Group) -> None:
        """Begin over what the group holds."""
        self._group = group
        self._store = group.store
        self._first = group.size
        self.writes = Writes()
        self.registry = group.registry
        self.now_ms = group.now_ms
        self.rng = group.rng

    @property
    def next_index(self) -> int:
        """The log index that the next leaf gets."""
        return self._first + len(self.writes.leaves)

    # -- reading ----------------------------------------------------------------------------------------------------

    def subjects(self, ids: Collection[bytes]) -> None:
        """Read subjects ahead, in one query; ``subject`` then costs no query for them."""
        known = self._group.read_subjects
        missing = {key for key in ids if key not in known}
        if missing:
            found = self._store.subjects(sorted(missing))
            known.update((key, found.get(key, NEW_SUBJECT)) for key in missing)

    def subject(self, key: bytes) -> SubjectRow:
        """Return a subject as this request sees it; one that was never written has sequence 0."""
        row = self.writes.subjects.get(key) or self._group.writes.subjects.get(key)
        if row is None:
            if key not in self._group.read_subjects:
                self.subjects((key,))
            row = self._group.read_subjects[key]
        return row

    def state(self, key: bytes) -> SubjectState:
        """Return the state of a subject as this request sees it."""
        return self.subject(key).state

    def batch(self, header_hash: bytes) -> BatchRow | None:
        """Return a batch by its header hash."""
        return self._group.writes.batches.get(header_hash) or self._store.batch(header_hash)

    def batch_by_id(self, sender: str, batch_id: bytes) -> BatchRow | None:
        """Return a batch by (sender, batch id): never by the id alone (pseudonyms.md, rule 1)."""
        for row in self._group.writes.batches.values():
            if (row.sender, row.batch_id) == (sender, batch_id):
                return row
        return self._store.batch_by_id(sender, batch_id)

    def permits(self, header_hash: bytes) -> dict[int, PermitRow]:
        """Return the permits of a batch by position, increasing."""
        stored = self._store.permits(header_hash)
        written = self._group.writes.permits.get(header_hash, {}) | self.writes.permits.get(header_hash, {})
        return dict(sorted((stored | written).items())) if written else stored

    def pull(self, header_hash: bytes, nonce: bytes) -> PullRow | None:
        """Return the answer to a pull that this group or an earlier one gave."""
        return self._group.writes.pulls.get((header_hash, nonce)) or self._store.pull(header_hash, nonce)

    def changes(self, ids: Collection[bytes]) -> dict[bytes, ChangeRow]:
        """Return the answers to these changes that are given already."""
        written = self._group.writes.changes | self.writes.changes
        return self._store.changes(ids) | {key: written[key] for key in ids if key in written}

    def payloads(self, indices: Collection[int]) -> dict[int, PayloadRow]:
        """Return what opens these leaves, as far as it is not erased."""
        wanted = set(indices)
        found = self._store.payloads(wanted)
        for rows in (self._group.writes.payloads, self.writes.payloads):
            found.update((row.idx, row) for row in rows if row.idx in wanted)
        return found

    # -- writing ----------------------------------------------------------------------------------------------------

    def append(self, committed: Committed) -> int:
        """Append a committed event and return its log index; chains and states are the caller's."""
        index = self.next_index
        self.writes.leaves.append(LeafRow(index, committed.entry, leaf_hash(committed.entry)))
        self.writes.payloads.append(PayloadRow(index, committed.salt, committed.event, committed.private))
        return index

    def publish(self, event: pb.PublicEvent) -> int:
        """Append a public event, given its place in their sequence and its time; raises as ``Registry.apply``."""
        event.time_ms = self.now_ms
        event.sequence = self.registry.sequence + 1
        index = self.next_index
        self.registry = self.registry.apply(index, event)
        entry = public_entry(event)
        self.writes.leaves.append(LeafRow(index, entry, leaf_hash(entry)))
        self.writes.public.append(index)
        return index

    def record(
        self, event: pb.Event, subjects: Sequence[bytes], *, reason: int = 0, decided_by: Sequence[int] = ()
    ) -> int:
        """Append an event about these subjects: complete it, link it into their chains, fold it into their states."""
        rows = [self.subject(key) for key in subjects]
        links = [
            pb.SubjectLink(subject=key, subject_seq=row.seq + 1, previous=row.last)
            for key, row in zip(subjects, rows, strict=True)
        ]
        event.time_ms = self.now_ms
        private = pb.PrivatePart(links=links, reason=reason, decided_by=decided_by)  # type: ignore[arg-type]  # an int
        committed = make_committed(event, private, self.rng)
        index = self.append(committed)
        last = chain_hash(committed.commitment)
        for key, row in zip(subjects, rows, strict=True):
            self.link(key, SubjectRow(row.seq + 1, last, fold(row.state, index, event, private)), index)
        return index

    def link(self, key: bytes, row: SubjectRow, index: int) -> None:
        """Store a subject's new chain head and state, and that the leaf at ``index`` is about it."""
        self.writes.subjects[key] = row
        self.writes.entries.append((key, index))

    def put_permit(self, permit: PermitRow) -> None:
        """Store a permit or what became of it."""
        self.writes.permits.setdefault(permit.header_hash, {})[permit.position] = permit
