"""Whoever asks about very many residents that are refused is slowed down, and that is told (residents.md AS10).

An organisation, or who stole its key, could report thousands of people to see what comes back. All refusals look alike,
but the one answer that differs tells that somebody made a choice. So refusals are counted by sender and hour: beyond a
number the sender waits for the next hour, and the operator is alarmed once. What is under way counts as refused until
it is answered, so that asking in parallel asks about no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Insert,
    Integer,
    bindparam,
    case,
    delete,
    select,
    update,
)

from consent_ledger.clock import DAY_MS
from consent_ledger.errors import RegieError
from gateway.database import insert_for, looking, wrote
from gateway.exchange.tables import ASKED
from gateway.telemetry.logs import get_logger

HOUR_MS = 3_600_000
KEPT_DAYS = 35


@cache
def _counted(dialect: str) -> Insert:
    more: BindParameter[int] = bindparam("more", type_=Integer)
    row = insert_for(dialect, ASKED).values(sender=bindparam("of"), hour=bindparam("at"), asked=more, pending=more)
    return row.on_conflict_do_update(
        index_elements=["sender", "hour"],
        set_={"asked": ASKED.c.asked + more, "pending": ASKED.c.pending + more},
        where=ASKED.c.refused + ASKED.c.pending < bindparam("most"),  # where it is stored: replicas count side by side
    )


@cache
def _hour(dialect: str) -> Insert:
    return insert_for(dialect, ASKED).on_conflict_do_nothing()


_LEFT = ASKED.c.pending - bindparam("done")
_SETTLED = (
    update(ASKED)
    .where(ASKED.c.sender == bindparam("of"), ASKED.c.hour == bindparam("at"))
    .values(refused=ASKED.c.refused + bindparam("no"), pending=case((_LEFT > 0, _LEFT), else_=0))
    .returning(ASKED.c.refused)
)


def admit(connection: Connection, sender: str, count: int, now_ms: int, most: int) -> None:
    """Count a batch that is new, unless its sender has had too many refusals this hour.

    Raises RegieError QUOTA_EXCEEDED then, and OVERLOADED while that hangs on batches that are under way.
    """
    hour = now_ms // HOUR_MS
    if wrote(connection, _counted(connection.dialect.name), {"of": sender, "at": hour, "more": count, "most": most}):
        return
    if connection.execute(select(ASKED.c.refused).where(_at(sender, hour))).scalar_one() >= most:
        raise RegieError(
            "QUOTA_EXCEEDED", f"{most} signals were refused this hour: go on in the next one, and look what is wrong"
        )
    raise RegieError("OVERLOADED", "wait for the answers to what was sent before")


def turned_away(connection: Connection, sender: str, count: int, now_ms: int) -> None:
    """Count what was not admitted."""
    away = update(ASKED).where(_at(sender, now_ms // HOUR_MS))
    connection.execute(away.values(turned_away=ASKED.c.turned_away + count))


def settle(connection: Connection, sender: str, count: int, *, refused: int, now_ms: int, most: int) -> bool:
    """Count the answers to a batch; tells whether they are the ones that make it too many.

    An answer in another hour than the batch came in counts there: nothing is pending for long.
    """
    hour = now_ms // HOUR_MS
    answers = {"of": sender, "at": hour, "done": count, "no": refused}
    after = connection.execute(_SETTLED, answers).scalar_one_or_none()
    if after is None:
        connection.execute(_hour(connection.dialect.name), {"sender": sender, "hour": hour})
        after = connection.execute(_SETTLED, answers).scalar_one()
    return bool(after - refused < most <= after)


def alarm(sender: str, most: int) -> None:
    """Tell the operator, once for a sender and an hour."""
    get_logger().error("ALARM: very many refusals for one sender", oin=sender, count=most, reason="QUOTA_EXCEEDED")


def forget_old(connection: Connection, now_ms: int) -> None:
    """Drop hours that are long past."""
    connection.execute(delete(ASKED).where(ASKED.c.hour < (now_ms - KEPT_DAYS * DAY_MS) // HOUR_MS))


def _at(sender: str, hour: int) -> ColumnElement[bool]:
    return (ASKED.c.sender == sender) & (ASKED.c.hour == hour)


@dataclass(frozen=True, slots=True)
class HourCount:
    """What one sender asked in one hour (UTC, since 1970): signals, how many were refused, how many not taken."""

    sender: str
    hour: int
    asked: int
    refused: int
    turned_away: int


def hour_counts(place: Path | str, since_hour: int) -> list[HourCount]:
    """Read a gateway's database, running or not, from one hour on; newest first. Raises HomeError without one."""
    columns = [ASKED.c[name] for name in HourCount.__dataclass_fields__]
    query = select(*columns).where(ASKED.c.hour >= since_hour).order_by(ASKED.c.hour.desc(), ASKED.c.sender)
    with looking(place, "gateway") as connection:
        return [HourCount(*row) for row in connection.execute(query)]
