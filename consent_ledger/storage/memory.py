"""A ledger in memory: the plainest store that does what the ports say, with nothing of SQL in it.

It forgets when the process ends, so it is for tests: of what needs no disk, and, beside the engines in one contract
suite, of the contract itself.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields

from consent_ledger.storage.erasures import ErasedRow, Erasures
from consent_ledger.storage.ports import Reader, Snapshot, Store
from consent_ledger.storage.rows import (
    BatchRow,
    ChangeRow,
    HeadRow,
    LeafRow,
    PayloadRow,
    PermitRow,
    PublishedRow,
    PullRow,
    SubjectRow,
    TaskRow,
    Writes,
    unpack_indices,
)
from consent_ledger.storage.sqlite import unavailable


@dataclass(slots=True)
class Tables:
    """What is in a ledger. Committed tables are never changed: a transaction works on a copy and puts that in place."""

    _head: HeadRow | None = None
    _published: PublishedRow | None = None
    leaves: dict[int, LeafRow] = field(default_factory=dict)
    payload: dict[int, PayloadRow] = field(default_factory=dict)
    hashes: dict[tuple[int, int], bytes] = field(default_factory=dict)
    public: dict[int, None] = field(default_factory=dict)
    people: dict[bytes, SubjectRow] = field(default_factory=dict)
    people_entries: dict[tuple[bytes, int], None] = field(default_factory=dict)
    batches: dict[bytes, BatchRow] = field(default_factory=dict)
    permit: dict[tuple[bytes, int], PermitRow] = field(default_factory=dict)
    pulls: dict[tuple[bytes, bytes], PullRow] = field(default_factory=dict)
    change: dict[bytes, ChangeRow] = field(default_factory=dict)
    asked: dict[int, TaskRow] = field(default_factory=dict)
    erased: dict[int, ErasedRow] = field(default_factory=dict)

    def copy(self) -> Tables:
        """Return tables that can be changed."""
        copied = Tables()
        for one in fields(Tables):
            value = getattr(self, one.name)
            setattr(copied, one.name, dict(value) if isinstance(value, dict) else value)
        return copied

    # -- the log ----------------------------------------------------------------------------------------------------

    def head(self) -> HeadRow:
        """Return the head; raises LEDGER_UNAVAILABLE when there is none."""
        if self._head is None:
            raise unavailable("this ledger has no head: its creation did not finish")
        return self._head

    def published(self) -> PublishedRow | None:
        """Return the newest witnessed checkpoint; None when there is none yet."""
        return self._published

    def last_index(self) -> int:
        """Return the largest leaf index, -1 when there is none."""
        return max(self.leaves, default=-1)

    def tile(self, level: int, index: int, width: int) -> bytes:
        """Return the first ``width`` hashes of a tile (log.tiles.TileReader); shorter when they are not there."""
        at = range(256 * index, 256 * index + width)
        if level == 0:
            return b"".join(self.leaves[number].hash for number in at if number in self.leaves)
        return b"".join(self.hashes[level, number] for number in at if (level, number) in self.hashes)

    def entries(self, start: int, count: int) -> list[bytes]:
        """Return up to ``count`` entries from ``start``; fewer at the end of the log."""
        return [self.leaves[index].entry for index in range(start, start + count) if index in self.leaves]

    def public_entries(self, start: int = 0) -> list[tuple[int, bytes]]:
        """Return (index, entry) of every public event from ``start`` on, in order."""
        return [(index, self.leaves[index].entry) for index in sorted(self.public) if index >= start]

    def payloads(self, indices: Collection[int]) -> dict[int, PayloadRow]:
        """Return what opens these leaves, as far as it is not erased."""
        return {index: self.payload[index] for index in indices if index in self.payload}

    def payloads_from(self, index: int, count: int) -> list[PayloadRow]:
        """Return the next ``count`` payloads that are not erased, from an index on."""
        return [self.payload[each] for each in sorted(self.payload) if each >= index][:count]

    def unannounced(self) -> list[ErasedRow]:
        """Return what is erased and not yet announced, in the order of the log."""
        return [self.erased[index] for index in sorted(self.erased)]

    # -- subjects ---------------------------------------------------------------------------------------------------

    def subjects(self, ids: Collection[bytes]) -> dict[bytes, SubjectRow]:
        """Return the subjects that are there."""
        return {key: self.people[key] for key in ids if key in self.people}

    def subject(self, key: bytes) -> SubjectRow | None:
        """Return a subject, or None when the ledger knows nothing of it."""
        return self.people.get(key)

    def older_entries(self, key: bytes) -> list[int]:
        """Return the log indices of a subject that are no longer in ``SubjectRow.recent``, increasing."""
        return sorted(index for subject, index in self.people_entries if subject == key)

    def subject_indices(self, key: bytes, below: int | None = None) -> Iterator[int]:
        """Yield the log indices of a subject's events, newest first."""
        row = self.people.get(key)
        newest = unpack_indices(row.recent) if row else []
        yield from (index for index in reversed(newest) if below is None or index < below)
        yield from (index for index in reversed(self.older_entries(key)) if below is None or index < below)

    # -- tasks ------------------------------------------------------------------------------------------------------

    def task(self, index: int) -> TaskRow | None:
        """Return what the leaf at an index asks an organisation to do; None when it asks nothing, or is erased."""
        return self.asked.get(index)

    def tasks(self, organisation: str, after: int, count: int, *, done: bool) -> list[TaskRow]:
        """Return the next ``count`` tasks of an organisation above an index; with ``done``, also done ones."""
        who = organisation.encode()
        rows = [self.asked[index] for index in sorted(self.asked) if index > after]
        return [row for row in rows if row.organisation == who and (done or row.done_idx is None)][:count]

    # -- batches and answers ----------------------------------------------------------------------------------------

    def batch(self, header_hash: bytes) -> BatchRow | None:
        """Return a batch by its header hash."""
        return self.batches.get(header_hash)

    def batch_by_id(self, sender: str, batch_id: bytes) -> BatchRow | None:
        """Return a batch by the name its sender gave it."""
        return next((row for row in self.batches.values() if (row.sender, row.batch_id) == (sender, batch_id)), None)

    def batches_by_id(self, names: Collection[tuple[str, bytes]]) -> dict[tuple[str, bytes], BatchRow]:
        """Return the batches of these senders and ids that are there."""
        found = {name: self.batch_by_id(*name) for name in names}
        return {name: row for name, row in found.items() if row is not None}

    def permits(self, header_hash: bytes) -> dict[int, PermitRow]:
        """Return the permits of a batch by position, increasing."""
        return {position: row for (owner, position), row in sorted(self.permit.items()) if owner == header_hash}

    def permits_at(self, keys: Collection[tuple[bytes, int]]) -> dict[tuple[bytes, int], PermitRow]:
        """Return the permits at these places (header hash, position) that are there."""
        return {key: self.permit[key] for key in keys if key in self.permit}

    def pull(self, header_hash: bytes, nonce: bytes) -> PullRow | None:
        """Return the stored answer to a pull."""
        return self.pulls.get((header_hash, nonce))

    def changes(self, ids: Collection[bytes]) -> dict[bytes, ChangeRow]:
        """Return the stored answers to these changes."""
        return {key: self.change[key] for key in ids if key in self.change}


class MemoryLedger:
    """Where a ledger in memory is: one for all its stores, of which one is open at a time, and readers."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.committed = Tables()
        self._writer = threading.Lock()

    def open(self) -> Store:
        """Open for the one writer; raises RegieError LEDGER_UNAVAILABLE when there is one already."""
        if not self._writer.acquire(blocking=False):
            raise unavailable("this ledger has a writer already: stop that one first")
        return MemoryStore(self, self._writer)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Give the committed state of this moment."""
        yield self.committed

    def close(self) -> None:
        """Do nothing: there is no connection to close."""


class MemoryStore(Tables):
    """The write side: between ``begin`` and ``commit`` the tables it reads and writes are its own copies."""

    shared = False
    name = "memory"
    __slots__ = ("_ledger", "_lock")

    def __init__(self, ledger: MemoryLedger, lock: threading.Lock) -> None:
        """Take over the writer's lock."""
        super().__init__()
        self._ledger = ledger
        self._lock: threading.Lock | None = lock

    def begin(self) -> None:
        """Begin over what is committed."""
        self._take(self._ledger.committed.copy())

    def commit(self) -> None:
        """Put what was written in place."""
        self._ledger.committed = self.copy()

    def rollback(self) -> None:
        """Forget what was written."""
        self._take(Tables())

    def overwrite(self, *, anew: bool, most_bytes: int) -> bool:  # noqa: ARG002  (of the port)
        """Do nothing: nothing deleted is anywhere."""
        return True

    def close(self) -> None:
        """Let the next writer in."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    def reader(self) -> Reader:
        """Open the read side of the same ledger."""
        return self._ledger

    def _take(self, tables: Tables) -> None:
        for one in fields(Tables):
            setattr(self, one.name, getattr(tables, one.name))

    # -- writing ----------------------------------------------------------------------------------------------------

    def append(self, writes: Writes, completed: Sequence[tuple[int, int, bytes]]) -> None:
        """Add leaves, what opens them, and the tile hashes they completed."""
        self.leaves.update((row.idx, row) for row in writes.leaves)
        self.payload.update((row.idx, row) for row in writes.payloads)
        self.public.update(dict.fromkeys(writes.public))
        self.hashes.update(((level, index), value) for level, index, value in completed)

    def project(self, writes: Writes) -> None:
        """Store everything beside the log: chains, states, batches, permits, and answers given; then erase."""
        for key in [key for key in self.people_entries if key[0] in writes.erasures.rewritten]:
            del self.people_entries[key]
        self.people.update(writes.subjects)
        self.people_entries.update(dict.fromkeys(writes.entries))
        self.batches.update(writes.batches)
        for header_hash, permits in writes.permits.items():
            self.permit.update(((header_hash, position), row) for position, row in permits.items())
        self.pulls.update(writes.pulls)
        self.change.update(writes.changes)
        self.asked.update(writes.tasks)
        self._erase(writes.erasures)
        for subject in [key for key, row in writes.subjects.items() if not row.seq]:
            del self.people[subject]
        new, old = writes.published, self._published
        if new and (old is None or (new.size, new.cosigned_ms) > (old.size, old.cosigned_ms)):
            self._published = new

    def _erase(self, erasures: Erasures) -> None:
        for index in erasures.entries:
            self.payload.pop(index, None)
            self.asked.pop(index, None)
        for change_id in [row.change_id for row in self.change.values() if row.idx in erasures.entries]:
            del self.change[change_id]
        self.erased.update((key, row) for key, row in erasures.entries.items() if key not in erasures.announced)
        for index in erasures.announced:
            self.erased.pop(index, None)
        for key, stays in erasures.permits.items():
            if stays:
                self.permit[key] = PermitRow(*key, decided_idx=-1, opening=None, subject=b"")
            else:
                self.permit.pop(key, None)
        for nonce in [key for key in self.pulls if key[0] in erasures.unanswered]:
            del self.pulls[nonce]

    def first_head(self, head: HeadRow) -> None:
        """Store the head of a new ledger."""
        self._head = head

    def advance(self, old: HeadRow, new: HeadRow) -> None:
        """Move the head, if it still is ``old``; raises RuntimeError when somebody else moved it."""
        if self._head is None or self._head[:2] != old[:2]:
            raise RuntimeError(f"the head is no longer at size {old.size}: another writer?")
        self._head = new

    def forget(self, after_ms: int, until_ms: int, pulls_before_ms: int) -> bool:
        """Delete what may no longer be given out; tell whether there was any."""
        before = self.copy()
        expired = {key for key, row in self.batches.items() if after_ms < row.expires_ms <= until_ms}
        for key, row in list(self.permit.items()):
            if row.header_hash in expired and row.subject == b"":
                del self.permit[key]
            elif row.header_hash in expired and row.released_idx is None:
                self.permit[key] = row._replace(opening=None)
        for header_hash in expired:
            self.batches[header_hash] = self.batches[header_hash]._replace(response=b"")
        for nonce in [key for key, row in self.pulls.items() if row.expires_ms < pulls_before_ms]:
            del self.pulls[nonce]
        return self.copy() != before
