"""A town whose agencies hold canaries, at a time of the test's choosing, and its residents by number."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from consent_ledger.clock import DAY_MS, system_clock
from gateway.crypto.identifiers import AddressBirthDate
from gateway.home import Home
from gateway.sdk import choices
from gateway.sdk.agency import Agency
from gateway.sdk.canary.cards import Card
from gateway.sdk.canary.checking import check
from gateway.sdk.canary.setting import join, set_up
from gateway.sdk.rows import ArrearsRow, ChoiceRow, Resident, ResidentRow
from gateway.server import serving
from tests.support.sdk import CITY, PURPOSE, SUPPLIER

ROLES = ("witness", "ledger", "pseudonyms", "gateway")


def person(number: int) -> AddressBirthDate:
    return AddressBirthDate("1234AB", str(number + 1), "", "", "1980-02-29")


def resident(number: int) -> Resident:
    return Resident(None, person(number))


def enrolled(number: int) -> ResidentRow:
    return ResidentRow(f"R{number}", resident(number))


def arrears_row(number: int) -> ArrearsRow:
    return ArrearsRow(f"K{number}", person(number), Decimal(2), True, False, date(2026, 11, 1))


def yes(number: int) -> ChoiceRow:
    return ChoiceRow(resident(number), SUPPLIER, CITY, PURPOSE, (), "JA", 12)


@dataclass
class Flock:
    """A home with canaries set up, and its agencies at a time of the test's choosing."""

    home: Home
    folder: Path
    later_ms: int = 0

    @asynccontextmanager
    async def agency(self, oin, remote=None):
        async with Agency.open(self.home, oin, clock=self.clock, remote=remote) as agency:
            yield agency

    def clock(self):
        return system_clock() + self.later_ms

    def serving(self):
        return serving(self.home, ROLES, self.clock)

    @property
    def portal(self):
        return self.home.operators["viewer"]

    async def set_up(self, **options):
        async with self.agency(CITY) as city:
            written = await set_up(city, self.folder / "cards", senders=[SUPPLIER], **options)
        cards = [Card.read(one.path) for one in written]
        for oin in (self.portal, SUPPLIER):
            async with self.agency(oin) as agency:
                await join(agency, cards)
        return cards

    async def send(self, *numbers):
        async with self.agency(SUPPLIER) as supplier:
            rows = [arrears_row(number) for number in numbers]
            return await supplier.sender().send(rows, purpose=PURPOSE, recipient=CITY)

    async def receive(self):
        found, sightings = [], []
        async with self.agency(CITY) as city:
            async for delivery in city.recipient().deliveries(canary=sightings.append):
                found.append(delivery)
                await delivery.done()
        return found, sightings

    async def statuses(self, oin):
        async with self.agency(oin) as agency:
            return {(finding.path, finding.status) for finding in await check(agency)}

    def at(self, *, hour):
        """Make it that many hours after the coming midnight: the ledger's clock never goes back."""
        now = system_clock()
        self.later_ms = max(self.later_ms, (now // DAY_MS + 1) * DAY_MS + hour * 3_600_000 - now)

    def break_closing_key(self, oin):
        self.put_key(oin, "closing", f"{random.getrandbits(250):064x}")

    def put_key(self, oin, name, value):
        (self.home.organisation(oin).folder / f"{name}.key").write_text(value)

    async def enrol(self, *numbers):
        async with self.agency(CITY) as city:
            await city.enrolment().enrol([enrolled(number) for number in numbers])

    async def allow(self, *numbers):
        async with self.agency(self.portal) as portal:
            purpose = (await portal.registry()).purpose(PURPOSE)
            await portal.portal().record([choices.choice(yes(number), purpose) for number in numbers])
