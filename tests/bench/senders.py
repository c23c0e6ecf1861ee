"""Many senders at once: 1, 8 and 64 suppliers with batches of 1000, each with an outbox and a connection of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from itertools import count

from gateway.sdk.agency import Agency
from tests.bench.section import Bench, Figures
from tests.bench.sending import figures_of, send, several, submission_limit
from tests.bench.town import PATH, filling, found, person, row, suppliers
from tests.support.command import Regie, served

PEOPLE = 1_000
"""About whom each supplier sends: people of its own, three of four of whom said yes to it."""
BATCHES = 2
"""In each send, whoever sends: what a send costs whatever its size is then the same part of all of them."""
WARM_UP = 10
SENDERS = {1: 9, 8: 5, 64: 2}
"""Senders, and how often they are measured."""
QUICK = {1: 1, 8: 1}


async def measure(bench: Bench) -> Figures:
    """All roles in one process, all senders in this one."""
    wanted = bench.pick(SENDERS, QUICK)
    oins = [one.oin for one in suppliers(max(wanted))]
    home = found(bench.folder / "home", len(oins))
    figures: Figures = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        with filling(home, workers) as writer:
            for number, oin in enumerate(oins):
                writer.agree(oin, [person(at) for at in people_of(number)])
        with served(Regie(home.folder), *PATH) as server:
            async with AsyncExitStack() as stack:
                agencies = [await stack.enter_async_context(Agency.open(home, oin)) for oin in oins]
                rounds = count()
                for senders, times in wanted.items():
                    bench.say(f"{senders} at once")
                    signals = senders * BATCHES * PEOPLE
                    work = partial(at_once, agencies[:senders], rounds)
                    limit = submission_limit(signals, workers)
                    runs = await several(server.process, work, limit, times, partial(work, WARM_UP))
                    figures[f"senders_{senders}"] = figures_of(runs, signals)
    return {"submission": figures}


def people_of(sender: int) -> range:
    return range(sender * PEOPLE, (sender + 1) * PEOPLE)


async def at_once(agencies: Sequence[Agency], rounds: count[int], people: int = PEOPLE) -> None:
    """Let each send its batches, about so many people each, all at the same time."""
    numbers = [next(rounds) for _ in range(BATCHES)]
    sends = (
        send(agency, [row(at, number) for number in numbers for at in people_of(sender)[:people]])
        for sender, agency in enumerate(agencies)
    )
    await asyncio.gather(*sends)
