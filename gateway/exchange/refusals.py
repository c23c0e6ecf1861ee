"""Whoever asks about very many residents that are refused is slowed down, and that is told (residents.md AS10).

An organisation, or who stole its key, could report thousands of people to see what comes back. All refusals look alike,
but the one answer that differs tells that somebody made a choice. So refusals are counted by sender and hour: beyond a
number the sender waits for the next hour, and the operator is alarmed once. What is under way counts as refused until
it is answered, so that asking in parallel asks about no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pysqlite3.dbapi2 as sqlite
from sqlalchemy import ColumnElement, Connection, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from consent_ledger.clock import DAY_MS
from consent_ledger.errors import RegieError
from gateway.exchange.tables import ASKED
from gateway.home import HomeError
from gateway.telemetry.logs import get_logger

HOUR_MS = 3_600_000
KEPT_DAYS = 35


def admit(connection: Connection, sender: str, count: int, now_ms: int, most: int) -> None:
    """Count a batch that is new, unless its sender has had too many refusals this hour.

    Raises RegieError QUOTA_EXCEEDED then, and OVERLOADED while that hangs on batches that are under way.
    """
    hour = now_ms // HOUR_MS
    found = connection.execute(select(ASKED).where(_at(sender, hour))).first()
    if found is not None and found.refused >= most:
        raise RegieError(
            "QUOTA_EXCEEDED", f"{most} signals were refused this hour: go on in the next one, and look what is wrong"
        )
    if found is not None and found.refused + found.pending >= most:
        raise RegieError("OVERLOADED", "wait for the answers to what was sent before")
    counted = insert(ASKED).values(sender=sender, hour=hour, asked=count, pending=count)
    more = {"asked": ASKED.c.asked + count, "pending": ASKED.c.pending + count}
    connection.execute(counted.on_conflict_do_update(set_=more))


def turned_away(connection: Connection, sender: str, count: int, now_ms: int) -> None:
    """Count what was not admitted."""
    away = update(ASKED).where(_at(sender, now_ms // HOUR_MS))
    connection.execute(away.values(turned_away=ASKED.c.turned_away + count))


def settle(connection: Connection, sender: str, count: int, *, refused: int, now_ms: int, most: int) -> bool:
    """Count the answers to a batch; tells whether they are the ones that make it too many.

    An answer in another hour than the batch came in counts there: nothing is pending for long.
    """
    hour = now_ms // HOUR_MS
    connection.execute(insert(ASKED).values(sender=sender, hour=hour).on_conflict_do_nothing())
    before = connection.execute(select(ASKED).where(_at(sender, hour))).one()
    done = {"refused": before.refused + refused, "pending": max(0, before.pending - count)}
    connection.execute(update(ASKED).where(_at(sender, hour)).values(done))
    return bool(before.refused < most <= before.refused + refused)


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


def hour_counts(path: Path, since_hour: int) -> list[HourCount]:
    """Read a gateway's database, running or not, from one hour on; newest first. Raises HomeError without one."""
    if not path.exists():
        raise HomeError(f"there is no gateway database at {path}: this is for the operator of the gateway")
    connection = sqlite.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    query = "SELECT sender, hour, asked, refused, turned_away FROM asked WHERE hour >= ? ORDER BY hour DESC, sender"
    try:
        return [HourCount(*row) for row in connection.execute(query, (since_hour,))]
    except sqlite.Error as error:
        raise HomeError(f"{path.name} cannot be read ({error}): start the gateway once, then try again") from None
    finally:
        connection.close()
