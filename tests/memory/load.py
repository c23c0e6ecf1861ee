"""A town in which every role is a process of its own, and a steady load that reaches all of them."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from gateway.home import Home
from gateway.sdk.agency import Agency
from gateway.sdk.rows import Resident, ResidentRow
from gateway.town.participants import LAMPJE, ZONNEVEEN
from tests.bench.sending import send
from tests.bench.town import filling, found, person, row
from tests.memory.growth import Memory, held_bytes, stored_bytes
from tests.support.command import Regie, serve
from tests.support.scenario import somebody, write_logins

ROLES = ("witness", "ledger", "pseudonyms", "gateway", "viewer", "auditor")
SIGNALS = 250
"""Signals of a round, of which three of four are delivered."""
EXCHANGES = 5
"""How often a purpose allows something about one person in 30 days; later ones are refused."""


@dataclass
class Town:
    """``round`` is one piece of load: a send, its delivery, a login at the residents' pages and at the console."""

    home: Home
    sender: Agency
    recipient: Agency
    people: int
    pids: dict[str, int]
    browser: httpx2.AsyncClient
    sent: int = 0
    delivered: int = 0
    memory: dict[str, Memory] = field(default_factory=dict)

    async def round(self) -> None:
        numbers = [(self.sent + at) % self.people for at in range(SIGNALS)]
        await send(self.sender, [row(number, self.sent) for number in numbers])
        self.sent += SIGNALS
        async for batch in self.recipient.recipient().batches():
            self.delivered += len(batch.deliveries)
            await batch.done()
        await self._visit("viewer", "/nl/inloggen", {"wie": "anna"}, ("/nl/mijn", "/nl/mijn/ingezien"), "/nl/uitloggen")
        case = {"zaak": "2026-014", "hoe": "demo", "wie": "femke"}
        await self._visit("auditor", "/nl/audit/inloggen", case, ("/nl/audit",), "/nl/audit/uitloggen")

    async def _visit(self, role: str, login: str, form: dict[str, str], pages: Sequence[str], logout: str) -> None:
        origin = f"http://{self.home.addresses[role]}"  # type: ignore[index]  # roles of this town
        headers = {"Origin": origin}
        assert (await self.browser.post(origin + login, data=form, headers=headers)).status_code == 303
        for page in pages:
            assert (await self.browser.get(origin + page)).status_code == 200
        assert (await self.browser.post(origin + logout, headers=headers)).status_code == 303

    def look(self) -> None:
        """Take a sample of every process; the SDK's is this one, without the cycles that wait for the collector."""
        gc.collect()
        for role, pid in self.pids.items():
            stored = sum(stored_bytes(folder) for folder in self._folders(role))
            self.memory.setdefault(role, Memory()).add(self.sent, held_bytes(pid), stored)

    def _folders(self, role: str) -> list[Path]:
        """Where a process keeps its databases; the SDK's are those of both agencies."""
        if role == "sdk":
            return [agency.organisation.data for agency in (self.sender, self.recipient)]
        if role == "witness":  # one row, in a file that it holds locked
            return []
        return [self.home.organisation(self.home.operators[role]).data]  # type: ignore[index]  # a role of this town


@asynccontextmanager
async def town(folder: Path, signals: int) -> AsyncIterator[Town]:
    """Found a town for so many signals, enrol its residents, and serve it until the block ends."""
    home = found(folder)
    write_logins(home.folder / "town", {"anna": somebody(0)})
    people = [person(number) for number in range(max(SIGNALS, -(-signals // EXCHANGES)))]
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers, filling(home, workers) as writer:
        writer.agree(LAMPJE.oin, people)
    regie = Regie(home.folder)
    async with AsyncExitStack() as stack:
        pids = {}
        for role in ROLES:
            server = serve(regie, role, log=home.folder / f"{role}.log")
            stack.callback(server.kill)
            pids[role] = server.process.pid
        sender = await stack.enter_async_context(Agency.open(home, LAMPJE.oin))
        recipient = await stack.enter_async_context(Agency.open(home, ZONNEVEEN.oin))
        residents = [ResidentRow(f"R{number}", Resident(None, one)) for number, one in enumerate(people)]
        await recipient.enrolment().enrol(residents)
        browser = await stack.enter_async_context(httpx2.AsyncClient(timeout=60))
        yield Town(home, sender, recipient, len(people), {**pids, "sdk": os.getpid()}, browser)
