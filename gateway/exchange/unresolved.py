"""What the gateway hears about resolving: one count per recipient, purpose and closed day, in tens (rule 9).

Per signal the gateway may never learn whether its pseudonym belongs to somebody: that would tell, signal by signal, who
lives where. As a daily count it shows what the gateway's operator has to see: that an evaluator uses a wrong factor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError
from sqlalchemy import Connection, select

from consent_ledger.clock import DAY_MS, Clock
from consent_ledger.errors import RegieError
from consent_ledger.hashing import sha256
from consent_ledger.registry import Participant, Registry
from consent_ledger.v1.batch_pb2 import BatchHeader
from gateway.crypto import signatures
from gateway.database import Database, insert_into, looking, wrote
from gateway.directory.identity import require_same
from gateway.exchange.tables import UNRESOLVED, WAITING
from gateway.home import HomeError
from gateway.v1 import exchange_pb2 as pb
from gateway.validation import parse

LABEL_UNRESOLVED = b"regie/s/unresolved/v1"
OLDEST_DAYS = 35
"""A count of an older day helps nobody any more, and would let a recipient fill the table."""


class UnresolvedCounts:
    """Takes the counts of one gateway's recipients."""

    def __init__(self, database: Database, registry: Callable[[], Registry], clock: Clock) -> None:
        self._database, self._registry, self._clock = database, registry, clock

    async def report(self, caller: Participant, request: pb.ReportUnresolvedRequest) -> None:
        """Keep a recipient's count; the same again changes nothing.

        Raises RegieError NOT_FRESH for a day that is not over or long past, DOMAIN_NOT_OWN for a purpose that the
        caller does not receive, SIGNATURE_INVALID, and FIELD_INVALID for another count about the same day.
        """
        said = parse(pb.UnresolvedReport, request.report, "report")
        require_same(said.recipient, caller, "report.recipient")
        public = caller.key_by_id(said.recipient_key_id).public
        signatures.verify(public, LABEL_UNRESOLVED, request.signature, sha256(request.report))
        if caller.kind not in self._registry().purpose(said.purpose).recipient_kinds:
            raise RegieError("DOMAIN_NOT_OWN", "a recipient reports about what it receives", "report.purpose")
        today = self._clock() // DAY_MS
        if not today - OLDEST_DAYS <= said.day < today:
            raise RegieError("NOT_FRESH", f"expected a day that is over, at most {OLDEST_DAYS} ago", "report.day")
        await self._database.run(lambda connection: _keep(connection, said, request))


def _keep(connection: Connection, said: pb.UnresolvedReport, request: pb.ReportUnresolvedRequest) -> None:
    row = insert_into(connection, UNRESOLVED).values(
        recipient=said.recipient,
        purpose=said.purpose,
        day=said.day,
        unresolved=said.unresolved,
        report=request.report,
        signature=request.signature,
    )
    if wrote(connection, row.on_conflict_do_nothing()):
        return
    at = (UNRESOLVED.c.recipient == said.recipient) & (UNRESOLVED.c.purpose == said.purpose)
    at &= UNRESOLVED.c.day == said.day
    if connection.execute(select(UNRESOLVED.c.unresolved).where(at)).scalar_one() != said.unresolved:
        # Two counts of one day differ by what happened to single signals in between.
        raise RegieError("FIELD_INVALID", "another count was reported for this day before", "report.unresolved")


@dataclass(frozen=True, slots=True)
class DayCount:
    """One UTC day of one recipient and purpose; ``unresolved`` is None when the recipient did not report.

    ``delivered`` counts what was handed out then, as far as it is still kept.
    """

    recipient: str
    purpose: str
    day: int
    delivered: int
    unresolved: int | None


def day_counts(place: Path | str, since_day: int) -> list[DayCount]:
    """Read a gateway's database, running or not, from one UTC day on; newest first. Raises HomeError without one."""
    told, sent = UNRESOLVED.c, WAITING.c
    reports = select(told.recipient, told.purpose, told.day, told.unresolved).where(told.day >= since_day)
    deliveries = select(sent.recipient, sent.header, sent.delivered_ms, sent.permitted)
    with looking(place, "gateway") as connection:
        reported: dict[tuple[str, str, int], int] = {
            (recipient, purpose, day): count for recipient, purpose, day, count in connection.execute(reports)
        }
        delivered: dict[tuple[str, str, int], int] = {}
        for row in connection.execute(deliveries.where(sent.delivered_ms >= since_day * DAY_MS)):
            key = (row.recipient, _purpose(row.header), row.delivered_ms // DAY_MS)
            delivered[key] = delivered.get(key, 0) + row.permitted
    keys = sorted(reported.keys() | delivered.keys(), key=lambda key: (-key[2], key[0], key[1]))
    return [DayCount(*key, delivered.get(key, 0), reported.get(key)) for key in keys]


def _purpose(header: bytes) -> str:
    try:
        return BatchHeader.FromString(header).purpose
    except DecodeError:  # it was parsed when it came in
        raise HomeError("the gateway's database is damaged: a stored header cannot be read") from None
