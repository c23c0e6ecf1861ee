"""The sender's outbox: what was asked about which row, and the exact bytes of every batch without an answer.

A batch is stored before its first byte is sent, and its answer before any row counts as answered. So after a crash at
any point the same bytes go out again (pseudonyms.md, rule 2), and a row is never asked about twice at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import Connection, Row, delete, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlmodel import Field

from consent_ledger.clock import DAY_MS
from consent_ledger.v1 import events_pb2
from gateway.database import Database, Stored, table_of
from gateway.home import Organisation
from gateway.sdk import later
from gateway.sdk.local import local_database

ACCEPTED = events_pb2.OUTCOME_ACCEPTED
TRY_LATER = events_pb2.OUTCOME_PROBEER_LATER
UNANSWERED = 0

RESUMABLE_MS = 3 * DAY_MS
"""An interrupted run older than a batch can live is over: its refusals are asked again."""


class SentRun(Stored, table=True):
    """One `send` of one file."""

    __tablename__ = "sent_run"
    id: int | None = Field(default=None, primary_key=True)
    digest: bytes = Field(index=True)
    started_ms: int
    finished: bool = False


class SentRow(Stored, table=True):
    """One row of a file by its keyed hash: no identifier is stored. What became of it stands with its batch."""

    __tablename__ = "sent_row"
    __table_args__: ClassVar[Any] = {"sqlite_with_rowid": False}
    key: bytes = Field(primary_key=True)
    signal_ref: bytes
    batch: int  # the newest batch it went into; one that is not there was abandoned
    place: int  # its place in that batch


class SentBatch(Stored, table=True):
    """A batch. Once it is answered, ``request`` and ``keys`` are erased and the ledger's signed list is kept.

    ``outcomes``: a byte for each place, of what was answered in ``run``; empty while there is no answer.
    """

    __tablename__ = "sent_batch"
    # The number of a batch that was abandoned is never used again: its rows would seem to be in the new one.
    __table_args__: ClassVar[Any] = {"sqlite_autoincrement": True}
    number: int | None = Field(default=None, primary_key=True)
    batch_id: bytes = Field(unique=True)
    recipient: str
    purpose: str
    header: bytes
    root: bytes
    request: bytes | None
    keys: bytes
    expires_ms: int
    run: int
    outcomes: bytes = b""
    answer: bytes | None = None
    signature: bytes | None = None
    traceparent: str = Field(default="", sa_column_kwargs={"server_default": ""})


TABLES: tuple[type[Stored], ...] = (SentRun, SentRow, SentBatch, later.ToldLater)
_BATCHES, _RUNS = table_of(SentBatch), table_of(SentRun)


@dataclass(frozen=True, slots=True)
class Run:
    """A send in progress; ``resumed`` when it goes on with one that was interrupted."""

    id: int
    resumed: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What the outbox knows of a row. ``outcome`` UNANSWERED: ask (again); ``open``: it is in an open batch."""

    signal_ref: bytes
    outcome: int
    open: bool


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch without an answer: its bytes, and the keys of its rows in the order of its positions."""

    batch_id: bytes
    recipient: str
    purpose: str
    header: bytes
    root: bytes
    request: bytes
    keys: tuple[bytes, ...]
    expires_ms: int
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A verified answer: an outcome per row in the order of the batch's keys, and what the ledger signed."""

    outcomes: tuple[int, ...]
    decision_list: bytes
    signature: bytes


class Outbox:
    """The outbox in its database."""

    def __init__(self, database: Database) -> None:
        """Work on an open database."""
        self._database = database

    @classmethod
    @contextmanager
    def open(cls, organisation: Organisation) -> Iterator[Outbox]:
        """Open the organisation's outbox; raises Busy when another process sends for it."""
        with local_database(organisation, "outbox", TABLES, "sending") as database:
            yield cls(database)

    async def begin(self, digest: bytes, now_ms: int) -> Run:
        """Start a run of a file, or go on with its last one when that was interrupted."""
        return await self._database.run(lambda connection: _begin(connection, digest, now_ms))

    async def finish(self, run: Run) -> None:
        """Close a run: every row has its answer, and the next run of this file asks again about refused ones."""
        done = update(_RUNS).where(_RUNS.c.id == run.id).values(finished=True)
        await self._database.run(lambda connection: connection.execute(done))

    async def open_batches(self, recipient: str, purpose: str) -> list[OpenBatch]:
        """Return the batches for one recipient and purpose that have no answer yet."""
        mine = (_BATCHES.c.recipient == recipient) & (_BATCHES.c.purpose == purpose)
        query = select(_BATCHES).where(mine & _BATCHES.c.request.is_not(None)).order_by(_BATCHES.c.expires_ms)
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [
            OpenBatch(
                row.batch_id,
                row.recipient,
                row.purpose,
                row.header,
                row.root,
                row.request,
                tuple(row.keys[at : at + 32] for at in range(0, len(row.keys), 32)),
                row.expires_ms,
                row.traceparent,
            )
            for row in rows
        ]

    async def look_up(self, run: Run, keys: Sequence[bytes]) -> dict[bytes, Standing]:
        """Return what is known of at most 1000 rows; a row that was never asked about is absent."""
        return await self._database.run(lambda connection: _look_up(connection, run, keys))

    async def store(self, run: Run, batch: OpenBatch, references: Sequence[bytes]) -> None:
        """Store a batch with the signal references (16 bytes) of its rows, before it is sent."""
        await self._database.run(lambda connection: _store(connection, run, batch, references))

    async def answer(self, run: Run, batch: OpenBatch, answer: Answer, changes: later.Changes) -> None:
        """Store the verified answer of a batch, with what it changes in the list of what is reported again later.

        Only then do its rows count as answered.
        """
        await self._database.run(lambda connection: _answer(connection, run, batch, answer, changes))

    async def told_later(self, terms: bytes, now_ms: int) -> dict[str, bytes]:
        """Return what is to be reported again later under these terms: persons by reference."""
        return await self._database.run(lambda connection: later.load(connection, terms, now_ms))

    async def note(self, changes: later.Changes) -> None:
        """Store what answers that were given before change in the list."""
        if changes:
            await self._database.run(changes.write)

    async def forget_later(self, terms: bytes, references: Sequence[str]) -> None:
        """Forget what is no longer to be reported."""
        if references:
            await self._database.run(lambda connection: later.forget(connection, terms, references))
            await self._database.scrub()

    async def abandon(self, batch: OpenBatch) -> None:
        """Forget a batch that expired or was refused as a whole; its rows may go into a new one."""
        await self._database.run(lambda connection: _abandon(connection, batch))


# For a thousand rows at once, compiling a statement and binding by name would cost as much as sealing them. So would
# bytes, for each of which the driver looks for an adapter; bytearrays it takes as they are.
_STORE_ROW = """
INSERT INTO sent_row (key, signal_ref, batch, place) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET batch = excluded.batch, place = excluded.place
"""
_LOOK_UP = "SELECT key, signal_ref, batch, place FROM sent_row WHERE key IN ({})"


def _look_up(connection: Connection, run: Run, keys: Sequence[bytes]) -> dict[bytes, Standing]:
    marks = ",".join("?" * len(keys))
    rows = connection.exec_driver_sql(_LOOK_UP.format(marks), tuple(map(bytearray, keys))).all()
    numbers = {row.batch for row in rows}
    query = select(_BATCHES.c.number, _BATCHES.c.run, _BATCHES.c.outcomes).where(_BATCHES.c.number.in_(numbers))
    batches = {row.number: row for row in connection.execute(query)} if numbers else {}
    return {row.key: _standing(run, row, batches.get(row.batch)) for row in rows}


def _standing(run: Run, row: Row[Any], batch: Row[Any, Any, Any] | None) -> Standing:
    if batch is None:  # abandoned
        return Standing(row.signal_ref, UNANSWERED, open=False)
    if not batch.outcomes:
        return Standing(row.signal_ref, UNANSWERED, open=True)
    return Standing(row.signal_ref, _holds(run, batch.run, batch.outcomes[row.place]), open=False)


def _holds(run: Run, answered_in: int, outcome: int) -> int:
    """Return the outcome that still holds in this run: acceptance for ever, a refusal within the run that got it."""
    if outcome == ACCEPTED or (answered_in == run.id and outcome != TRY_LATER):
        return outcome
    return UNANSWERED


def _begin(connection: Connection, digest: bytes, now_ms: int) -> Run:
    query = select(_RUNS).where(_RUNS.c.digest == digest).order_by(_RUNS.c.id.desc()).limit(1)
    last = connection.execute(query).first()
    if last and not last.finished and now_ms - last.started_ms < RESUMABLE_MS:
        return Run(last.id, resumed=True)
    made = connection.execute(insert(_RUNS).values(digest=digest, started_ms=now_ms, finished=False))
    return Run(int(made.lastrowid), resumed=False)


def _store(connection: Connection, run: Run, batch: OpenBatch, references: Sequence[bytes]) -> None:
    made = connection.execute(
        insert(_BATCHES).values(
            batch_id=batch.batch_id,
            recipient=batch.recipient,
            purpose=batch.purpose,
            header=batch.header,
            root=batch.root,
            request=batch.request,
            keys=b"".join(batch.keys),
            expires_ms=batch.expires_ms,
            run=run.id,
            outcomes=b"",
            traceparent=batch.traceparent,
        )
    )
    number = int(made.lastrowid)
    rows = [
        (bytearray(key), bytearray(reference), number, place)
        for place, (key, reference) in enumerate(zip(batch.keys, references, strict=True))
    ]
    rows.sort()  # neighbours in the tree are written together
    connection.exec_driver_sql(_STORE_ROW, rows)


def _answer(connection: Connection, run: Run, batch: OpenBatch, answer: Answer, changes: later.Changes) -> None:
    values = {"request": None, "keys": b"", "run": run.id, "outcomes": bytes(answer.outcomes)}
    values |= {"answer": answer.decision_list, "signature": answer.signature}
    connection.execute(update(_BATCHES).where(_BATCHES.c.batch_id == batch.batch_id).values(values))
    changes.write(connection)


def _abandon(connection: Connection, batch: OpenBatch) -> None:
    connection.execute(delete(_BATCHES).where(_BATCHES.c.batch_id == batch.batch_id))
