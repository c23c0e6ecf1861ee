"""A day of 300 exchanges in a served town, and an auditor at the console over HTTP."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2

from gateway.town.participants import LAMPJE, STROOMTUIN, TAX_OFFICE, WARMBRON
from tests.support.scenario import BILL, BILL_ELSEWHERE, FALL, Report, Someone, Town

ELSEWHERE = Report(WARMBRON.oin)
INFERRED = Report(TAX_OFFICE.oin, FALL.purpose, inferred=True)
AMOUNT = "87.61943"
PLANTED = ("GEHEIM-", AMOUNT, AMOUNT.replace(".", ","))
"""Parts of what was sent that must be nowhere at the console."""


@dataclass
class Day:
    """What was played: how many signals each sender sent, and whom it was about."""

    people: list[Someone]
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def sent(self) -> int:
        """All signals."""
        return sum(self.answers.values())


async def play_day(town: Town, people: int = 40) -> Day:
    """300 exchanges of three suppliers and the tax office: one sender fishes, one signal is prohibited."""
    day = Day(await town.people(people))
    await _choices(town, day.people)
    for _ in range(3):
        await _send(town, day, day.people, BILL)
    await _send(town, day, [*day.people, *day.people, *day.people[:20]], BILL_ELSEWHERE)  # fishing
    await _send(town, day, day.people[:39], ELSEWHERE)
    await _send(town, day, day.people, FALL)
    await _send(town, day, day.people[:1], INFERRED)
    await town.withdraws(day.people[0], BILL)  # between decision and delivery
    found = await town.collect()
    handled = [delivery for deliveries in found.values() for delivery in deliveries]
    for number, delivery in enumerate(handled[:6]):
        await town.did(delivery, channel="telefoon" if number == 0 else "brief")
    return day


async def _choices(town: Town, people: Sequence[Someone]) -> None:
    for number, person in enumerate(people):
        if number < 20:
            await town.chooses(person, BILL, "JA")
        elif number < 25:
            await town.chooses(person, BILL, "NEE")
        elif number < 28:
            await town.chooses(person, BILL, "VRAAG_MIJ_EERST")
        if number % 4 == 0:
            await town.chooses(person, FALL, "JA")
    await town.prefers(people[1], channels=("brief",), never=("telefoon",))
    await town.pauses(people[39])


async def _send(town: Town, day: Day, people: Sequence[Someone], report: Report) -> None:
    first = day.sent
    rows = [
        town.row(person, report, months=AMOUNT, reference=f"GEHEIM-{first + number}")
        for number, person in enumerate(people)
    ]
    for answer in await town.send(rows, report):
        day.answers[report.sender, answer] += 1


@dataclass
class Auditor:
    """Somebody at the console, with a browser that remembers cookies."""

    http: httpx2.AsyncClient
    origin: str

    async def log_in(self, case: str = "2026-014", who: str = "femke") -> httpx2.Response:
        """Log in for a case."""
        form = {"zaak": case, "hoe": "demo", "wie": who}
        return await self.post("/nl/audit/inloggen", form)

    async def post(self, path: str, form: dict[str, str]) -> httpx2.Response:
        return await self.http.post(path, data=form, headers={"Origin": self.origin})

    async def get(self, path: str, status: int = 200) -> str:
        """The text of a page."""
        answer = await self.http.get(path)
        assert answer.status_code == status, f"{path}: {answer.status_code}"
        return answer.text

    async def bytes(self, path: str) -> bytes:
        answer = await self.http.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        return answer.content

    async def caught_up(self, index: int) -> str:
        """The overview once the index holds the entry at a place."""
        while True:
            text = await self.get("/nl/audit")
            if (found := re.search(r"Gelezen en gecontroleerd</dt><dd>([\d.]+)", text)) and (
                int(found[1].replace(".", "")) > index
            ):
                return text
            await asyncio.sleep(0.05)


@asynccontextmanager
async def auditor_at(town: Town) -> AsyncIterator[Auditor]:
    """A browser at the town's console."""
    origin = f"http://{town.home.addresses['auditor']}"
    async with httpx2.AsyncClient(base_url=origin, timeout=20) as http:
        yield Auditor(http, origin)


SENDERS = (LAMPJE, STROOMTUIN, WARMBRON, TAX_OFFICE)
