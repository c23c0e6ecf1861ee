"""What tracing costs: the same sends with it and without it, by turns, against two towns of their own."""

from __future__ import annotations

import os
import statistics
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from consent_ledger.clock import system_clock
from gateway.directory.founding import found_home
from gateway.sdk.agency import Agency
from gateway.town.participants import LAMPJE, TOWN, ZONNEVEEN
from tests.bench.exchange import PATH, PURPOSE, Cost, busy_seconds, prepare, row
from tests.support.command import Regie, served

LIMIT = 1.15
PEOPLE = 1_000
ROUNDS = {"batch_1000": (1_000, 1, 9), "single": (1, 40, 9)}
"""Signals in a send, sends in a row, and how often both sides do that."""


@dataclass(frozen=True, eq=False)
class Side:
    agency: Agency
    servers: subprocess.Popen[str]

    async def send(self, rows: int, times: int, round_: int) -> Cost:
        """Send; nothing of it was ever sent before."""
        begun, used = perf_counter(), busy_seconds(self.servers)
        for number in range(times):
            sent = [row((number * rows + at) % PEOPLE, round_ * times + number) for at in range(rows)]
            summary = await self.agency.sender().send(sent, purpose=PURPOSE, recipient=ZONNEVEEN.oin)
            assert summary.counts["probeer_later"] == 0, summary
        return Cost(perf_counter() - begun, busy_seconds(self.servers) - used)


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
    home = found_home(folder / f"traced-{wanted}", TOWN, system_clock, demo=True)
    async with AsyncExitStack() as stack:
        with tracing(wanted):
            server = stack.enter_context(served(Regie(home.folder), *PATH))
            await prepare(home, PEOPLE)
            yield Side(await stack.enter_async_context(Agency.open(home, LAMPJE.oin)), server.process)


def _ratio(without: list[float], with_: list[float]) -> float:
    """Return the median of what each pair of neighbours says: machines drift, neighbours do less."""
    return round(statistics.median(b / a for a, b in zip(without, with_, strict=True)), 3)


async def measure(folder: Path) -> dict[str, object]:
    """Return ``cost``: processor time of all parties with tracing to that without, and the same of the clock."""
    os.environ.setdefault("REGIE_SENDER_REFUSALS_PER_HOUR", "10000000")
    figures: dict[str, object] = {}
    round_ = 0
    async with side(folder, wanted=False) as without, side(folder, wanted=True) as with_:
        for name, (rows, times, repeats) in ROUNDS.items():
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
    return {"tracing": {**figures, "limit": LIMIT}}
