"""Follows the log over gRPC into the console's tables, and believes none of it that is not proven.

One round: the newest checkpoint is verified (signature, and consistent with the newest one before); then entries are
read in batches. Of each batch the tree that it makes must be the beginning of the checkpoint's, every payload must open
its leaf, and tables, tree and progress become durable in one transaction: a crash here repeats one batch at most.

A log that went back or forked stops it for good, and says so as a finding (``tables.Finding``); a new start does not
forget. Whoever has found out why throws the index away (docs/auditor.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from google.protobuf.message import DecodeError
from sqlalchemy import Connection

from consent_ledger.clock import Clock
from consent_ledger.events import EventError, commitment, private_digest
from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.keys import AnyVerifier
from consent_ledger.log.merkle import leaf_hashes, verify_consistency
from consent_ledger.log.tiles import Frontier
from consent_ledger.v1 import events_pb2, log_pb2
from consent_ledger.verify.leaves import read_entry, read_event
from gateway.auditor.index import states
from gateway.auditor.index.fold import Change, fold, fold_public
from gateway.auditor.index.writer import Writer
from gateway.database import Database

BATCH = 4_096
OPENINGS = 1_024
"""Most openings that one call asks for (log.proto)."""
_HEADS = 1_000


class Source(Protocol):
    """The log as it is asked; every call raises RegieError when nobody answers."""

    async def checkpoint(self) -> str:
        """Return the newest checkpoint, unverified."""
        ...

    async def entries(self, start: int, count: int) -> Sequence[bytes]:
        """Return consecutive entries."""
        ...

    async def openings(self, indices: Sequence[int]) -> Sequence[log_pb2.ProvenEntry]:
        """Return what opens these entries, in this order, with neither entry nor proof."""
        ...

    async def consistency(self, old_size: int, new_size: int) -> Sequence[bytes]:
        """Return the proof that one tree begins with another."""
        ...


class BrokenLogError(Exception):
    """The log contradicts itself or what it said before; ``kind`` as in ``tables.Finding``."""

    def __init__(self, kind: str, idx: int | None = None) -> None:
        """Name what is wrong, and where."""
        super().__init__(kind)
        self.kind, self.idx = kind, idx


class At(NamedTuple):
    """How far the index is."""

    size: int
    frontier: Frontier
    head_size: int
    head_root: bytes


@dataclass(slots=True)
class Batch:
    """Consecutive entries with what opens them."""

    start: int
    entries: list[bytes]
    opened: dict[int, log_pb2.OpenedEvent]


@dataclass(slots=True)
class Folded:
    """What a batch changes, and counts of it."""

    changes: list[Change]
    growth: dict[tuple[int, str], int]
    unopenable: list[int]
    time_ms: int = 0
    decided: int = 0
    opened: int = 0
    public: int = 0
    gone: int = 0


class Follower:
    """Keeps one index. ``key`` is the console's own, ``verifiers`` are the log's keys as they stand."""

    def __init__(
        self,
        source: Source,
        database: Database,
        key: bytes,
        verifiers: Callable[[], Sequence[AnyVerifier]],
        clock: Clock,
    ) -> None:
        self._source, self._database, self._key = source, database, key
        self._verifiers, self._clock = verifiers, clock
        self._writer: Writer | None = None

    async def round(self) -> int:
        """Follow up to the newest checkpoint; return how many entries were folded.

        Raises RegieError when the log cannot be reached. A log that is broken is noted, and then nothing happens.
        """
        if await self._database.run(_is_stopped):
            return 0
        note = await self._source.checkpoint()
        at = await self._database.run(_read)
        try:
            head = await self._head(note, at)
            await self._database.run(lambda connection: _keep_head(connection, head, note, self._clock()))
            folded = await self._fold_up_to(head, at)
        except BrokenLogError as broken:
            why = broken
            await self._database.run(lambda connection: self._note_finding(connection, why, at, note))
            return 0
        return folded

    async def _head(self, note: str, at: At) -> Checkpoint:
        """Return the checkpoint once it is signed and goes on from the newest before it; raises BrokenLogError."""
        try:
            head = open_checkpoint(note, self._verifiers())
        except VerificationError:
            raise BrokenLogError("unproven") from None
        if head.size < at.head_size:
            raise BrokenLogError("went_back")
        if head.size == at.head_size and head.root != at.head_root:
            raise BrokenLogError("forked")
        if 0 < at.head_size < head.size:
            await self._prove(at.head_size, at.head_root, head)
        return head

    async def _prove(self, size: int, root: bytes, head: Checkpoint) -> None:
        """Check that the head's tree begins with this one; raises BrokenLogError."""
        path = await self._source.consistency(size, head.size) if 0 < size < head.size else ()
        try:
            verify_consistency(size, head.size, root, head.root, path)
        except VerificationError:
            raise BrokenLogError("forked") from None

    async def _fold_up_to(self, head: Checkpoint, at: At) -> int:
        """Fold all batches; the next one is fetched while this one is written, so that never more than two are held."""
        frontier, start = at.frontier, at.size
        coming = asyncio.ensure_future(self._fetch(start, head.size))
        try:
            while (batch := await coming).entries:
                after = frontier.copy()
                after.append(leaf_hashes(batch.entries))
                await self._prove(after.size, after.root(), head)
                coming = asyncio.ensure_future(self._fetch(after.size, head.size))
                await self._write(batch, after)
                frontier = after
        finally:
            coming.cancel()
        if frontier.size < head.size:
            raise BrokenLogError("unproven")  # it signed more than it gives
        return frontier.size - start

    async def _fetch(self, start: int, end: int) -> Batch:
        count = min(BATCH, end - start)
        entries = list(await self._source.entries(start, count))[:count] if count > 0 else []
        committed = [index for index, entry in enumerate(entries, start) if entry.startswith(b"\x0a\x20")]
        parts = [committed[at : at + OPENINGS] for at in range(0, len(committed), OPENINGS)]
        answers = await asyncio.gather(*(self._source.openings(part) for part in parts))
        opened = {one.index: one.opened for answer in answers for one in answer if one.HasField("opened")}
        return Batch(start, entries, opened)

    async def _write(self, batch: Batch, after: Frontier) -> None:
        def work(connection: Connection) -> None:
            writer = self._writer or Writer(connection)
            self._writer = None  # it knows what a failure undoes: the next batch then begins with a new one
            folded = fold_batch(batch, self._key, _time(connection))
            writer.write(connection, folded.changes)
            _note_progress(connection, folded, after, self._clock())
            for index in folded.unopenable:
                _finding(connection, "unopenable", self._clock(), index, stops=False)
            self._writer = writer

        await self._database.run(work)

    def _note_finding(self, connection: Connection, broken: BrokenLogError, at: At, note: str) -> None:
        _finding(connection, broken.kind, self._clock(), broken.idx, at=at, note=note)


def fold_batch(batch: Batch, key: bytes, since_ms: int = 0) -> Folded:
    """Open and fold the entries of a batch, which follow one of ``since_ms``.

    Raises BrokenLogError on a leaf that cannot be read.
    """
    folded = Folded([], {}, [], since_ms)
    for index, entry in enumerate(batch.entries, batch.start):
        try:
            content = read_entry(entry)
        except VerificationError:
            raise BrokenLogError("unreadable", index) from None
        if not isinstance(content, bytes):
            folded.public += 1
            folded.time_ms = content.time_ms
            _grow(folded, f"public.{content.WhichOneof('body')}")
            folded.changes += fold_public(index, content)
        elif index not in batch.opened:
            folded.gone += 1
            _grow(folded, "gone")
        else:
            _open(folded, index, content, batch.opened[index], key)
    return folded


def _open(folded: Folded, index: int, committed: bytes, opened: log_pb2.OpenedEvent, key: bytes) -> None:
    """Fold an event that opens its leaf; one that does not is a finding, and nothing of it is believed."""
    try:
        event, private = _checked(committed, opened)
    except (VerificationError, EventError, DecodeError):
        folded.unopenable.append(index)
        return
    folded.opened += 1
    folded.decided += event.HasField("exchange_decided")
    folded.time_ms = event.time_ms
    _grow(folded, str(event.WhichOneof("body")))
    folded.changes += fold(index, event, private, key)


def _checked(committed: bytes, opened: log_pb2.OpenedEvent) -> tuple[events_pb2.Event, events_pb2.PrivatePart]:
    if commitment(opened.salt, opened.event) != committed:
        raise EventError("salt and event do not open the commitment of this entry")
    event = read_event(opened.event)
    if event.private_digest != private_digest(opened.private_part):
        raise EventError("the private part does not have the digest that its event carries")
    return event, events_pb2.PrivatePart.FromString(opened.private_part)


def _grow(folded: Folded, kind: str) -> None:
    """Count an entry; one without a time counts on the day of the entry before it."""
    key = (states.day_of(folded.time_ms), kind)
    folded.growth[key] = folded.growth.get(key, 0) + 1


def _read(connection: Connection) -> At:
    query = "SELECT size, frontier, head_size, head_root FROM progress WHERE id = 1"
    row = connection.exec_driver_sql(query).one_or_none()
    if row is None:
        return At(0, Frontier(), 0, b"")
    return At(row[0], Frontier.unpack(row[0], row[1]), row[2], row[3])


def _time(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT time_ms FROM progress WHERE id = 1").scalar_one())


def _is_stopped(connection: Connection) -> bool:
    return bool(connection.exec_driver_sql("SELECT EXISTS (SELECT 1 FROM finding WHERE stops)").scalar())


def _note_progress(connection: Connection, folded: Folded, after: Frontier, now_ms: int) -> None:
    connection.exec_driver_sql(
        "UPDATE progress SET size = ?, frontier = ?, time_ms = ?, seen_ms = ?, decided = decided + ?,"
        " opened = opened + ?, public = public + ?, gone = gone + ? WHERE id = 1",
        (
            *(after.size, after.pack(), folded.time_ms, now_ms),
            *(folded.decided, folded.opened, folded.public, folded.gone),
        ),
    )
    _upsert_growth(connection, ((day, kind, count) for (day, kind), count in folded.growth.items()))


def _upsert_growth(connection: Connection, rows: Iterable[tuple[int, str, int]]) -> None:
    if found := list(rows):
        connection.exec_driver_sql(
            "INSERT INTO growth (day, kind, count) VALUES (?, ?, ?) ON CONFLICT (day, kind) "
            "DO UPDATE SET count = count + excluded.count",
            found,
        )


def _keep_head(connection: Connection, head: Checkpoint, note: str, now_ms: int) -> None:
    """Remember a head that was verified, before anything is folded up to it; of older ones the newest thousand."""
    connection.exec_driver_sql(
        "INSERT INTO progress (id, size, frontier, head_size, head_root, checkpoint, time_ms, seen_ms, decided, opened,"
        " public, gone) VALUES (1, 0, x'', ?, ?, ?, 0, ?, 0, 0, 0, 0) ON CONFLICT (id) DO UPDATE SET head_size ="
        " excluded.head_size, head_root = excluded.head_root, checkpoint = excluded.checkpoint,"
        " seen_ms = excluded.seen_ms",
        (head.size, head.root, note, now_ms),
    )
    connection.exec_driver_sql(
        "INSERT OR IGNORE INTO head (size, root, seen_ms, checkpoint) VALUES (?, ?, ?, ?)",
        (head.size, head.root, now_ms, note),
    )
    oldest = f"SELECT size FROM head ORDER BY size DESC LIMIT 1 OFFSET {_HEADS}"  # noqa: S608  (a number of ours)
    connection.exec_driver_sql(f"DELETE FROM head WHERE size <= ({oldest})")  # noqa: S608  (a number of ours)


def _finding(
    connection: Connection,
    kind: str,
    now_ms: int,
    index: int | None,
    *,
    at: At | None = None,
    note: str = "",
    stops: bool = True,
) -> None:
    columns = "found_ms, kind, idx, old_size, old_root, checkpoint, stops"
    values: tuple[Any, ...] = (now_ms, kind, index, at.head_size if at else 0, at.head_root if at else b"", note, stops)
    connection.exec_driver_sql(f"INSERT INTO finding ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608  (columns are ours)
