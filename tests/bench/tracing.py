"""What tracing costs: the same sends with it and without it, by turns, against two towns of their own."""

from __future__ import annotations

import os
import statistics
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.sdk.agency import Agency
from gateway.town.participants import LAMPJE
from tests.bench.limits import Cost
from tests.bench.section import Bench, Figures
from tests.bench.sending import costing, send
from tests.bench.town import PATH, filling, found, person, row
from tests.support.command import Regie, served

PEOPLE = 1_000
ROUNDS = {"batch_1000": (1_000, 1, 9), "single": (1, 40, 9)}
"""Signals in a send, sends in a row, and how often both sides do that."""
QUICK = {"batch_1000": (1_000, 1, 1), "single": (1, 5, 1)}


@dataclass(frozen=True, eq=False)
class Side:
    agency: Agency
    servers: subprocess.Popen[str]

    async def send(self, rows: int, times: int, round_: int) -> Cost:
        """Send; nothing of it was ever sent before."""

        async def sends() -> None:
            for number in range(times):
                await send(
                    self.agency, [row((number * rows + at) % PEOPLE, round_ * times + number) for at in range(rows)]
                )

        return await costing(self.servers, sends)


@contextmanager
def tracing(wanted: bool) -> Iterator[None]:
    """Let what is started inside trace, or not."""
    before = os.environ.get("REGIE_TRACING")
    os.environ["REGIE_TRACING"] = str(wanted).lower()
    try:
        yield
    finally:
        os.environ.pop("REGIE_TRACING")
        if before is not None:
            os.environ["REGIE_TRACING"] = before


@asynccontextmanager
async def side(folder: Path, wanted: bool) -> AsyncIterator[Side]:
    """A town that traces, or not."""
    home = found(folder / f"traced-{wanted}")
    with filling(home) as writer:
        writer.agree(LAMPJE.oin, [person(number) for number in range(PEOPLE)])
    async with AsyncExitStack() as stack:
        with tracing(wanted):
            server = stack.enter_context(served(Regie(home.folder), *PATH))
            yield Side(await stack.enter_async_context(Agency.open(home, LAMPJE.oin)), server.process)


def _ratio(without: list[float], with_: list[float]) -> float:
    """Return the median of what each pair of neighbours says: machines drift, neighbours do less."""
    return round(statistics.median(b / a for a, b in zip(without, with_, strict=True)), 3)


async def measure(bench: Bench) -> Figures:
    """Return ``cost``: processor time of all parties with tracing to that without, and the same of the clock."""
    figures: Figures = {}
    round_ = 0
    async with side(bench.folder, wanted=False) as without, side(bench.folder, wanted=True) as with_:
        for name, (rows, times, repeats) in bench.pick(ROUNDS, QUICK).items():
            pairs = []
            for number in range(repeats + 1):
                round_ += 1
                order = (without, with_) if number % 2 else (with_, without)
                costs = {one: await one.send(rows, times, round_) for one in order}
                if number:  # the first connects and warms up
                    pairs.append((costs[without], costs[with_]))
            figures[name] = {
                "cost": _ratio([a.busy for a, _ in pairs], [b.busy for _, b in pairs]),
                "clock_cost": _ratio([a.wall for a, _ in pairs], [b.wall for _, b in pairs]),
            }
    return {"tracing": {"cost": figures["batch_1000"]["cost"], **figures}}
