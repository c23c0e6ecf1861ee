"""What agencies do against running services, in short words; and services seen through somebody who lies."""

from contextlib import aclosing, asynccontextmanager
from datetime import date
from decimal import Decimal

from consent_ledger.clock import system_clock
from gateway.crypto.identifiers import AddressBirthDate
from gateway.sdk import choices
from gateway.sdk.agency import Agency
from gateway.sdk.remote import GrpcRemote
from gateway.sdk.rows import ArrearsRow, ChoiceRow, Resident, ResidentRow
from tests.support.sdk import CITY, PURPOSE, SUPPLIER

ROLES = ("witness", "ledger", "pseudonyms", "gateway")


def person(number: int) -> AddressBirthDate:
    return AddressBirthDate("1234AB", str(number + 1), "", "", "1980-02-29")


def resident(number: int) -> Resident:
    return Resident(None, person(number))


def row(number: int, reference: str = "") -> ArrearsRow:
    return ArrearsRow(reference or f"K{number}", person(number), Decimal(2), True, False, date(2026, 11, 1))


def yes(number: int, answer: str = "JA") -> ChoiceRow:
    return ChoiceRow(resident(number), SUPPLIER, CITY, PURPOSE, (), answer, 12)


@asynccontextmanager
async def city(home, remote=None):
    async with Agency.open(home, CITY, remote=remote) as agency:
        yield agency


@asynccontextmanager
async def portal(home, remote=None):
    async with Agency.open(home, home.operators["viewer"], remote=remote) as agency:
        yield agency


async def choose(home, *rows, **options):
    async with portal(home) as agency:
        purpose = (await agency.registry()).purpose(PURPOSE)
        return await agency.portal().record([choices.choice(found, purpose) for found in rows], **options)


async def send(home, *rows):
    async with Agency.open(home, SUPPLIER) as agency:
        return await agency.sender().send(rows, purpose=PURPOSE, recipient=CITY)


async def receive(agency, refused=lambda _batch, _error: None, *, done=True):
    found = []
    async with aclosing(agency.recipient().deliveries(refused=refused)) as stream:
        async for delivery in stream:
            found.append(delivery)
            if done:
                await delivery.done()
    return found


async def enrol(home, *numbers, **options):
    async with city(home) as agency:
        rows = [ResidentRow(f"R{number}", resident(number)) for number in numbers]
        return await agency.enrolment().enrol(rows, **options)


class Lying(GrpcRemote):
    """The real services, seen through somebody who changes what they say."""

    def __init__(self, home, oin, change):
        super().__init__(home, home.organisation(oin), system_clock)
        self.change, self.acknowledged = change, 0

    async def pull(self, request):
        answer = await super().pull(request)
        for delivery in answer.deliveries:
            self.change(delivery)
        return answer

    async def acknowledge(self, request):
        self.acknowledged += 1
        await super().acknowledge(request)

    async def evaluate_rows(self, request):
        answer = await super().evaluate_rows(request)
        self.change(answer)
        return answer

    async def record(self, request):
        answer = await super().record(request)
        self.change(answer)
        return answer
