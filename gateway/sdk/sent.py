"""What the outbox stores, and its statements; every function works inside the caller's transaction.

For one signal, SQLAlchemy's building and compiling of a statement would cost more than its cryptography, and for a
thousand rows at once, binding by name as much as sealing them. So would bytes, for each of which the driver looks for
an adapter; bytearrays it takes as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import Connection, Row
from sqlmodel import Field

from consent_ledger.clock import DAY_MS
from consent_ledger.v1 import events_pb2
from gateway.database import Stored
from gateway.sdk import later

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


@dataclass(frozen=True, slots=True)
class Run:
    """A send in progress; ``resumed`` when it goes on with one that was interrupted."""

    id: int
    digest: bytes
    started_ms: int
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


_RUN_OF = "SELECT id, started_ms, finished FROM sent_run WHERE digest = ? ORDER BY id DESC LIMIT 1"
_NEXT_RUN = "SELECT coalesce(max(id), 0) + 1 FROM sent_run"
_STORE_RUN = "INSERT INTO sent_run (id, digest, started_ms, finished) VALUES (?, ?, ?, 0) ON CONFLICT DO NOTHING"
_FINISH_RUN = "UPDATE sent_run SET finished = 1 WHERE id = ?"
_OPEN = """
SELECT batch_id, recipient, purpose, header, root, request, keys, expires_ms, traceparent FROM sent_batch
WHERE recipient = ? AND purpose = ? AND request IS NOT NULL ORDER BY expires_ms
"""
_LOOK_UP = """
SELECT key, signal_ref, number, run, substr(outcomes, place + 1, 1) AS outcome
FROM sent_row LEFT JOIN sent_batch ON number = batch WHERE key IN ({})
"""
_STORE_BATCH = """
INSERT INTO sent_batch
(batch_id, recipient, purpose, header, root, request, keys, expires_ms, run, outcomes, traceparent)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, x'', ?)
"""
_STORE_ROW = """
INSERT INTO sent_row (key, signal_ref, batch, place) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET batch = excluded.batch, place = excluded.place
"""
_ANSWER = """
UPDATE sent_batch SET request = NULL, keys = x'', run = ?, outcomes = ?, answer = ?, signature = ? WHERE batch_id = ?
"""
_ABANDON = "DELETE FROM sent_batch WHERE batch_id = ?"


def begin(connection: Connection, digest: bytes, now_ms: int) -> Run:
    """Return the run of a send: its last one when that was interrupted, else a new one.

    A new one is stored with the first thing that belongs to it; only who has the outbox to itself makes runs.
    """
    last = connection.exec_driver_sql(_RUN_OF, (digest,)).first()
    if last and not last.finished and now_ms - last.started_ms < RESUMABLE_MS:
        return Run(last.id, digest, last.started_ms, resumed=True)
    number: int = connection.exec_driver_sql(_NEXT_RUN).scalar_one()
    return Run(number, digest, now_ms, resumed=False)


def finish(connection: Connection, run: Run) -> None:
    """Close a run; of one that stored nothing, there is nothing to close."""
    connection.exec_driver_sql(_FINISH_RUN, (run.id,))


def open_batches(connection: Connection, recipient: str, purpose: str) -> list[OpenBatch]:
    """Return the batches for one recipient and purpose that have no answer yet."""
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
        for row in connection.exec_driver_sql(_OPEN, (recipient, purpose))
    ]


def look_up(connection: Connection, run: Run, keys: Sequence[bytes]) -> dict[bytes, Standing]:
    """Return what is known of at most 1000 rows."""
    if not keys:
        return {}
    marks = ",".join("?" * len(keys))
    rows = connection.exec_driver_sql(_LOOK_UP.format(marks), tuple(map(bytearray, keys)))
    return {row.key: _standing(run, row) for row in rows}


def _standing(run: Run, row: Row[Any]) -> Standing:
    if row.number is None:  # abandoned
        return Standing(row.signal_ref, UNANSWERED, open=False)
    if not row.outcome:
        return Standing(row.signal_ref, UNANSWERED, open=True)
    return Standing(row.signal_ref, _holds(run, row.run, row.outcome[0]), open=False)


def _holds(run: Run, answered_in: int, outcome: int) -> int:
    """Return the outcome that still holds in this run: acceptance for ever, a refusal within the run that got it."""
    if outcome == ACCEPTED or (answered_in == run.id and outcome != TRY_LATER):
        return outcome
    return UNANSWERED


def store(connection: Connection, run: Run, batch: OpenBatch, references: Sequence[bytes]) -> None:
    """Store a batch with the references of its rows."""
    _store_run(connection, run)
    values = (
        batch.batch_id,
        batch.recipient,
        batch.purpose,
        batch.header,
        batch.root,
        batch.request,
        b"".join(batch.keys),
        batch.expires_ms,
        run.id,
        batch.traceparent,
    )
    number = connection.exec_driver_sql(_STORE_BATCH, values).lastrowid
    rows = [
        (bytearray(key), bytearray(reference), number, place)
        for place, (key, reference) in enumerate(zip(batch.keys, references, strict=True))
    ]
    rows.sort()  # neighbours in the tree are written together
    connection.exec_driver_sql(_STORE_ROW, rows)


def answer(connection: Connection, run: Run, batch: OpenBatch, given: Answer) -> None:
    """Store an answer in place of what was asked."""
    _store_run(connection, run)
    values = (run.id, bytes(given.outcomes), given.decision_list, given.signature, batch.batch_id)
    connection.exec_driver_sql(_ANSWER, values)


def abandon(connection: Connection, batch: OpenBatch) -> None:
    """Delete a batch."""
    connection.exec_driver_sql(_ABANDON, (batch.batch_id,))


def _store_run(connection: Connection, run: Run) -> None:
    connection.exec_driver_sql(_STORE_RUN, (run.id, run.digest, run.started_ms))
