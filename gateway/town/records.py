"""What the ledger shows residents about exchanges, refused and prohibited ones included; for many at once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field

from consent_ledger.v1 import consents_pb2, events_pb2
from gateway.sdk import csvfile, formats, portal, rows
from gateway.sdk.agency import Agency
from gateway.sdk.evaluation import CHUNK, RowEvaluator
from gateway.sdk.local import local_database
from gateway.town.people import Resident
from gateway.town.story import Seen, Words

AT_ONCE = 16
LIMIT = 1000
"""The most exchanges that one answer of the ledger holds; nobody in the town has so many."""


@dataclass(frozen=True, slots=True)
class About:
    """A resident and a purpose that signals were sent for."""

    resident: Resident
    purpose: str


@dataclass(slots=True)
class Records:
    """Reads residents' records as the portal does; knows identifiers during a call only, like the portal."""

    agency: Agency
    evaluator: RowEvaluator
    _elements: dict[tuple[str, bytes], bytes] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def open(cls, agency: Agency) -> AsyncIterator[Records]:
        """Read with the portal's own keys and pinned values."""
        with local_database(agency.organisation, "portal", portal.TABLES) as database:
            yield cls(agency, RowEvaluator(agency, database, "ledger"))

    def identifiers(self, resident: Resident) -> rows.Resident:
        """Return a resident's identifiers as the portal has them after a login."""
        record = csvfile.Record(2, (), asdict(resident), ())
        return formats.one_resident(record, formats.today(self.agency.clock()))

    async def exchanges(self, about: About) -> list[Seen]:
        """Return all exchanges about a resident for a purpose."""
        return await self.all_exchanges([about])

    async def all_exchanges(
        self, about: Collection[About], progress: Callable[[int], None] = lambda _: None
    ) -> list[Seen]:
        """Return all exchanges about residents for purposes, each exchange once."""
        await self._evaluate(about)
        slots = asyncio.Semaphore(AT_ONCE)

        async def read(one: About) -> list[Seen]:
            async with slots:
                found = await self._read(one)
            progress(1)
            return found

        found = await asyncio.gather(*(read(one) for one in about))
        return list({seen.log_index: seen for some in found for seen in some}.values())

    async def _read(self, about: About) -> list[Seen]:
        elements = [self._elements[about.purpose, message] for message in await self._messages(about)]
        request = consents_pb2.GetRecordRequest(
            rows=[consents_pb2.Rows(purpose=about.purpose, elements=elements)], limit=LIMIT
        )
        answer = await self.agency.remote.get_record(request)
        return [_seen(exchange) for exchange in answer.exchanges]

    async def _evaluate(self, about: Iterable[About]) -> None:
        missing: dict[str, dict[bytes, None]] = defaultdict(dict)
        for one in about:
            for message in await self._messages(one):
                if (one.purpose, message) not in self._elements:
                    missing[one.purpose][message] = None
        for purpose, found in missing.items():
            messages = list(found)
            for at in range(0, len(messages), CHUNK):
                part = messages[at : at + CHUNK]
                elements = await self.evaluator.evaluate(purpose, part)
                self._elements.update(((purpose, m), element) for m, element in zip(part, elements, strict=True))

    async def _messages(self, about: About) -> list[bytes]:
        resident = self.identifiers(about.resident)
        schemes = (await self.agency.registry()).purpose(about.purpose).schemes
        return [message for message in map(resident.message, schemes) if message is not None]


def _seen(exchange: consents_pb2.ExchangeRecord) -> Seen:
    return Seen(
        reason=_name(exchange.reason),
        words=Words(exchange.text.nl, exchange.text.en),
        log_index=exchange.log_index,
        released=exchange.released_index != 0,
        withheld=_name(exchange.withheld_reason) if exchange.withheld_reason else "",
        deviates=exchange.outcome.deviation,
    )


def _name(reason: events_pb2.Reason.ValueType) -> str:
    return events_pb2.Reason.Name(reason).removeprefix("REASON_")
