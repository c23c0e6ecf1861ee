"""A small town in which acceptance scenarios are played: every role over real gRPC, and people nobody else has used.

town.someone()                                   a resident, enrolled at the municipality
await town.report(person, BILL)                  a sender reports; returns what it is told
await town.collect()                             the municipality receives; returns deliveries by reference
await town.record(person)                        what the ledger shows the resident
town.clock.forward(days=15)                      time passes for everybody
"""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count
from pathlib import Path

from consent_ledger.clock import DAY_MS, system_clock
from consent_ledger.errors import RegieError
from consent_ledger.v1 import consents_pb2, events_pb2
from consent_ledger.verify.fsck import fsck
from consent_ledger.verify.receipt import verify_receipt
from consent_ledger.verify.replay import replay
from gateway.crypto.identifiers import AddressBirthDate, Bsn
from gateway.directory.founding import found_home
from gateway.home import Home
from gateway.sdk import choices
from gateway.sdk.agency import Agency
from gateway.sdk.choices import Wish
from gateway.sdk.describe import CHANNELS
from gateway.sdk.formats import today
from gateway.sdk.recipient import Delivery
from gateway.sdk.rows import ArrearsRow, ChoiceRow, IncomeRow, Resident, ResidentRow
from gateway.server import serving
from gateway.settings import Settings
from gateway.town import logins
from gateway.town.participants import LAMPJE, STROOMTUIN, TAX_OFFICE, TOWN, VIEWER, WARMBRON, ZONNEVEEN
from tests.support.people import bsn

ARREARS, INCOME = "vroegsignalering-energie", "regelingen-bij-inkomensdaling"
ROLES = ("witness", "ledger", "pseudonyms", "gateway")


@dataclass(frozen=True)
class Report:
    """How one sender reports somebody."""

    sender: str
    purpose: str = ARREARS
    recipient: str = ZONNEVEEN.oin
    items: tuple[str, ...] = ()
    inferred: bool = False


BILL, BILL_ELSEWHERE = Report(LAMPJE.oin), Report(STROOMTUIN.oin)
FALL = Report(TAX_OFFICE.oin, INCOME)


class Calendar:
    """The machine's clock, moved forward when told."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return system_clock() + self.ahead_ms

    def forward(self, *, days: float) -> None:
        self.ahead_ms += int(days * DAY_MS)


@dataclass(frozen=True)
class Someone:
    """Somebody of this town, with every identifier."""

    ref: str
    resident: Resident

    @property
    def login(self) -> dict[str, str]:
        """The fields of a file with this one resident."""
        address, number = self.resident.address, self.resident.bsn
        assert address
        assert number
        parts = ("postcode", "house_number", "house_letter", "house_addition", "birth_date")
        return {"bsn": number.number, **{name: getattr(address, name) for name in parts}}


@dataclass
class Town:
    """The town while it is served."""

    home: Home
    clock: Calendar
    agencies: dict[str, Agency]
    visitors: dict[str, Someone] = field(default_factory=dict)  # who can log in at the pages, by name
    delivered: list[Delivery] = field(default_factory=list)
    _numbers: count = field(default_factory=lambda: count(1))
    _references: count = field(default_factory=lambda: count(1))

    # Who lives here.

    async def someone(self) -> Someone:
        """Somebody new, known to the municipality."""
        (found,) = await self.people(1)
        return found

    async def people(self, number: int) -> list[Someone]:
        """Several, enrolled together."""
        found = [self.stranger() for _ in range(number)]
        rows = [ResidentRow(one.ref, one.resident) for one in found]
        summary = await self.agencies[ZONNEVEEN.oin].enrolment().enrol(rows)
        assert summary.enrolled == number
        return found

    def stranger(self) -> Someone:
        """Somebody whom the municipality does not know."""
        return somebody(next(self._numbers))

    # What senders do.

    def row(self, person: Someone, report: Report, *, months: str = "2", reference: str = ""):
        """The row of a sender's file."""
        reference = reference or f"K-{next(self._references)}"
        if report.purpose == INCOME:
            assert person.resident.bsn
            return IncomeRow(reference, person.resident.bsn, (25, 50), "2026-Q1")
        assert person.resident.address
        day = today(self.clock())
        return ArrearsRow(
            reference, person.resident.address, Decimal(months), False, False, day, ("reminder", "contact")
        )

    async def report(self, person: Someone, report: Report, *, months: str = "2") -> str:
        """Report one person under a new reference; what the sender is told."""
        answers = await self.send([self.row(person, report, months=months)], report)
        return answers[0]

    async def send(self, rows: Sequence[ArrearsRow | IncomeRow], report: Report, **options) -> list[str]:
        """Send rows; the answers in their order, those that were passed over left out."""
        summary = (
            await self.agencies[report.sender]
            .sender()
            .send(
                rows,
                purpose=report.purpose,
                recipient=report.recipient,
                items=report.items,
                basis="inferred" if report.inferred else "observed",
                **options,
            )
        )
        if summary.trouble is not None:
            raise summary.trouble
        return [summary.answers[row.reference] for row in rows if row.reference in summary.answers]

    # What the municipality does.

    async def collect(self, oin: str = ZONNEVEEN.oin) -> dict[str | None, list[Delivery]]:
        """Receive what waits, by resident."""
        found: dict[str | None, list[Delivery]] = {}

        def refused(_batch: str, error: RegieError) -> None:
            raise error

        async with aclosing(self.agencies[oin].recipient().deliveries(refused=refused)) as stream:
            async for delivery in stream:
                found.setdefault(delivery.resident_ref, []).append(delivery)
                self.delivered.append(delivery)
                await delivery.done()
        return found

    async def did(self, delivery: Delivery, *, channel: str, offer: str = "gesprek", **how) -> int:
        """The municipality says what it did."""
        recipient = self.agencies[ZONNEVEEN.oin].recipient()
        return await recipient.report(delivery.delivery_id, offer=offer, channel=channel, when_ms=self.clock(), **how)

    # What residents do.

    async def chooses(
        self, person: Someone, report: Report, answer: str, months: int | None = 6, **changes
    ) -> int | RegieError | None:
        """Record a choice; the log index, or why the ledger does not take it."""
        purpose = (await self.registry()).purpose(report.purpose)
        row = ChoiceRow(
            person.resident,
            report.sender,
            report.recipient,
            report.purpose,
            tuple(changes.pop("items", ())),
            answer,
            None if answer == "NEE" else months,
        )
        return await self._wish(choices.choice(replace(row, **changes), purpose))

    async def withdraws(self, person: Someone, report: Report) -> None:
        """Stop a consent."""
        purpose = (await self.registry()).purpose(report.purpose)
        await self._done(
            choices.withdrawal(person.resident, choices.make_scope(report.sender, report.recipient, purpose))
        )

    async def answers(self, person: Someone, report: Report, *, yes: bool) -> None:
        """Answer the question that a signal put."""
        purpose = (await self.registry()).purpose(report.purpose)
        scope = choices.make_scope(report.sender, report.recipient, purpose)
        await self._done(choices.answer(person.resident, scope, yes=yes))

    async def prefers(self, person: Someone, *, channels=(), never=(), **wishes) -> None:
        """Set contact preferences, for everything."""
        wanted = events_pb2.Preferences(
            channels=[CHANNELS[name] for name in channels], never=[CHANNELS[name] for name in never], **wishes
        )
        await self._done(choices.preference(person.resident, choices.choosable(await self.registry()), wanted))

    async def pauses(self, person: Someone, until_ms: int = 0) -> None:
        """Pause everything."""
        await self._done(choices.pause(person.resident, choices.choosable(await self.registry()), until_ms))

    async def resumes(self, person: Someone) -> None:
        """End the pause."""
        await self._done(choices.resumption(person.resident, choices.choosable(await self.registry())))

    async def record(self, person: Someone) -> consents_pb2.GetRecordResponse:
        """What the ledger shows the resident, newest first."""
        return await self.portal.portal().look_up(person.resident)

    async def newest(self, person: Someone) -> consents_pb2.ExchangeRecord:
        """The newest exchange about somebody, as they read it."""
        return (await self.record(person)).exchanges[0]

    # Plumbing.

    @property
    def portal(self) -> Agency:
        return self.agencies[VIEWER.oin]

    async def registry(self):
        return await self.portal.registry()

    async def _wish(self, wish: Wish) -> int | RegieError | None:
        (result,) = (await self.portal.portal().record([wish], again=True)).results
        return result

    async def _done(self, wish: Wish) -> None:
        result = await self._wish(wish)
        assert isinstance(result, int), result

    def check_everything(self) -> None:
        """The log verifies, every row beside it is explained, every decision is that of the rules, and all receipts hold."""
        database = self.home.operator("ledger").data / "ledger.db"
        key = self.home.log_verifier_key
        assert fsck(database, key, clock=self.clock).count == 0
        assert replay(database, key).broken == 0
        for delivery in self.delivered:
            verify_receipt(delivery.receipt, key)


def somebody(at: int) -> Someone:
    """The resident with a number; the first 900 have a BSN."""
    postcode = f"{1000 + at // 26 % 8999}A{chr(65 + at % 26)}"
    address = AddressBirthDate(postcode, str(at % 900 + 1), "", "", "1980-02-29")
    return Someone(f"R-{at}", Resident(Bsn(bsn(at)) if at < 900 else None, address))


def reason(exchange: consents_pb2.ExchangeRecord) -> str:
    """The name of a reason."""
    return events_pb2.Reason.Name(exchange.reason).removeprefix("REASON_")


@asynccontextmanager
async def served_town(
    folder: Path, settings: Settings | None = None, *, visitors: Sequence[str] = (), more: Sequence[str] = ()
) -> AsyncIterator[Town]:
    """Found and serve a town until the block ends; with ``visitors``, who are enrolled, also the residents' pages.

    ``more`` are further roles.
    """
    clock = Calendar()
    home = found_home(folder, TOWN, clock, demo=True)
    people = {name: somebody(at) for at, name in enumerate(visitors, start=901 - len(visitors) - 1)}
    if visitors:
        write_logins(folder / "town", people)
    async with AsyncExitStack() as stack:
        roles = (*ROLES, *(("viewer",) if visitors else ()), *more)
        served = await stack.enter_async_context(serving(home, roles, clock, settings=settings))
        await served.ready()
        town = Town(home, clock, await open_agencies(stack, home, clock), people)
        if visitors:
            rows = [ResidentRow(one.ref, one.resident) for one in people.values()]
            await town.agencies[ZONNEVEEN.oin].enrolment().enrol(rows)
        yield town


def write_logins(folder: Path, people: dict[str, Someone]) -> None:
    """Say who can log in at the pages of this home; "ben-for-anna" is Ben, who looks for Anna."""
    folder.mkdir(exist_ok=True)
    with (folder / logins.FILE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, logins.COLUMNS)
        writer.writeheader()
        for name, one in people.items():
            story = {"story_nl": "Bestaat niet.", "story_en": "Does not exist."}
            writer.writerow({"key": name, "name": name.title(), "represents": "nee", **story, **one.login})


async def open_agencies(stack: AsyncExitStack, home: Home, clock: Calendar) -> dict[str, Agency]:
    """Connect everybody who is no operator, and the portal."""
    oins = [one.oin for one in (LAMPJE, STROOMTUIN, WARMBRON, TAX_OFFICE, ZONNEVEEN, VIEWER)]
    return {oin: await stack.enter_async_context(Agency.open(home, oin, clock=clock)) for oin in oins}
