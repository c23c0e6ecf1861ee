"""Every replica is restarted under traffic, and certificates are replaced: no signal is lost, none is doubled."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import httpx2
import pytest

from consent_ledger.v1 import events_pb2
from gateway.crypto.identifiers import AddressBirthDate
from gateway.sdk import choices
from gateway.sdk.agency import Agency
from gateway.sdk.rows import ArrearsRow, ChoiceRow, Resident, ResidentRow
from gateway.town.logins import read_logins
from gateway.town.participants import LAMPJE, STROOMTUIN, ZONNEVEEN
from tests.support.replicas import Town, replace_file
from tests.support.servers import certificate

pytestmark = [pytest.mark.needs("haproxy"), pytest.mark.timeout(300)]
PURPOSE = "vroegsignalering-energie"
SENDERS = (LAMPJE.oin, STROOMTUIN.oin)
PEOPLE, EACH = 240, 4
"""Residents, and how many signals about one of them: more the ledger holds back (its cap on how often)."""
PACE_SECONDS = 0.1


@pytest.fixture
def town(tmp_path, postgres18, monkeypatch):
    """Two of each role; a replica goes on serving for as long as the balancer may need to see that it stops."""
    monkeypatch.setenv("REGIE_DRAIN_SECONDS", "2")
    made = Town(tmp_path, postgres18)
    with made.running():
        yield made


def person(number):
    return AddressBirthDate("1234AB", str(number + 1), "", "", "1980-02-29")


def signal(reference, number):
    return ArrearsRow(reference, person(number), Decimal(2), True, False, date(2026, 11, 1))


@dataclass
class Traffic:
    """What senders were answered, what the recipient got, and what a visitor saw, while it all goes on."""

    ending: asyncio.Event = field(default_factory=asyncio.Event)
    sent: asyncio.Event = field(default_factory=asyncio.Event)
    answers: dict[str, str] = field(default_factory=dict)
    about: dict[str, int] = field(default_factory=dict)
    deliveries: list[tuple[str, str]] = field(default_factory=list)
    pages: Counter = field(default_factory=Counter)

    async def send(self, home, oin):
        """Send one signal after the other, about another resident each time."""
        async with Agency.open(home, oin) as agency:
            sender = agency.sender()
            while not self.ending.is_set() and len(self.about) < PEOPLE * EACH:
                number, reference = len(self.about) % PEOPLE, f"{oin}-{len(self.about)}"
                self.about[reference] = number
                summary = await sender.send(
                    [signal(reference, number)], purpose=PURPOSE, recipient=ZONNEVEEN.oin, patience=60.0
                )
                assert summary.answers.keys() == {reference}, summary
                self.answers |= summary.answers
                self.sent.set()
                await asyncio.sleep(PACE_SECONDS)

    async def receive(self, home):
        async with Agency.open(home, ZONNEVEEN.oin) as agency:
            last = False
            while not last:  # once more after the last signal was sent
                last = self.ending.is_set()
                async with aclosing(agency.recipient().deliveries()) as stream:
                    async for delivery in stream:
                        self.deliveries.append((delivery.delivery_id, delivery.resident_ref))
                        await delivery.done()

    async def visit(self, home):
        """One visitor, logged in once, on connections that may go to either viewer."""
        origin = f"http://{home.addresses['viewer']}"
        who = read_logins(home.folder / "town")[0]["key"]
        async with httpx2.AsyncClient(base_url=origin, trust_env=False, timeout=20) as http:
            entered = await http.post("/nl/inloggen", data={"wie": who}, headers={"origin": origin})
            assert entered.status_code == 303, entered.text
            while not self.ending.is_set():
                self.pages[(await http.get("/nl/mijn", headers={"connection": "close"})).status_code] += 1


async def prepare(home):
    """Residents are enrolled, and those with an even number said yes to both suppliers."""
    residents = [(f"R{number}", Resident(None, person(number))) for number in range(PEOPLE)]
    async with Agency.open(home, ZONNEVEEN.oin) as agency:
        await agency.enrolment().enrol([ResidentRow(reference, resident) for reference, resident in residents])
    async with Agency.open(home, home.operators["viewer"]) as agency:
        purpose = (await agency.registry()).purpose(PURPOSE)
        wishes = [
            choices.choice(ChoiceRow(resident, oin, ZONNEVEEN.oin, PURPOSE, (), "JA", 12), purpose)
            for _, resident in residents[::2]
            for oin in SENDERS
        ]
        recorded = await agency.portal().record(wishes)
        assert recorded.recorded == len(wishes)


def renew(town, oin):
    """Give an organisation another certificate, in every home that has one of it."""
    fresh = certificate(town.home, oin)
    for home in (town.regie, *(replica.regie for replica in town.replicas)):
        folder = home.home / "orgs" / oin
        replace_file(folder / "tls.pem", fresh.certificate)
        replace_file(folder / "tls.key", fresh.key)


def restart(town, number):
    """Restart one replica of every role; returns their exit codes once the balancer serves to them again."""
    replicas = [replica for replica in town.replicas if replica.number == number]
    with ThreadPoolExecutor(len(replicas)) as pool:
        codes = list(pool.map(lambda replica: replica.stop(), replicas))
        list(pool.map(lambda replica: replica.start(), replicas))
    town.balancer.until_up(*(name for replica in replicas for name in replica.names))
    return codes


async def exchange(town):
    """Let everybody work while replicas and certificates change."""
    traffic = Traffic()
    async with asyncio.TaskGroup() as working:
        for oin in SENDERS:
            working.create_task(traffic.send(town.home, oin))
        working.create_task(traffic.receive(town.home))
        working.create_task(traffic.visit(town.home))
        try:
            for number in (1, 2):
                codes = await asyncio.to_thread(restart, town, number)
                assert codes == [0] * len(codes)
                await asyncio.to_thread(renew, town, (SENDERS[0], town.home.operators["gateway"])[number - 1])
                traffic.sent.clear()
                await traffic.sent.wait()
        finally:
            traffic.ending.set()
    return traffic


def logged(postgres, database):
    """Every decision and release in the log."""
    events = [events_pb2.Event.FromString(data) for (data,) in postgres.execute("SELECT event FROM payload", database)]
    decided = [event.exchange_decided for event in events if event.HasField("exchange_decided")]
    return decided, [event.exchange_released for event in events if event.HasField("exchange_released")]


async def test_a_rolling_restart_loses_and_doubles_nothing(town, postgres18):
    await prepare(town.home)
    traffic = await exchange(town)

    allowed = {reference for reference, number in traffic.about.items() if number % 2 == 0}
    expected = {reference: "accepted" if reference in allowed else "geen_toestemming" for reference in traffic.about}
    assert traffic.answers == expected
    assert len({delivery for delivery, _ in traffic.deliveries}) == len(traffic.deliveries) == len(allowed)
    delivered = Counter(resident for _, resident in traffic.deliveries)
    assert delivered == Counter(f"R{traffic.about[reference]}" for reference in allowed)

    decided, released = logged(postgres18, town.ledger_database)
    assert len({(event.batch_id, event.position) for event in decided}) == len(decided) == len(traffic.answers)
    assert len({(event.batch_id, event.position) for event in released}) == len(released) == len(allowed)
    for role in ("gateway", "pseudonyms"):
        query = "SELECT account, used FROM quota WHERE account LIKE 'signals/%'"
        used = dict(postgres18.execute(query, town.databases[role]))
        assert used == {
            f"signals/{oin}": sum(each.startswith(f"{oin}-") for each in traffic.answers) for oin in SENDERS
        }
    assert set(traffic.pages) == {200}
    checked = await asyncio.to_thread(town.regie.run, "log", "fsck", "--json")
    assert checked.code == 0, checked.out
    assert (await asyncio.to_thread(town.regie.run, "audit", "replay", "--json")).code == 0
