"""The numbers behind A9, read from the console's own tables, and every rule applied to them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from consent_ledger.clock import DAY_MS
from consent_ledger.dates import at_hour
from consent_ledger.v1 import events_pb2 as pb
from gateway.auditor.anomalies import (
    DESK,
    HISTORY_DAYS,
    HOUR_MS,
    OFF_HOURS,
    OUTCOME_DAYS,
    RESIDENTS,
    Counted,
    Decided,
    Finding,
    Kind,
    Waiting,
    against_all,
    against_itself,
    missing_outcomes,
    off_hours,
    refusal_jumps,
)
from gateway.auditor.index import states
from gateway.auditor.index.states import date_of, day_of

_STAFF = (pb.CAPTURED_VIA_DESK, pb.CAPTURED_VIA_PAPER, pb.CAPTURED_VIA_PHONE)


@dataclass(frozen=True, slots=True)
class Unusual:
    """What was compared with its threshold, by rule; ``hours`` are those of residents asked about, for the picture."""

    findings: tuple[Finding, ...]
    hours: tuple[Counted, ...]


def unusual(connection: Connection, since_ms: int, now_ms: int) -> Unusual:
    """Apply every rule to what happened since a moment."""
    from_ms = since_ms - HISTORY_DAYS * DAY_MS
    signals, residents = _hours(connection, from_ms, now_ms)
    findings = [
        *against_itself(Kind.RESIDENTS, RESIDENTS, residents, since_ms // HOUR_MS * HOUR_MS),
        *refusal_jumps(_decided(connection, from_ms), _day_start(since_ms)),
        *against_itself(Kind.OFF_HOURS, OFF_HOURS, off_hours(signals), _day_start(since_ms)),
        *against_all(Kind.DESK, DESK, _desk(connection, from_ms), _day_start(since_ms)),
        *missing_outcomes(_waiting(connection, from_ms, now_ms), now_ms),
    ]
    return Unusual(tuple(findings), tuple(row for row in residents if row.at_ms >= since_ms))


def _hours(connection: Connection, from_ms: int, now_ms: int) -> tuple[list[Counted], list[Counted]]:
    """Return the signals and the different residents of each sender and hour."""
    sql = "SELECT sender, hour, signals, residents FROM hour WHERE hour BETWEEN ? AND ? ORDER BY hour, sender"
    rows = connection.exec_driver_sql(sql, (from_ms // HOUR_MS, now_ms // HOUR_MS)).all()
    signals = [Counted(sender, hour * HOUR_MS, count) for sender, hour, count, _ in rows]
    return signals, [Counted(sender, hour * HOUR_MS, count) for sender, hour, _, count in rows]


def _decided(connection: Connection, from_ms: int) -> list[Decided]:
    """Return decisions and refusals of each sender and day, from the cube: erased ones count too."""
    sql = (
        # A stop at delivery is a resident's change of mind, and no refusal of what was asked; not yet is none either.
        "SELECT route.sender, cell.day, sum(cell.count),"
        " sum(CASE WHEN cell.state = ? AND cell.reason NOT IN (?, ?) THEN cell.count ELSE 0 END)"
        " FROM cell JOIN route ON route.id = cell.route WHERE cell.day >= ? GROUP BY route.sender, cell.day"
    )
    later = (pb.REASON_SELF_FIRST_WINDOW, pb.REASON_AWAITING_RESIDENT)
    rows = connection.exec_driver_sql(sql, (states.REFUSED, *later, day_of(from_ms)))
    return [Decided(sender, _start_of(day), decided, refused) for sender, day, decided, refused in rows]


def _desk(connection: Connection, from_ms: int) -> list[Counted]:
    """Return how many choices each employee recorded on each day."""
    marks = ", ".join("?" * len(_STAFF))
    sql = f"SELECT by, time_ms FROM act WHERE via IN ({marks}) AND refused = '' AND time_ms >= ?"  # noqa: S608  (question marks)
    found: dict[tuple[str, int], int] = {}
    for by, time_ms in connection.exec_driver_sql(sql, (*_STAFF, from_ms)):
        key = (by, _day_start(time_ms))
        found[key] = found.get(key, 0) + 1
    return [Counted(by, at_ms, count) for (by, at_ms), count in found.items()]


def _waiting(connection: Connection, from_ms: int, now_ms: int) -> list[Waiting]:
    """Return deliveries of each recipient that were asked for long enough ago, and how many have no outcome."""
    sql = (
        "SELECT route.recipient, sum(cell.count), sum(CASE WHEN cell.state < ? THEN cell.count ELSE 0 END)"
        " FROM cell JOIN route ON route.id = cell.route WHERE cell.state >= ? AND cell.day BETWEEN ? AND ?"
        " GROUP BY route.recipient ORDER BY route.recipient"
    )
    days = (day_of(from_ms), day_of(now_ms) - OUTCOME_DAYS)
    rows = connection.exec_driver_sql(sql, (states.REPORTED, states.RELEASED, *days))
    return [Waiting(recipient, due, missing) for recipient, due, missing in rows]


def _start_of(day: int) -> int:
    return at_hour(date_of(day), 0)


def _day_start(time_ms: int) -> int:
    return _start_of(day_of(time_ms))
