"""Many senders at once: 1, 8 and 64 suppliers with batches of 1000, each with an outbox and a connection of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, count, groupby
from operator import attrgetter

from gateway.sdk.agency import Agency
from tests.bench.section import Bench, Figures
from tests.bench.sending import figures_of, send, several, submission_limit
from tests.bench.town import PATH, filling, found, person, row, suppliers
from tests.support.command import Regie, served

PEOPLE = 1_000
"""About whom a supplier sends; three of four of them said yes to it. Nobody is sent about in two measurements, so that
each finds as many who are known to the ledger, and as few who were helped as often as a purpose allows."""
BATCHES = 2
"""In each send, whoever sends: what a send costs whatever its size is then the same part of all of them."""
WARM_UP = 10
SENDERS = {1: 9, 8: 5, 64: 2}
"""Senders, and how often they are measured."""
QUICK = {1: 1, 8: 1}
_ROUNDS = count()


@dataclass(frozen=True)
class Turn:
    """Senders at once, and the first of the thousands of people whom they send about: one thousand each, in order."""

    senders: int
    first: int

    def people(self, sender: int) -> range:
        return range((self.first + sender) * PEOPLE, (self.first + sender + 1) * PEOPLE)


def turns(wanted: Mapping[int, int]) -> list[Turn]:
    """Return the measurements of so many senders, so often each."""
    sizes = [senders for senders, times in wanted.items() for _ in range(times)]
    return [Turn(senders, first) for senders, first in zip(sizes, accumulate(sizes, initial=0), strict=False)]


async def measure(bench: Bench) -> Figures:
    """All roles in one process, all senders in this one."""
    planned = turns(bench.pick(SENDERS, QUICK))
    oins = [one.oin for one in suppliers(max(turn.senders for turn in planned))]
    home = found(bench.folder / "home", len(oins))
    figures: Figures = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        with filling(home, workers) as writer:
            for turn in planned:
                for sender in range(turn.senders):
                    writer.agree(oins[sender], [person(at) for at in turn.people(sender)])
        with served(Regie(home.folder), *PATH) as server:
            async with AsyncExitStack() as stack:
                agencies = [await stack.enter_async_context(Agency.open(home, oin)) for oin in oins]
                for senders, measured in groupby(planned, attrgetter("senders")):
                    bench.say(f"{senders} at once")
                    signals, ahead = senders * BATCHES * PEOPLE, list(measured)
                    warm_up, work = partial(at_once, agencies, ahead[0], WARM_UP), partial(next_turn, agencies, ahead)
                    limit = submission_limit(signals, workers)
                    runs = await several(server.process, work, limit, len(ahead), warm_up)
                    figures[f"senders_{senders}"] = figures_of(runs, signals)
    return {"submission": figures}


async def next_turn(agencies: Sequence[Agency], ahead: list[Turn]) -> None:
    """Take the next turn."""
    await at_once(agencies, ahead.pop(0))


async def at_once(agencies: Sequence[Agency], turn: Turn, people: int = PEOPLE) -> None:
    """Let each send its batches, about so many people each, all at the same time."""
    rounds = [next(_ROUNDS) for _ in range(BATCHES)]
    sends = (
        send(agencies[sender], [row(at, number) for number in rounds for at in turn.people(sender)[:people]])
        for sender in range(turn.senders)
    )
    await asyncio.gather(*sends)
