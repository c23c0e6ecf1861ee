"""What A6, A10, A11 and A12 read of the index; each function takes a connection and returns plain rows.

Lists go back from an index (``before``), newest first, so that a page costs the same wherever it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from consent_ledger.v1 import events_pb2 as pb
from gateway.auditor.index import states
from gateway.auditor.percentiles import Latency, latencies

PAGE = 50
STAFF = (pb.CAPTURED_VIA_DESK, pb.CAPTURED_VIA_PAPER, pb.CAPTURED_VIA_PHONE)
MOST_TIMED = 20_000
"""Newest exchanges whose times are read for percentiles."""
_ANY = 2**62


class Growth(NamedTuple):
    """How many entries a day brought, in all and of these public ones."""

    day: int
    entries: int
    public: int


class Head(NamedTuple):
    """A checkpoint that was verified."""

    size: int
    root: bytes
    seen_ms: int


class Chains(NamedTuple):
    """Residents' chains: how many, how many have a number missing, how many numbers, and how many were erased."""

    residents: int
    with_gap: int
    missing: int
    erased: int


class Act(NamedTuple):
    """A choice that staff recorded, or an attempt that was refused."""

    idx: int
    time_ms: int
    kind: str
    via: int
    by: str
    resident: bytes
    sender: str
    recipient: str
    purpose: str
    mode: int
    proven: bool
    confirmed_idx: int | None
    refused: str


class Employee(NamedTuple):
    """What one employee recorded: choices, of these with the resident's code, confirmed since, and refused attempts."""

    by: str
    recorded: int
    proven: int
    confirmed: int
    refused: int
    newest_ms: int


class Task(NamedTuple):
    """What an organisation is asked: to answer a question, or to stop using data."""

    idx: int
    time_ms: int
    kind: str
    organisation: str
    purpose: str
    about_idx: int | None
    resident: bytes
    due_ms: int
    done_idx: int | None
    done_ms: int | None
    how: int

    def is_overdue(self, now_ms: int) -> bool:
        """Tell whether it was due before it was done, or is not done and was due."""
        return self.due_ms < (self.done_ms or now_ms)


class TaskCount(NamedTuple):
    """How an organisation does what it is asked."""

    organisation: str
    kind: str
    asked: int
    done: int
    open: int
    overdue: int


class Leg(NamedTuple):
    """A part of an exchange's way that the log itself times."""

    stage: str  # released | acknowledged | outcome
    sender: str
    recipient: str


class OfTrace(NamedTuple):
    """One exchange of a trace, with what became of it."""

    idx: int
    time_ms: int
    sender: str
    recipient: str
    state: int
    reason: int
    released_idx: int | None
    released_ms: int | None
    withheld_idx: int | None
    withheld_ms: int | None
    acked_idx: int | None
    acked_ms: int | None
    outcome_idx: int | None
    outcome_ms: int | None


class Received(NamedTuple):
    """What the log says of one recipient's deliveries, to be laid beside that recipient's own book."""

    recipient: str
    delivered: int
    acknowledged: int
    reported: int

    @property
    def open(self) -> int:
        """Delivered, and nobody said that it arrived."""
        return self.delivered - self.acknowledged


def growth(connection: Connection, since_day: int) -> list[Growth]:
    """Return the days with entries, oldest first."""
    sql = (
        "SELECT day, sum(count), sum(CASE WHEN kind LIKE 'public.%' THEN count ELSE 0 END) FROM growth"
        " WHERE day >= ? GROUP BY day ORDER BY day"
    )
    return [Growth(*row) for row in connection.exec_driver_sql(sql, (since_day,))]


def heads(connection: Connection, most: int = 20) -> list[Head]:
    """Return the newest checkpoints that were verified, newest first."""
    sql = "SELECT size, root, seen_ms FROM head ORDER BY size DESC LIMIT ?"
    return [Head(*row) for row in connection.exec_driver_sql(sql, (most,))]


def chains(connection: Connection) -> Chains:
    """Count the residents' chains and what is missing of them; what was erased on purpose is missing too."""
    sql = (
        "SELECT count(*), coalesce(sum(gap > 0), 0), coalesce(sum(gap), 0)"
        " FROM (SELECT max(seq) - count(*) AS gap FROM about GROUP BY resident)"
    )
    erased = connection.exec_driver_sql("SELECT count(*) FROM erased").scalar_one()
    residents, gaps, missing = connection.exec_driver_sql(sql).one()
    return Chains(residents, gaps, missing, erased)


def acts(connection: Connection, by: str = "", before: int | None = None, most: int = PAGE) -> list[Act]:
    """Return what staff recorded or tried, newest first; ``by`` chooses one employee."""
    marks = ", ".join("?" * len(STAFF))
    chosen, values = ("AND by = ?", (by,)) if by else ("", ())
    sql = (
        f"SELECT {', '.join(Act._fields)} FROM act WHERE via IN ({marks}) {chosen} AND idx < ?"  # noqa: S608  (constants)
        " ORDER BY idx DESC LIMIT ?"
    )
    rows = connection.exec_driver_sql(sql, (*STAFF, *values, before or _ANY, most))
    return [Act(*row) for row in rows]


def employees(connection: Connection) -> list[Employee]:
    """Return what each employee recorded, who recorded most first."""
    marks = ", ".join("?" * len(STAFF))
    sql = (
        "SELECT by, sum(refused = ''), sum(refused = '' AND proven), sum(confirmed_idx IS NOT NULL),"  # noqa: S608  (question marks)
        f" sum(refused <> ''), max(time_ms) FROM act WHERE via IN ({marks}) GROUP BY by ORDER BY 2 DESC, 1"
    )
    return [Employee(*row) for row in connection.exec_driver_sql(sql, STAFF)]


def tasks(
    connection: Connection, kind: str, now_ms: int, *, only: str = "", before: int | None = None, most: int = PAGE
) -> list[Task]:
    """Return what organisations are asked, newest first; ``only`` is "open", "overdue" (open, past its date) or ""."""
    chosen = {"open": "AND done_idx IS NULL", "overdue": "AND done_idx IS NULL AND due_ms < ?", "": ""}[only]
    values: tuple[Any, ...] = (now_ms,) if only == "overdue" else ()
    sql = f"SELECT {', '.join(Task._fields)} FROM task WHERE kind = ? {chosen} AND idx < ? ORDER BY idx DESC LIMIT ?"  # noqa: S608  (constants)
    return [Task(*row) for row in connection.exec_driver_sql(sql, (kind, *values, before or _ANY, most))]


def task_counts(connection: Connection, now_ms: int) -> list[TaskCount]:
    """Return how each organisation does what it is asked, most overdue first."""
    sql = (
        "SELECT organisation, kind, count(*), sum(done_idx IS NOT NULL), sum(done_idx IS NULL),"
        " sum(done_idx IS NULL AND due_ms < ?) FROM task GROUP BY organisation, kind ORDER BY 6 DESC, 5 DESC, 1, 2"
    )
    return [TaskCount(*row) for row in connection.exec_driver_sql(sql, (now_ms,))]


def deviation_counts(connection: Connection) -> list[tuple[str, int, int]]:
    """Return (recipient, outcomes reported, of these otherwise than the resident asked), most deviations first."""
    sql = (
        "SELECT route.recipient, sum(cell.count), sum(CASE WHEN cell.state = ? THEN cell.count ELSE 0 END)"
        " FROM cell JOIN route ON route.id = cell.route WHERE cell.state >= ?"
        " GROUP BY route.recipient ORDER BY 3 DESC, 1"
    )
    rows = connection.exec_driver_sql(sql, (states.DEVIATED, states.REPORTED))
    return [(recipient, reported, deviated) for recipient, reported, deviated in rows if reported]


def legs(connection: Connection, most: int = MOST_TIMED) -> dict[Leg, Latency]:
    """Return how long the newest exchanges took, by the log's own times: delivered, received, outcome."""
    sql = (
        "SELECT route.sender, route.recipient, e.trace_id, e.time_ms, e.released_ms, e.acked_ms, e.outcome_ms"
        " FROM (SELECT * FROM exchange ORDER BY idx DESC LIMIT ?) AS e JOIN cell ON cell.id = e.cell"
        " JOIN route ON route.id = cell.route WHERE e.released_ms IS NOT NULL"
    )
    found: list[tuple[Leg, float, bytes]] = []
    for sender, recipient, trace, decided, released, acked, outcome in connection.exec_driver_sql(sql, (most,)):
        times = (("released", decided, released), ("acknowledged", released, acked), ("outcome", released, outcome))
        found += [(Leg(stage, sender, recipient), float(to - at), trace) for stage, at, to in times if to is not None]
    return latencies(found, lambda row: row[0], lambda row: (row[1], row[2]))


def of_trace(connection: Connection, trace_id: bytes, days: Sequence[int], most: int = 1_000) -> list[OfTrace]:
    """Return (index, time, sender, recipient, state, reason, released, received, outcome: index and time) of a trace.

    ``days`` limits where is looked: a trace of spans tells when it was; () looks everywhere.
    """
    between = "cell.day BETWEEN ? AND ? AND" if days else ""
    sql = (
        "SELECT e.idx, e.time_ms, route.sender, route.recipient, cell.state, cell.reason,"  # noqa: S608  (constants)
        " e.released_idx, e.released_ms, e.withheld_idx, e.withheld_ms,"
        " e.acked_idx, e.acked_ms, e.outcome_idx, e.outcome_ms"
        " FROM cell JOIN exchange AS e ON e.cell = cell.id JOIN route ON route.id = cell.route"
        f" WHERE {between} e.trace_id = ? ORDER BY e.idx LIMIT ?"
    )
    values = (min(days), max(days), trace_id, most) if days else (trace_id, most)
    return [OfTrace(*row) for row in connection.exec_driver_sql(sql, values)]


def received(connection: Connection) -> list[Received]:
    """Return deliveries and acknowledgements of every recipient, from the cube."""
    sql = (
        "SELECT route.recipient, sum(cell.count), sum(CASE WHEN cell.state >= ? THEN cell.count ELSE 0 END),"
        " sum(CASE WHEN cell.state >= ? THEN cell.count ELSE 0 END)"
        " FROM cell JOIN route ON route.id = cell.route WHERE cell.state >= ? GROUP BY route.recipient ORDER BY 1"
    )
    values = (states.ACKNOWLEDGED, states.REPORTED, states.RELEASED)
    return [Received(*row) for row in connection.exec_driver_sql(sql, values)]
