"""The transaction of one request, laid over that of its group, laid over the database.

A request that fails leaves nothing behind and the others of its group go on; what succeeds is merged into the group
and becomes durable with it. Log indices are taken from the head's size, so that no failure leaves a gap.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from consent_ledger.decide import ExchangeRequest, Judge, judge_of
from consent_ledger.events import Committed, Rng, chain_hash, make_committed, public_entry
from consent_ledger.log.merkle import leaf_hash
from consent_ledger.registry import Registry
from consent_ledger.state import EMPTY, SubjectState, fold
from consent_ledger.storage.erasures import ErasedRow
from consent_ledger.storage.ports import Store
from consent_ledger.storage.rows import (
    RECENT_BYTES,
    BatchRow,
    ChangeRow,
    HeadRow,
    LeafRow,
    PayloadRow,
    PermitRow,
    PullRow,
    SubjectRow,
    TaskRow,
    Writes,
    pack_indices,
    unpack_indices,
)
from consent_ledger.v1 import events_pb2 as pb

NEW_SUBJECT = SubjectRow(0, b"", EMPTY)


@dataclass(slots=True)
class Wanted:
    """What requests will look up: subjects, batches by (sender, batch id), and changes."""

    subjects: set[bytes] = field(default_factory=set)
    batches: set[tuple[str, bytes]] = field(default_factory=set)
    changes: set[bytes] = field(default_factory=set)


class Group:
    """The requests of one commit: what they wrote so far, and what they read from the database."""

    def __init__(self, store: Store, head: HeadRow, registry: Registry, now_ms: int, rng: Rng) -> None:
        """Begin over a durable head; the store's transaction is open."""
        self.store = store
        self.head = head
        self.registry = registry
        self.now_ms = now_ms
        self.rng = rng
        self.writes = Writes()
        self.subjects: dict[bytes, SubjectRow] = {}  # as the group sees them: what it read, and then wrote
        self._batches: dict[tuple[str, bytes], BatchRow | None] = {}  # by sender and id; None: there is none
        self._changes: dict[bytes, ChangeRow | None] = {}
        self._judged_by = registry
        self._judges: dict[ExchangeRequest, Judge] = {}

    @property
    def size(self) -> int:
        """The size of the log with what the group appended."""
        return self.head.size + len(self.writes.leaves)

    def read_ahead(self, wanted: Wanted) -> None:
        """Read what the requests of the group will look up, in a few questions however many they are."""
        self.read_subjects_ahead(wanted.subjects)
        self._read_batches(wanted.batches)
        self._read_changes(wanted.changes)

    def read_subjects_ahead(self, ids: Collection[bytes]) -> None:
        """Read subjects in one query."""
        missing = sorted(set(ids).difference(self.subjects))
        if missing:
            found = self.store.subjects(missing)
            if len(found) < len(missing):
                self.subjects.update(dict.fromkeys(missing, NEW_SUBJECT))
            self.subjects.update(found)

    def batch_by_id(self, name: tuple[str, bytes]) -> BatchRow | None:
        """Return a batch by (sender, batch id), written in this group or before."""
        if name not in self._batches:
            self._read_batches((name,))
        return self._batches[name]

    def changes(self, ids: Collection[bytes]) -> dict[bytes, ChangeRow]:
        """Return the answers given to these changes in this group or before."""
        self._read_changes(ids)
        rows = {key: self.writes.changes.get(key) or self._changes[key] for key in ids}
        return {key: row for key, row in rows.items() if row is not None}

    def _read_batches(self, names: Collection[tuple[str, bytes]]) -> None:
        missing = {name for name in names if name not in self._batches}
        if missing:
            found = self.store.batches_by_id(missing)
            self._batches.update((name, found.get(name)) for name in missing)

    def _read_changes(self, ids: Collection[bytes]) -> None:
        missing = {key for key in ids if key not in self._changes}
        if missing:
            found = self.store.changes(missing)
            self._changes.update((key, found.get(key)) for key in missing)

    def judge(self, registry: Registry, request: ExchangeRequest) -> Judge:
        """Return what judges subjects of a request; many requests of a group ask the same."""
        if registry is not self._judged_by:
            self._judged_by, self._judges = registry, {}
        judge = self._judges.get(request)
        if judge is None:
            judge = self._judges[request] = judge_of(registry, request, self.now_ms)
        return judge

    def merge(self, transaction: Transaction) -> None:
        """Take over what a request wrote."""
        self.writes.merge(transaction.writes)
        self.subjects.update(transaction.writes.subjects)
        self._batches.update(((row.sender, row.batch_id), row) for row in transaction.writes.batches.values())
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
        self._group.read_subjects_ahead(ids)

    def subject(self, key: bytes) -> SubjectRow:
        """Return a subject as this request sees it; one that was never written has sequence 0."""
        row = self.writes.subjects.get(key) or self._group.subjects.get(key)
        if row is None:
            self.subjects((key,))
            row = self._group.subjects[key]
        return row

    def state(self, key: bytes) -> SubjectState:
        """Return the state of a subject as this request sees it."""
        return self.subject(key).state

    def judge(self, request: ExchangeRequest) -> Judge:
        """Return what judges subjects of a request at this time."""
        return self._group.judge(self.registry, request)

    def batch(self, header_hash: bytes) -> BatchRow | None:
        """Return a batch by its header hash."""
        return self._group.writes.batches.get(header_hash) or self._store.batch(header_hash)

    def batch_by_id(self, sender: str, batch_id: bytes) -> BatchRow | None:
        """Return a batch by (sender, batch id): never by the id alone (pseudonyms.md, rule 1)."""
        return self._group.batch_by_id((sender, batch_id))

    def permits(self, header_hash: bytes) -> dict[int, PermitRow]:
        """Return the permits of a batch by position, increasing."""
        stored = self._store.permits(header_hash)
        written = self._group.writes.permits.get(header_hash, {}) | self.writes.permits.get(header_hash, {})
        return dict(sorted((stored | written).items())) if written else stored

    def pull(self, header_hash: bytes, nonce: bytes) -> PullRow | None:
        """Return the answer to a pull that this group or an earlier one gave."""
        if header_hash in self._group.writes.erasures.unanswered:
            return None  # it may hold what was erased: the same pull is answered anew
        return self._group.writes.pulls.get((header_hash, nonce)) or self._store.pull(header_hash, nonce)

    def changes(self, ids: Collection[bytes]) -> dict[bytes, ChangeRow]:
        """Return the answers to these changes that are given already."""
        written = self.writes.changes
        found = self._group.changes(ids) | {key: written[key] for key in ids if key in written}
        return {key: row for key, row in found.items() if not self._is_erased(row.idx)}

    def task(self, index: int) -> TaskRow | None:
        """Return what the leaf at an index asks an organisation to do; None when it asks nothing, or is erased."""
        if self._is_erased(index):
            return None
        return self.writes.tasks.get(index) or self._group.writes.tasks.get(index) or self._store.task(index)

    def payloads(self, indices: Collection[int]) -> dict[int, PayloadRow]:
        """Return what opens these leaves, as far as it is not erased."""
        wanted = set(indices)
        found = self._store.payloads(wanted)
        for rows in (self._group.writes.payloads, self.writes.payloads):
            found.update((row.idx, row) for row in rows if row.idx in wanted)
        return {index: row for index, row in found.items() if not self._is_erased(index)}

    def indices(self, key: bytes) -> list[int]:
        """Return the log indices of a subject's entries that are not erased, increasing."""
        group = self._group.writes
        anew = key in self.writes.erasures.rewritten
        stored = [] if anew or key in group.erasures.rewritten else self._store.older_entries(key)
        entries = self.writes.entries if anew else [*group.entries, *self.writes.entries]
        moved = [index for subject, index in entries if subject == key]
        return sorted((*stored, *moved, *unpack_indices(self.subject(key).recent)))

    def unannounced(self) -> list[ErasedRow]:
        """Return what is erased and not yet announced in the log, in its order."""
        group, mine = self._group.writes.erasures, self.writes.erasures
        found = {row.idx: row for row in self._store.unannounced()} | group.entries | mine.entries
        return [found[index] for index in sorted(found.keys() - group.announced - mine.announced)]

    def payloads_from(self, index: int, count: int) -> list[PayloadRow]:
        """Return the next ``count`` payloads of the database from an index on, but for those erased in this group."""
        return [row for row in self._store.payloads_from(index, count) if not self._is_erased(row.idx)]

    def _is_erased(self, index: int) -> bool:
        return index in self._group.writes.erasures.entries or index in self.writes.erasures.entries

    # -- writing ----------------------------------------------------------------------------------------------------

    def append(self, committed: Committed) -> int:
        """Append a committed event and return its log index; chains and states are the caller's."""
        index = self.next_index
        leaf = LeafRow(index, committed.entry, leaf_hash(committed.entry))
        self.append_leaf(leaf, PayloadRow(index, committed.salt, committed.event, committed.private))
        return index

    def append_leaf(self, leaf: LeafRow, payload: PayloadRow) -> None:
        """Append a committed leaf at ``next_index``, with what opens it."""
        self.writes.leaves.append(leaf)
        self.writes.payloads.append(payload)

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
            self.link(key, row, last, fold(row.state, index, event, private), index)
        return index

    def link(self, key: bytes, row: SubjectRow, last: bytes, state: SubjectState, index: int) -> None:
        """Store a subject's new chain head and state, and that the leaf at ``index`` is about it."""
        if len(row.recent) == RECENT_BYTES:
            self.writes.entries += [(key, older) for older in unpack_indices(row.recent)]
        self.writes.subjects[key] = row.after(last, state, index)

    def rewrite(self, key: bytes, row: SubjectRow, indices: Sequence[int]) -> None:
        """Replace a subject and the whole list of its entries."""
        recent, older = pack_indices(indices)
        self.writes.entries = [entry for entry in self.writes.entries if entry[0] != key]
        self.writes.entries += [(key, index) for index in older]
        self.writes.erasures.rewritten.add(key)
        self.writes.subjects[key] = row._replace(recent=recent)

    def forget_subject(self, key: bytes) -> None:
        """Let the ledger know a subject no more: all its entries are erased."""
        self.rewrite(key, NEW_SUBJECT, ())

    def put_task(self, task: TaskRow) -> None:
        """Store what an organisation is asked to do, or that it is done."""
        self.writes.tasks[task.idx] = task

    def put_permit(self, permit: PermitRow) -> None:
        """Store a permit or what became of it."""
        self.writes.permits.setdefault(permit.header_hash, {})[permit.position] = permit
