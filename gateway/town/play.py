"""The demo from beginning to end: an ordinary day with files, the scenes, two weeks later, and the checks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from time import monotonic

from consent_ledger.log.errors import VerificationError
from consent_ledger.log.keys import parse_verifiers
from consent_ledger.service.http import prefix_of
from consent_ledger.verify import verify_database, verify_receipt
from gateway.directory.participants import NewParticipant
from gateway.home import Home
from gateway.sdk.publiclog import public_log
from gateway.town.arrears_scenes import ARREARS_SCENES, TWO_WEEKS_LATER
from gateway.town.auditor_day import a_question_nobody_answers, last_day
from gateway.town.clock import DemoClock
from gateway.town.count import Count
from gateway.town.generator import ARREARS_PURPOSE, INCOME_PURPOSE, Town
from gateway.town.income_scenes import INCOME_SCENES
from gateway.town.participants import (
    LAMPJE,
    LINDEWAARD,
    MUNICIPALITIES,
    STROOMTUIN,
    TAX_OFFICE,
    TOWN,
    WARMBRON,
    ZONNEVEEN,
)
from gateway.town.people import Resident
from gateway.town.petra_scenes import THIS_WEEK, TWO_MONTHS_AGO
from gateway.town.story import Play, Report, Scene, Words
from gateway.town.tell import Teller
from gateway.town.world import World
from gateway.witness.quorum import quorum_of

SIX_WEEKS_AND_A_HALF, TWO_WEEKS_AND_A_DAY = 46, 15
WITNESSED_TRIES, WITNESSED_WAIT = 40, 0.25
"""A checkpoint goes to the witnesses every second."""
FILES = (
    Report(LAMPJE, ARREARS_PURPOSE, ZONNEVEEN),
    Report(STROOMTUIN, ARREARS_PURPOSE, ZONNEVEEN),
    Report(WARMBRON, ARREARS_PURPOSE, LINDEWAARD),
    Report(TAX_OFFICE, INCOME_PURPOSE, ZONNEVEEN),
)
"""What is sent on the ordinary day: each supplier's file, and the tax office's."""


async def play(home: Home, town: Town, clock: DemoClock, teller: Teller) -> Count:
    """Tell the whole story in a home whose roles are being served; returns what happened. Ends in the present."""
    begun = monotonic()
    teller.opening(TOWN, len(town.residents))
    async with World.open(home, town, TOWN, clock) as world:
        await _enrol(world, teller)
        teller.chapter(Words("Twee maanden geleden: Petra", "Two months ago: Petra"))
        await _tell(world, teller, TWO_MONTHS_AGO)
        clock.advance(SIX_WEEKS_AND_A_HALF)
        await _ordinary_day(world, teller)
        teller.chapter(Words("Een inkomen daalt", "An income falls"))
        await _tell(world, teller, (*INCOME_SCENES, a_question_nobody_answers))
        teller.chapter(Words("Een energierekening blijft liggen", "An energy bill is left unpaid"))
        await _tell(world, teller, ARREARS_SCENES)
        clock.advance(TWO_WEEKS_AND_A_DAY)
        teller.chapter(Words("Twee weken later", "Two weeks later"))
        await _send(world, teller, FILES[0])
        await _collect(world, teller)
        await _tell(world, teller, TWO_WEEKS_LATER)
        teller.chapter(Words("Deze week: Petra", "This week: Petra"))
        await _tell(world, teller, THIS_WEEK)
        teller.chapter(Words("Een dag voor de toezichthouder", "A day for the auditor"))
        for scene in await last_day(world, clock, teller):
            _say(world, teller, scene)
        await _collect(world, teller)
        await _check(world, teller)
    clock.arrive()
    world.count.seconds = monotonic() - begun
    return world.count


async def _enrol(world: World, teller: Teller) -> None:
    """Let each municipality learn its own pseudonyms."""
    files = world.home.folder / "town"
    for municipality in MUNICIPALITIES:
        words = Words(f"{municipality.name} maakt haar lijst", "enrols its residents")
        # A resident has one row per purpose and identifier; only those with a BSN have one for the tax office.
        residents = world.town.of(municipality.oin)
        total = len(residents) + sum(1 for resident in residents if resident.bsn)
        with teller.progress(words, total) as step:
            await world.enrol(municipality, files / f"residents-{municipality.slug}.csv", step)


async def _ordinary_day(world: World, teller: Teller) -> None:
    """Record choices, send every file, receive."""
    teller.chapter(Words("Een gewone dag", "An ordinary day"))
    files = world.home.folder / "town"
    with teller.progress(Words("Inwoners kiezen", "residents choose"), len(world.town.choices)) as step:
        await world.import_choices(files / "choices.csv", step)
    for report in FILES:
        await _send(world, teller, report)
    await _collect(world, teller)


async def _send(world: World, teller: Teller, report: Report) -> None:
    name, about = _file(world.town, report)
    with teller.progress(Words(f"{report.sender.name} stuurt {name}", "sends"), len(about)) as step:
        await world.send(report, world.home.folder / "town" / name, about, step)


def _file(town: Town, report: Report) -> tuple[str, Sequence[Resident]]:
    if report.sender == TAX_OFFICE:
        return "income.csv", [row.resident for row in town.income]
    return f"arrears-{report.sender.slug}.csv", [row.resident for row in town.arrears[report.sender.oin]]


async def _collect(world: World, teller: Teller) -> None:
    for municipality in MUNICIPALITIES:
        received = await world.collect(municipality)
        if not received:
            continue
        known = sum(one.resident_ref is not None for one in received)
        teller.line(_received(municipality, len(received), known))


def _received(municipality: NewParticipant, number: int, known: int) -> Words:
    return Words(
        f"{municipality.name} krijgt {number} signalen, en weet van {known} om wie het gaat.",
        f"receives {number} signals, and knows of {known} who it is about.",
    )


async def _tell(world: World, teller: Teller, scenes: Sequence[Play]) -> None:
    for scene_of in scenes:
        _say(world, teller, await scene_of(world))


def _say(world: World, teller: Teller, scene: Scene) -> None:
    world.count.scenes += 1
    world.count.scenes_wrong += not scene.holds
    teller.scene(scene)


async def _is_witnessed(home: Home, size: int) -> bool:
    """Read the public log as anybody does, until its checkpoint has this size; raises VerificationError."""
    quorum, keys = quorum_of(home), parse_verifiers(home.log_verifier_key)
    async with public_log(f"http://{home.addresses['log']}{prefix_of(keys[0].name)}") as log:
        for _ in range(WITNESSED_TRIES):
            if quorum.open(await log.checkpoint(), keys).size == size:
                return quorum.needed > 0
            await asyncio.sleep(WITNESSED_WAIT)
    return False


async def _check(world: World, teller: Teller) -> None:
    """Read every resident's record, verify the log with the independent verifier, and every recipient's receipts."""
    count = world.count
    with teller.progress(
        Words("Elke inwoner kijkt wat er is gebeurd", "each resident looks"), len(world.about)
    ) as step:
        seen = await world.records.all_exchanges(world.about, step)
    count.reasons = Counter(one.reason for one in seen)
    count.withheld = Counter(one.withheld for one in seen if one.withheld)
    count.delivered = len(world.received)
    database = world.home.operator("ledger").data / "ledger.db"
    try:
        report = await asyncio.to_thread(verify_database, database, world.home.log_verifier_key)
        count.log_size, count.log_verified = report.log.size, True
    except VerificationError as error:
        teller.line(Words(f"Het logboek klopt niet: {error}", f"The log does not check: {error}"))
    try:
        count.log_witnessed = await _is_witnessed(world.home, count.log_size)
    except VerificationError as error:
        teller.line(Words(f"Het getuigenis klopt niet: {error}", f"The witness's signature does not check: {error}"))
    for one in world.received:
        try:
            verify_receipt(one.receipt, world.home.log_verifier_key)
            count.receipts_verified += 1
        except VerificationError as error:
            teller.line(Words(f"Een bewijs klopt niet: {error}", f"A receipt does not check: {error}"))
