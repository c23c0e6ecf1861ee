"""Delivery: a municipality pulls what was released, verifies, stores, acknowledges, and hands it over."""

from __future__ import annotations

import os
import statistics
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from gateway.sdk.agency import Agency
from gateway.sdk.rows import Resident, ResidentRow
from gateway.town.participants import LAMPJE, ZONNEVEEN
from tests.bench import delivery_bound, limits
from tests.bench.limits import Cost
from tests.bench.section import Bench, Figures
from tests.bench.sending import Run, beside, figures_of, send
from tests.bench.town import PATH, filling, found, person, row
from tests.support.command import Regie, served

PEOPLE = 4_000
BATCHES = (4, 1)
"""Batches of 1000 that wait when the inbox is drained; three of four signals in them are permitted."""
TIMES = (4, 1)
"""How often that is measured, after once to warm up: a purpose allows five exchanges about somebody in 30 days."""


@dataclass(frozen=True)
class Drained:
    """``bare``: the clock to that of bare multiplications, one for each signal."""

    run: Run
    signals: int
    bare: float


async def measure(bench: Bench) -> Figures:
    """All roles in one process, sender and recipient in this one; sending is not counted."""
    batches = bench.pick(*BATCHES)
    home, rounds = found(bench.folder / "home"), count()
    people = [person(number) for number in range(PEOPLE)]
    drained: list[Drained] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        with filling(home, workers) as writer:
            writer.agree(LAMPJE.oin, people)
        with served(Regie(home.folder), *PATH) as server:
            async with Agency.open(home, LAMPJE.oin) as sender, Agency.open(home, ZONNEVEEN.oin) as recipient:
                await recipient.enrolment().enrol(
                    [ResidentRow(f"R{n}", Resident(None, one)) for n, one in enumerate(people[: 1_000 * batches])]
                )
                for _ in range(bench.pick(*TIMES) + 1):
                    round_ = next(rounds)
                    await send(sender, [row(at, round_) for at in range(1_000 * batches)])
                    drained.append(await _drained(server.process, recipient, bench.folder, batches, workers))
    counted = drained[1:]
    figures = figures_of([one.run for one in counted], counted[0].signals)
    figures["bare_ratio"] = round(statistics.median(one.bare for one in counted), 2)
    return {"delivery": figures | {"signals": sum(one.signals for one in counted)}}


async def _drained(
    servers: subprocess.Popen[str], recipient: Agency, folder: Path, batches: int, workers: ThreadPoolExecutor
) -> Drained:
    """Drain the inbox: every batch is handed over and done."""
    signals = [0]

    async def drain() -> None:
        async for batch in recipient.recipient().batches():
            signals[0] += len(batch.deliveries)
            await batch.done()

    permitted = batches * 750

    def limit() -> Cost:
        return delivery_bound.bound(permitted, batches, limits.fsync_seconds(folder, 5), workers)

    run = await beside(servers, drain, limit)
    assert signals[0] == permitted, f"{signals[0]} signals came, of {permitted}"
    bare = limits.multiplications(permitted, workers)
    return Drained(run, signals[0], run.cost.wall / bare.wall)
