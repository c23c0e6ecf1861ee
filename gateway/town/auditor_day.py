"""The last day of the story, hour by hour: what there is to see on the auditor's console.

Ordinary traffic by day; at night somebody who asks about very many residents (AS10); a municipality that phones whom
it must not phone; a consent that ends after its delivery; and a question that nobody answered in time.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime

from gateway.town.clock import DemoClock
from gateway.town.generator import ARREARS_PURPOSE, INCOME_PURPOSE
from gateway.town.income_scenes import INCOME
from gateway.town.participants import LAMPJE, LINDEWAARD, MUNICIPALITIES, STROOMTUIN, WARMBRON, ZONNEVEEN
from gateway.town.people import Resident
from gateway.town.story import Check, Report, Scene, Stage, Words
from gateway.town.tell import Teller
from gateway.town.world import World

HOURS = 23
OFFICE_HOURS = range(7, 18)
NIGHT = (2, 3)
"""UTC. A day of 23 hours lacks the hour in which it begins: of two, it has one."""
A_TIME = 24
"""Signals that one sender sends in one hour."""
MOST_REFUSALS = 250
"""An hour and sender, in this town; outside the demo REGIE_SENDER_REFUSALS_PER_HOUR says it."""
FIRST_ASKED, THEN_ASKED = 300, 100
ORDINARY = (
    Report(LAMPJE, ARREARS_PURPOSE, ZONNEVEEN),
    Report(STROOMTUIN, ARREARS_PURPOSE, ZONNEVEEN),
    Report(WARMBRON, ARREARS_PURPOSE, LINDEWAARD),
)
FISHING = Report(WARMBRON, ARREARS_PURPOSE, ZONNEVEEN)
BILL = ORDINARY[0]


async def a_question_nobody_answers(stage: Stage) -> Scene:
    """R21: a question that will be overdue on the last day."""
    bram, before = stage.person("Bram"), await stage.log_size()
    await stage.ask(bram, INCOME, "Klopt het dat u dit al een maand weet?")
    written = await stage.log_size() > before
    return Scene(
        "R21",
        Words("Bram stelt de gemeente een vraag.", "Bram asks the municipality a question."),
        [Words("Zij heeft twee weken. De toezichthouder ziet of dat lukt.", "It has two weeks. The auditor looks on.")],
        "",
        None,
        [Check("in the log", True, written)],
    )


async def phoned_again(stage: Stage) -> Scene:
    """AS4h: what was done is held against what the resident asked, and auditors see how often that happens."""
    bram = stage.person("Bram")
    await stage.prefer(bram, INCOME_PURPOSE, {"channels": ["email"], "never": ["telefoon"]})
    answer = await stage.report_income(bram, INCOME)
    received = [one for one in await stage.collect(ZONNEVEEN) if one.resident_ref == bram.resident.ref]
    for one in received:
        await stage.say_what_was_done(ZONNEVEEN, one, "Uitleg over regelingen", "telefoon")
    seen = await stage.newest(bram, INCOME_PURPOSE)
    return Scene(
        "AS4h",
        Words("Bram wil e-mail. De gemeente belt.", "Bram wants e-mail. The municipality phones."),
        [Words("De toezichthouder ziet hoe vaak dat gebeurt.", "The auditor sees how often that happens.")],
        answer,
        seen.words,
        [
            Check("reason", "ALLOWED", seen.reason),
            Check("delivered", 1, len(received)),
            Check("otherwise than asked", True, seen.deviates),
        ],
    )


async def stopped_after_delivery(world: World) -> Scene:
    """R5: a notice that waits for the municipality, beside the question that it left lying."""
    jolanda = world.person("Jolanda")
    await world.withdraw(jolanda, BILL)
    overdue, notices = await world.left_lying(ZONNEVEEN)
    return Scene(
        "R5",
        Words("Jolanda is geholpen, en stopt.", "Jolanda was helped, and stops it."),
        [Words("De gemeente moet nog zeggen dat zij het weet.", "The municipality has yet to say that it knows.")],
        "",
        None,
        [Check("notices that wait", 1, notices), Check("questions that are overdue", 1, overdue)],
    )


async def at_night(world: World) -> Scene:
    """AS10: a supplier asks about hundreds of people who are no clients of its own, until it is slowed down."""
    people = world.town.of(ZONNEVEEN.oin)[-FIRST_ASKED - THEN_ASKED :]
    first = await world.report_many(FISHING, people[:FIRST_ASKED])
    second = await world.report_many(FISHING, people[FIRST_ASKED:])
    return Scene(
        "AS10",
        Words(
            f"Warmbron vraagt 's nachts naar {len(people)} inwoners.", f"Warmbron asks about {len(people)} at night."
        ),
        [
            Words(
                f"Na {first.total()} weigeringen gaat de deur dicht. De beheerder krijgt een alarm.",
                f"After {first.total()} refusals the door closes. The operator gets an alarm.",
            )
        ],
        "",
        None,
        [Check("refused", {"geen_toestemming": FIRST_ASKED}, dict(+first)), Check("answered then", 0, second.total())],
    )


async def last_day(world: World, clock: DemoClock, teller: Teller) -> list[Scene]:
    """Let the day go by, and return its scenes; it ends within the last hour before the present."""
    rng = random.Random(world.town.residents[0].ref)  # noqa: S311 -- the same every time; nothing secret comes from it
    clock.leave_the_hour_behind()  # the refusals of a night are counted by the hour
    hours = hours_after(datetime.fromtimestamp(clock() / 1000, UTC).hour)
    night, scenes = night_of(hours), []
    with teller.progress(Words("Een dag gaat voorbij", "a day goes by"), HOURS) as step:
        for at, hour in enumerate(hours):
            clock.advance(hours=1)
            if at == night:
                scenes.append(await at_night(world))
            elif hour in OFFICE_HOURS:
                await _an_hour(world, ORDINARY[hour % len(ORDINARY)], rng)
            step(1)
    return [*scenes, await phoned_again(world), await stopped_after_delivery(world)]


def hours_after(hour: int) -> list[int]:
    """Return the hours (UTC) that the last day steps through when it begins in this one."""
    return [(hour + step) % 24 for step in range(1, HOURS + 1)]


def night_of(hours: Sequence[int]) -> int:
    """Return which of them, counted from 0, is the night in which somebody asks."""
    return next(at for at, hour in enumerate(hours) if hour in NIGHT)


async def _an_hour(world: World, report: Report, rng: random.Random) -> None:
    """Let one supplier send, every recipient receive, and say of some what was done."""
    await world.report_many(report, rng.sample(_clients(world, report), A_TIME))
    for municipality in MUNICIPALITIES:
        for one in (await world.collect(municipality))[::4]:
            await world.say_what_was_done(municipality, one, "Gesprek over de rekening", "brief")


def _clients(world: World, report: Report) -> Sequence[Resident]:
    return [row.resident for row in world.town.arrears[report.sender.oin]]
