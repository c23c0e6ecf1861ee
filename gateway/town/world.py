"""The stage of the story: the running system, used as agencies and the portal use it, through the SDK."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import TypeVar

from consent_ledger.clock import Clock
from consent_ledger.errors import RegieError
from consent_ledger.log.checkpoint import open_checkpoint
from consent_ledger.registry import Registry
from consent_ledger.v1 import events_pb2
from consent_ledger.viewer.port import Person as Visitor
from gateway.directory.participants import NewParticipant
from gateway.home import Home
from gateway.sdk import choices, csvfile, describe, formats, rows
from gateway.sdk.agency import Agency
from gateway.sdk.portal import Portal, Recorded
from gateway.sdk.recipient import Delivery
from gateway.sdk.remote import GrpcRemote
from gateway.sdk.resident import ResidentPortal, open_portal
from gateway.sdk.sender import Summary
from gateway.sdk.sendfile import send_file
from gateway.sdk.tasks import Tasks
from gateway.town.count import Count
from gateway.town.generator import Arrears, Choice, IncomeDrop, Town
from gateway.town.participants import VIEWER
from gateway.town.people import Resident
from gateway.town.records import About, Records
from gateway.town.story import NAMES, Answer, Person, Received, Report, Seen, Words

T = TypeVar("T")
_BY_WEB = events_pb2.Capture(via=events_pb2.CAPTURED_VIA_WEB, by="self", language="nl")
Progress = Callable[[int], None]
MONTHS = "6"
LATER = "probeer_later"


@dataclass(slots=True)
class World:
    """Everybody in the town, connected. ``count`` is what happened so far; ``about`` whom signals were about."""

    home: Home
    town: Town
    clock: Clock
    agencies: dict[str, Agency]
    records: Records
    residents: ResidentPortal
    count: Count = field(default_factory=Count)
    about: set[About] = field(default_factory=set)
    received: list[Received] = field(default_factory=list)
    _references: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, home: Home, town: Town, participants: Sequence[NewParticipant], clock: Clock
    ) -> AsyncIterator[World]:
        """Connect every agency of the town and the portal to the operators."""
        async with AsyncExitStack() as stack:
            agencies = {
                one.oin: await stack.enter_async_context(Agency.open(home, one.oin, clock=clock))
                for one in participants
                if not one.is_operator or one.kind == "viewer"
            }
            records = await stack.enter_async_context(Records.open(agencies[VIEWER.oin]))
            residents = await stack.enter_async_context(open_portal(home, agencies[VIEWER.oin]))
            yield cls(home, town, clock, agencies, records, residents)

    @property
    def portal(self) -> Portal:
        """Where residents make their choices."""
        return self.agencies[VIEWER.oin].portal()

    # Whole files, as on an ordinary day.

    async def enrol(self, municipality: NewParticipant, path: Path, progress: Progress) -> None:
        """Enrol the residents of a file."""
        found = self._read(path, csvfile.RESIDENTS, formats.resident_row)
        before = 0

        def step(done: int, _total: int) -> None:
            nonlocal before
            progress(done - before)
            before = done

        await self.agencies[municipality.oin].enrolment().enrol(found, progress=step)

    async def import_choices(self, path: Path, progress: Progress) -> None:
        """Record the choices of a file; raises RegieError when the ledger does not take one of them."""
        registry = await self._registry()
        found = self._read(path, csvfile.CHOICES, formats.choice_row)
        wishes = [choices.choice(row, registry.purpose(row.purpose)) for row in found]
        _raise_refusals(await self.portal.record(wishes, progress=progress))

    async def send(self, report: Report, path: Path, about: Sequence[Resident], progress: Progress) -> None:
        """Send a file, which may have been sent before: only what is new is counted."""
        already = 0

        def step(done: int, _total: int) -> None:
            nonlocal already
            progress(done - already)
            already = done

        sender = self.agencies[report.sender.oin]
        summary = await send_file(sender, path, purpose=report.purpose, recipient=report.recipient.oin, progress=step)
        assert not summary.rejected_rows, "the town's own files have no bad rows"
        _raise_trouble(summary.sent)
        accepted = self.count.accepted_of_file.get(path, 0)
        self.count.accepted_of_file[path] = summary.sent.counts["accepted"]
        self.count.answers.update(summary.sent.counts)
        self.count.answers["accepted"] -= accepted  # not asked again
        self.about.update(About(resident, report.purpose) for resident in about)

    # What scenes do.

    def person(self, name: str) -> Person:
        """Return one of the cast."""
        return Person(name, self.town.cast[NAMES.index(name)])

    async def report_arrears(self, person: Person, report: Report) -> str:
        """Send a signal about a bill, under a reference of its own."""
        return await self._report(person, report, self._arrears_row(person.resident))

    async def report_many(self, report: Report, residents: Sequence[Resident]) -> Counter[str]:
        """Send a signal about a bill of each, at once, and return what was answered; what is told "later" is not."""
        made = [self._arrears_row(resident) for resident in residents]
        sender = self.agencies[report.sender.oin].sender()
        summary = await sender.send(made, purpose=report.purpose, recipient=report.recipient.oin, patience=0.0)
        answers = Counter({answer: count for answer, count in summary.counts.items() if answer != LATER})
        if summary.counts[LATER] != len(residents):  # slowed down, all of it, is an answer that scenes expect
            _raise_trouble(summary)
            self.about.update(About(resident, report.purpose) for resident in residents)
        self.count.answers.update(answers)
        return answers

    async def report_income(self, person: Person, report: Report) -> str:
        """Send a signal about an income, under a reference of its own."""
        fall = IncomeDrop(f"demo-{next(self._references)}", person.resident, "25-50", "2026-Q1")
        values = {name: str(value) for name, value in asdict(fall).items() if name != "resident"}
        row = formats.income_row(self._record(person.resident, values), formats.today(self.clock()))
        return await self._report(person, report, row)

    async def newest(self, person: Person, purpose: str) -> Seen:
        """Return the newest exchange about a resident for a purpose, as the ledger shows it to the resident."""
        found = await self.records.exchanges(About(person.resident, purpose))
        return max(found, key=lambda seen: seen.log_index)

    async def collect(self, municipality: NewParticipant) -> list[Received]:
        """Receive what waits; raises RegieError when a delivery does not verify."""
        found: list[Received] = []

        def refused(_batch: str, error: RegieError) -> None:
            raise error

        async for delivery in self.agencies[municipality.oin].recipient().deliveries(refused=refused):
            found.append(_received(delivery))
            await delivery.done()
        self.received += found
        return found

    async def choose(self, person: Person, report: Report, answer: Answer, months: str = MONTHS) -> str:
        """Record a choice; returns the ledger's reason when it does not take it."""
        resident = person.resident
        purpose = (await self._registry()).purpose(report.purpose)
        items = purpose.items[0].name
        choice = Choice(resident, report.sender.oin, report.purpose, items, answer, months)
        values = {name: str(value) for name, value in asdict(choice).items() if name != "resident"}
        values |= {"recipient": report.recipient.oin}
        row = formats.choice_row(self._record(resident, values), formats.today(self.clock()))
        (result,) = (await self.portal.record([choices.choice(row, purpose)], again=True)).results
        return result.reason if isinstance(result, RegieError) else ""

    async def withdraw(self, person: Person, report: Report) -> None:
        """Stop a consent."""
        await self._record_wish(choices.withdrawal(self._resident(person), await self._scope(report)))

    async def answer_question(self, person: Person, report: Report, *, yes: bool) -> None:
        """Answer a question."""
        await self._record_wish(choices.answer(self._resident(person), await self._scope(report), yes=yes))

    async def prefer(self, person: Person, purpose: str, preferences: dict[str, object]) -> None:
        """Record preferences; channels by their names."""
        values = {
            name: [describe.CHANNELS[channel] for channel in value] if isinstance(value, list) else value
            for name, value in preferences.items()
        }
        wanted = events_pb2.Preferences(**values)  # type: ignore[arg-type]  # from a dict
        await self._record_wish(choices.preference(self._resident(person), [purpose], wanted))

    async def pause(self, person: Person, purpose: str) -> None:
        """Pause everything, until resumed."""
        await self._record_wish(choices.pause(self._resident(person), [purpose], 0))

    async def say_what_was_done(self, municipality: NewParticipant, one: Received, offer: str, channel: str) -> None:
        """Report an outcome."""
        recipient = self.agencies[municipality.oin].recipient()
        await recipient.report(one.delivery_id, offer=offer, channel=channel, when_ms=self.clock())

    async def stop_using(self, municipality: NewParticipant) -> int:
        """Acknowledge what residents stopped after it was delivered."""
        tasks = Tasks(self.agencies[municipality.oin])
        notices = await tasks.notices()
        for notice in notices:
            await tasks.acknowledge(notice.log_index, how="deleted")
        return len(notices)

    async def ask(self, person: Person, report: Report, text: str) -> None:
        """Ask a question, as on the resident's pages."""
        rows = await self.residents.rows(self._visitor(person))
        organisation, purpose = report.recipient.oin, report.purpose
        await self.residents.ask(rows, _BY_WEB, organisation=organisation, purpose=purpose, text=text)

    async def answer_questions(self, municipality: NewParticipant, text: str) -> int:
        """Answer what waits."""
        tasks = Tasks(self.agencies[municipality.oin])
        asked = await tasks.questions()
        for question in asked:
            await tasks.answer(question.reference, text)
        return len(asked)

    async def left_lying(self, municipality: NewParticipant) -> tuple[int, int]:
        """Return how many questions a municipality is late with, and how many stop-use notices wait for it."""
        tasks, now_ms = Tasks(self.agencies[municipality.oin]), self.clock()
        overdue = [asked for asked in await tasks.questions() if asked.due_ms < now_ms]
        return len(overdue), len(await tasks.notices())

    async def invite_helper(self, person: Person, login: str) -> None:
        """Invite somebody who may look and stop, and who takes it up."""
        rows = await self.residents.rows(self._visitor(person))
        invitation = await self.residents.invite(
            rows, _BY_WEB, mandate=events_pb2.MANDATE_STOP, relation=events_pb2.RELATION_FRIEND, months=6
        )
        await self.residents.accept(rows, self.residents.login_hash(f"demo {login}"), invitation.code)

    async def log_size(self) -> int:
        """Return the size in the ledger's newest checkpoint."""
        agency = self.agencies[VIEWER.oin]
        assert isinstance(agency.remote, GrpcRemote)
        return open_checkpoint(await agency.remote.checkpoint(), agency.log_verifiers).size

    def _arrears_row(self, resident: Resident) -> rows.SignalRow:
        today = formats.today(self.clock())
        reference = f"demo-{next(self._references)}"
        bill = Arrears(reference, resident, "2", "nee", "nee", today.isoformat(), "reminder;contact")
        values = {name: str(value) for name, value in asdict(bill).items() if name != "resident"}
        return formats.arrears_row(self._record(resident, values), today)

    async def _report(self, person: Person, report: Report, row: rows.SignalRow) -> str:
        summary = (
            await self.agencies[report.sender.oin]
            .sender()
            .send(
                [row],
                purpose=report.purpose,
                recipient=report.recipient.oin,
                items=report.items,
                basis="inferred" if report.inferred else "observed",
            )
        )
        _raise_trouble(summary)
        self.count.answers.update(summary.counts)
        self.about.add(About(person.resident, report.purpose))
        return summary.answers[row.reference]

    async def _registry(self) -> Registry:
        return await self.agencies[VIEWER.oin].registry()

    async def _scope(self, report: Report) -> events_pb2.Scope:
        purpose = (await self._registry()).purpose(report.purpose)
        return choices.make_scope(report.sender.oin, report.recipient.oin, purpose)

    async def _record_wish(self, wish: choices.Wish) -> None:
        _raise_refusals(await self.portal.record([wish], again=True))

    def _resident(self, person: Person) -> rows.Resident:
        return self.records.identifiers(person.resident)

    def _visitor(self, person: Person) -> Visitor:
        known = asdict(person.resident)
        return Visitor(**{name: known[name] for name in Visitor.__dataclass_fields__})

    def _record(self, resident: Resident, values: dict[str, str]) -> csvfile.Record:
        return csvfile.Record(2, (), asdict(resident) | values, ())

    def _read(self, path: Path, layout: csvfile.Layout, parse: Callable[[csvfile.Record, date], T]) -> list[T]:
        with path.open("rb") as stream:
            today = formats.today(self.clock())
            return [parse(record, today) for record in csvfile.CsvFile(stream, layout)]


def _raise_trouble(summary: Summary) -> None:
    if summary.trouble is not None:
        raise summary.trouble


def _raise_refusals(recorded: Recorded) -> None:
    for result in recorded.results:
        if isinstance(result, RegieError):
            raise result


def _received(delivery: Delivery) -> Received:
    values = delivery.values()
    return Received(
        resident_ref=delivery.resident_ref,
        sender=delivery.sender,
        purpose=delivery.purpose,
        signal=values["signal"],
        preferences=values["preferences"],
        explanation=Words(delivery.explanation_nl, delivery.explanation_en),
        receipt=delivery.receipt,
        delivery_id=delivery.delivery_id,
    )
