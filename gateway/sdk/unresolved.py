"""Telling the gateway how many signals of a closed day fit nobody: once a day, in tens, never per signal (rule 9).

A count is made from the inbox after its UTC day is over, kept before it is sent, and sent until the gateway has it. A
crash at any point changes no count: it is either not made yet, or kept, or known to the gateway, which takes it twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlmodel import Field

from consent_ledger.clock import DAY_MS
from consent_ledger.errors import RegieError
from gateway.crypto import signatures
from gateway.database import Database, Stored, table_of
from gateway.sdk import inbox
from gateway.sdk.agency import Agency
from gateway.sdk.enrolment import enrolment_database, known
from gateway.sdk.inbox import CanarySeen, ReceivedSignal
from gateway.sdk.local import local_database
from gateway.sdk.remote import UNREACHABLE
from gateway.v1 import exchange_pb2

LABEL_UNRESOLVED = b"regie/s/unresolved/v1"
TENS = 10
"""A count below ten is told as none: it could be about one signal, and one signal about one person."""

GRACE_MS = 10 * 60_000
"""How long after midnight a day counts as over, also by the gateway's clock."""

OLDEST_DAYS = 30
TO_SEND, SENT, GIVEN_UP = 0, 1, 2
_CHUNK = 1000


class UnresolvedDay(Stored, table=True):
    """The count of one purpose and closed day as it is told; made once, and never made again."""

    __tablename__ = "unresolved_day"
    purpose: str = Field(primary_key=True)
    day: int = Field(primary_key=True)
    unresolved: int
    state: int = Field(default=TO_SEND, index=True)


TABLES: tuple[type[Stored], ...] = (*inbox.TABLES, UnresolvedDay)
_DAYS, _SIGNALS, _CANARIES = table_of(UnresolvedDay), table_of(ReceivedSignal), table_of(CanarySeen)


@contextmanager
def _database(agency: Agency) -> Iterator[Database]:
    with local_database(agency.organisation, "inbox", TABLES) as database:
        yield database


class UnresolvedReporter:
    """Reports the closed days of one recipient."""

    def __init__(self, agency: Agency) -> None:
        """Report for this agency."""
        self._agency = agency
        self._done_until = 0

    async def report(self) -> int:
        """Count the days that are over and tell the gateway; returns how many counts it took.

        Days without a delivery have no count; one with only canaries has, or the gateway could tell them by it. What
        the gateway cannot be told now is told next time. Costs nothing more until another day is over.
        """
        until = (self._agency.clock() - GRACE_MS) // DAY_MS
        if until <= self._done_until:
            return 0
        with _database(self._agency) as database:
            await self._close(database, until)
            query = select(_DAYS.c.purpose, _DAYS.c.day, _DAYS.c.unresolved).where(_DAYS.c.state == TO_SEND)
            waiting = await database.run(lambda c: c.execute(query.order_by(_DAYS.c.day)).all())
            for number, (purpose, day, count) in enumerate(waiting):
                state = await self._tell(purpose, day, count)
                if state == TO_SEND:
                    return number
                await database.run(partial(_mark, purpose=purpose, day=day, state=state))
        self._done_until = until
        return len(waiting)

    async def _tell(self, purpose: str, day: int, count: int) -> int:
        """Return the state of a count after telling it to the gateway."""
        try:
            await self._agency.remote.report_unresolved(await self._request(purpose, day, count))
        except RegieError as error:
            # Else it is too old, or was told otherwise before a backup of this inbox was put back: that stands.
            return TO_SEND if error.reason in UNREACHABLE | {"INTERNAL"} else GIVEN_UP
        return SENT

    async def _close(self, database: Database, until: int) -> None:
        """Make and keep the counts of the days before ``until`` that have none yet."""
        found = await database.run(lambda connection: _received(connection, until))
        if not found:
            return
        counts = Counter[tuple[str, int]]()
        with enrolment_database(self._agency.organisation) as enrolment:
            for at in range(0, len(found), _CHUNK):
                part = found[at : at + _CHUNK]
                enrolled = await known(enrolment, [index for _, _, index in part if index])
                for purpose, day, index in part:
                    counts[purpose, day] += bool(index) and index not in enrolled
        values = [
            {"purpose": purpose, "day": day, "unresolved": count - count % TENS, "state": TO_SEND}
            for (purpose, day), count in counts.items()
        ]
        await database.run(lambda c: c.execute(insert(_DAYS).on_conflict_do_nothing(), values))

    async def _request(self, purpose: str, day: int, count: int) -> exchange_pb2.ReportUnresolvedRequest:
        agency = self._agency
        report = exchange_pb2.UnresolvedReport(
            recipient=agency.oin,
            recipient_key_id=(await agency.me()).key("sign").key_id,
            purpose=purpose,
            day=day,
            unresolved=count,
        ).SerializeToString(deterministic=True)
        key = signatures.signing_key(agency.organisation.key("sign"))
        signature = signatures.sign(key, LABEL_UNRESOLVED, sha256(report).digest())
        return exchange_pb2.ReportUnresolvedRequest(report=report, signature=signature)


def _received(connection: Connection, until: int) -> list[tuple[str, int, bytes]]:
    """Return (purpose, day, stored index) of what came in the days that are over and have no count.

    A canary stands for its day only: its index is left out.
    """
    last = connection.execute(select(func.max(_DAYS.c.day))).scalar()
    since = max(until - OLDEST_DAYS, 0 if last is None else last + 1)
    bounds = since * DAY_MS, until * DAY_MS
    signals = select(_SIGNALS.c.purpose, _SIGNALS.c.received_ms, _SIGNALS.c.stored_index)
    canaries = select(_CANARIES.c.purpose, _CANARIES.c.received_ms)
    rows: Iterable[tuple[str, int, bytes]] = [
        *((p, ms, index) for p, ms, index in connection.execute(_within(signals, _SIGNALS.c.received_ms, bounds))),
        *((p, ms, b"") for p, ms in connection.execute(_within(canaries, _CANARIES.c.received_ms, bounds))),
    ]
    return [(purpose, received_ms // DAY_MS, index) for purpose, received_ms, index in rows]


def _within(query: Select[Any], column: ColumnElement[int], bounds: tuple[int, int]) -> Select[Any]:
    return query.where((column >= bounds[0]) & (column < bounds[1]))


def _mark(connection: Connection, purpose: str, day: int, state: int) -> None:
    this = (_DAYS.c.purpose == purpose) & (_DAYS.c.day == day)
    connection.execute(update(_DAYS).where(this).values(state=state))
