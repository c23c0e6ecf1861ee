"""The recipient's inbox: every signal is durable here before the gateway hears that it arrived.

A delivery is stored once by batch and position, and a signal once by its sender's reference, whatever is delivered
again. It leaves the inbox only when the caller says it is done with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, UniqueConstraint, bindparam, delete, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert
from sqlmodel import Field

from gateway.database import Database, Stored, table_of
from gateway.home import Organisation
from gateway.sdk.groupcommit import GroupCommit
from gateway.sdk.local import local_database

OFFERED, STORED, ACKNOWLEDGED = 0, 1, 2
WAITING, HANDED_OVER_UNRESOLVED, HANDED_OVER, STOPPED = 0, 1, 2, 3
"""STOPPED: a stop-use notice was acknowledged before the caller had it, so that it is never handed over."""


class ReceivedBatch(Stored, table=True):
    """A batch that was offered, stored, or acknowledged. Once only: another batch under its id is refused."""

    __tablename__ = "received_batch"
    __table_args__ = (UniqueConstraint("sender", "batch_id"),)
    header_hash: bytes = Field(primary_key=True)
    sender: str
    batch_id: bytes
    header: bytes
    expires_ms: int
    state: int = Field(default=OFFERED, index=True)
    traceparent: str = Field(default="", sa_column_kwargs={"server_default": ""})


class ReceivedSignal(Stored, table=True):
    """A released signal, opened and proven; ``signal`` and ``preferences`` are message bytes."""

    __tablename__ = "received_signal"
    __table_args__ = (UniqueConstraint("header_hash", "position"), UniqueConstraint("sender", "signal_ref"))
    number: int | None = Field(default=None, primary_key=True)
    header_hash: bytes
    batch_id: bytes
    position: int
    sender: str
    signal_ref: bytes
    purpose: str
    stored_index: bytes
    signal: bytes
    preferences: bytes
    explanation_nl: str
    explanation_en: str
    receipt: str
    received_ms: int
    handed_over: int = Field(default=WAITING, index=True)


class CanarySeen(Stored, table=True):
    """A canary that came: never handed over, never counted as unresolved. ``canary`` is its id at this recipient."""

    __tablename__ = "canary_seen"
    sender: str = Field(primary_key=True)
    signal_ref: bytes = Field(primary_key=True)
    canary: bytes = Field(index=True)
    purpose: str
    stored_index: bytes
    received_ms: int


TABLES: tuple[type[Stored], ...] = (ReceivedBatch, ReceivedSignal, CanarySeen)
_BATCHES, _SIGNALS, _CANARIES = table_of(ReceivedBatch), table_of(ReceivedSignal), table_of(CanarySeen)


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A batch as it was offered."""

    header_hash: bytes
    sender: str
    batch_id: bytes
    header: bytes
    expires_ms: int
    traceparent: str = ""


class SignalRecord(NamedTuple):
    """One stored signal; the fields are those of the table. A batch makes thousands: dataclasses cost four times it."""

    header_hash: bytes
    batch_id: bytes
    position: int
    sender: str
    signal_ref: bytes
    purpose: str
    stored_index: bytes
    signal: bytes
    preferences: bytes
    explanation_nl: str
    explanation_en: str
    receipt: str
    received_ms: int
    number: int = 0
    handed_over: int = WAITING


_STORED_FIELDS = SignalRecord._fields.index("number")
# The driver's own SQL: rows go to it as they are.
_HANDED_OVER = "UPDATE received_signal SET handed_over = ? WHERE number = ? AND handed_over != ?"
_SELECT = f"SELECT {', '.join(SignalRecord._fields)} FROM received_signal"  # noqa: S608  (names of columns)
_NEW_SIGNAL = str(
    insert(_SIGNALS)
    .values({name: bindparam(name) for name in (*SignalRecord._fields[:_STORED_FIELDS], "handed_over")})
    .on_conflict_do_nothing()
    .compile(dialect=sqlite.dialect())
)


@dataclass(frozen=True, slots=True)
class CanaryRecord:
    """One canary that came; the fields are those of the table."""

    sender: str
    signal_ref: bytes
    canary: bytes
    purpose: str
    stored_index: bytes
    received_ms: int


class Inbox:
    """The inbox in its database."""

    def __init__(self, database: Database) -> None:
        """Work on an open database."""
        self._database = database
        self._commits = GroupCommit(database)

    @classmethod
    @contextmanager
    def open(cls, organisation: Organisation) -> Iterator[Inbox]:
        """Open the organisation's inbox; raises Busy when another process receives for it."""
        with local_database(organisation, "inbox", TABLES, "receiving") as database:
            yield cls(database)

    async def offered(self, batches: Sequence[BatchRecord]) -> None:
        """Remember offers, so that a restart pulls them without waiting for their lease to end."""
        if batches:
            values = [{**asdict(batch), "state": OFFERED} for batch in batches]
            await self._database.run(lambda c: c.execute(insert(_BATCHES).on_conflict_do_nothing(), values))

    async def in_state(self, state: int) -> list[BatchRecord]:
        """Return the batches in a state, oldest first."""
        query = select(*(_BATCHES.c[name] for name in BatchRecord.__dataclass_fields__))
        query = query.where(_BATCHES.c.state == state).order_by(_BATCHES.c.expires_ms)
        return await self._database.run(lambda c: [BatchRecord(*row) for row in c.execute(query)])

    async def state(self, header_hash: bytes) -> int | None:
        """Return the state of a batch; None when it was never seen."""
        query = select(_BATCHES.c.state).where(_BATCHES.c.header_hash == header_hash)
        return await self._database.run(lambda c: c.execute(query).scalar())

    async def store(
        self, header_hash: bytes, signals: Sequence[SignalRecord], canaries: Sequence[CanaryRecord] = ()
    ) -> None:
        """Store what a verified delivery holds; signals and canaries that arrived before are dropped."""
        await self._commits.run(partial(_store, header_hash=header_hash, signals=signals, canaries=canaries))

    async def acknowledged(self, header_hash: bytes) -> None:
        """Note that the gateway knows; the batch is not asked for again."""
        done = update(_BATCHES).where(_BATCHES.c.header_hash == header_hash).values(state=ACKNOWLEDGED)
        await self._commits.run(lambda c: c.execute(done))

    async def forget(self, header_hash: bytes) -> None:
        """Forget an offer that was not stored."""
        gone = delete(_BATCHES).where((_BATCHES.c.header_hash == header_hash) & (_BATCHES.c.state == OFFERED))
        await self._database.run(lambda c: c.execute(gone))

    async def waiting(self, *states: int, after: int = 0) -> list[SignalRecord]:
        """Return the signals behind this number in these states of handing over, oldest first."""
        sql = f"{_SELECT} WHERE handed_over IN ({', '.join(map(str, states))}) AND number > ? ORDER BY number"
        return await self._database.run(lambda c: list(map(SignalRecord._make, _rows(c, sql, (after,)))))

    async def unresolved(self) -> list[tuple[int, bytes]]:
        """Return number and stored index of the signals that were handed over without a resident, oldest first."""
        query = select(_SIGNALS.c.number, _SIGNALS.c.stored_index).order_by(_SIGNALS.c.number)
        query = query.where(_SIGNALS.c.handed_over == HANDED_OVER_UNRESOLVED)
        return await self._database.run(lambda c: [(number, index) for number, index in c.execute(query)])

    async def numbered(self, numbers: Collection[int]) -> list[SignalRecord]:
        """Return these signals, as far as they still were handed over without a resident, oldest first."""
        query = select(*(_SIGNALS.c[name] for name in SignalRecord._fields)).order_by(_SIGNALS.c.number)
        query = query.where(_SIGNALS.c.number.in_(numbers) & (_SIGNALS.c.handed_over == HANDED_OVER_UNRESOLVED))
        return await self._database.run(lambda c: list(map(SignalRecord._make, c.execute(query))))

    async def traceparents(self, header_hashes: Collection[bytes]) -> dict[bytes, str]:
        """Return the traces of batches."""
        return await traceparents(self._database, header_hashes)

    async def hand_over(self, states: Iterable[tuple[int, int]]) -> None:
        """Note of each (number, state) that the caller is done with it; who asks at the same time shares a commit."""
        values = [(state, number, STOPPED) for number, state in states]
        if values:
            await self._commits.run(lambda c: c.exec_driver_sql(_HANDED_OVER, values))


def _rows(connection: Connection, sql: str, parameters: tuple[int, ...]) -> list[tuple[Any, ...]]:
    """Return rows as the driver makes them: an object around each costs more than reading it."""
    cursor = connection.exec_driver_sql(sql, parameters).cursor
    assert cursor is not None, "a question has rows"
    return cursor.fetchall()  # type: ignore[return-value]  # the driver's rows are tuples


def _store(
    connection: Connection, header_hash: bytes, signals: Sequence[SignalRecord], canaries: Sequence[CanaryRecord]
) -> None:
    if signals:
        connection.exec_driver_sql(_NEW_SIGNAL, [_for_driver(signal) for signal in signals])
    if canaries:
        connection.execute(insert(_CANARIES).on_conflict_do_nothing(), [asdict(canary) for canary in canaries])
    stored = update(_BATCHES).where((_BATCHES.c.header_hash == header_hash) & (_BATCHES.c.state == OFFERED))
    connection.execute(stored.values(state=STORED))


def _for_driver(signal: SignalRecord) -> tuple[Any, ...]:
    """Return a row as the driver takes it fastest: for bytes it looks for an adapter at each value."""
    fields = (*signal[:_STORED_FIELDS], signal.handed_over)
    return tuple([bytearray(value) if type(value) is bytes else value for value in fields])


async def traceparents(database: Database, header_hashes: Collection[bytes]) -> dict[bytes, str]:
    """Return the traces that batches of an inbox belong to, by header hash; of one without any, ""."""
    query = select(_BATCHES.c.header_hash, _BATCHES.c.traceparent).where(_BATCHES.c.header_hash.in_(header_hashes))
    return await database.run(lambda c: {row.header_hash: row.traceparent for row in c.execute(query)})


async def find_signal(database: Database, batch_id: bytes, position: int) -> SignalRecord | None:
    """Return one stored signal of an open inbox; also while another process receives."""
    query = select(*(_SIGNALS.c[name] for name in SignalRecord._fields))
    query = query.where((_SIGNALS.c.batch_id == batch_id) & (_SIGNALS.c.position == position))
    row = await database.run(lambda c: c.execute(query).first())
    return SignalRecord(*row) if row else None


async def stop(organisation: Organisation, named: Collection[str]) -> None:
    """Hand over none of these deliveries (``<batch id>-<position>``) that still wait; also while another receives."""
    with local_database(organisation, "inbox", TABLES) as database:
        for delivery_id in named:
            batch, _, position = delivery_id.partition("-")
            one = (_SIGNALS.c.batch_id == bytes.fromhex(batch)) & (_SIGNALS.c.position == int(position))
            one &= _SIGNALS.c.handed_over.in_((WAITING, HANDED_OVER_UNRESOLVED))
            await database.run(partial(_not_handed_over, one))


def _not_handed_over(which: ColumnElement[bool], connection: Connection) -> None:
    connection.execute(update(_SIGNALS).where(which).values(handed_over=STOPPED))


async def received_between(database: Database, first_ms: int, end_ms: int) -> list[SignalRecord]:
    """Return the signals received from ``first_ms`` until before ``end_ms``, oldest first."""
    query = select(*(_SIGNALS.c[name] for name in SignalRecord._fields))
    query = query.where((_SIGNALS.c.received_ms >= first_ms) & (_SIGNALS.c.received_ms < end_ms))
    query = query.order_by(_SIGNALS.c.number)
    return await database.run(lambda c: [SignalRecord(*row) for row in c.execute(query)])


async def canaries_seen(organisation: Organisation) -> list[CanaryRecord]:
    """Return every canary that came, newest first; also while another process receives."""
    query = select(*(_CANARIES.c[name] for name in CanaryRecord.__dataclass_fields__))
    query = query.order_by(_CANARIES.c.received_ms.desc())
    with local_database(organisation, "inbox", TABLES) as database:
        return await database.run(lambda c: [CanaryRecord(*row) for row in c.execute(query)])
