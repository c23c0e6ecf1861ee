"""Cost against size: the same batches on logs of 10^4, 10^5 and 10^6 entries, and with 10^6 residents' consents.

    python -m tests.bench --only entries

A filled log is half strangers' yeses and half permitted exchanges about them. Every size has a home of its own, all are
served at the same time and measured in turns. Afterwards each role runs by itself, and its memory is read.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from time import perf_counter

from gateway.home import Home
from gateway.sdk.agency import Agency
from gateway.town.participants import LAMPJE
from tests.bench.section import Bench, Figures
from tests.bench.sending import Run, beside, figures_of, send, submission_limit
from tests.bench.town import PATH, filling, found, person, row
from tests.support.command import Regie, served

SIZES = {
    "entries_10000": ("exchanges", 10_000),
    "entries_100000": ("exchanges", 100_000),
    "entries_1000000": ("exchanges", 1_000_000),
    "consents_1000000": ("consents", 1_000_000),
}
"""What the log holds before: what of, and how many entries."""
QUICK = {"entries_1000": ("exchanges", 1_000), "entries_10000": ("exchanges", 10_000)}
PEOPLE, SIGNALS, TURNS = 4_000, 2_000, 7
ROLES = (*PATH, "viewer")


@dataclass(frozen=True)
class Side:
    home: Home
    agency: Agency
    servers: subprocess.Popen[str]
    rounds: count[int]

    async def send(self) -> None:
        """Send two batches of 1000."""
        round_ = next(self.rounds)
        await send(self.agency, [row((SIGNALS * round_ + at) % PEOPLE, round_) for at in range(SIGNALS)])


async def measure(bench: Bench) -> Figures:
    """Build the ledgers, measure in turns, read memory."""
    wanted = bench.pick(SIZES, QUICK)
    homes = _found_apart(bench.folder, wanted)
    begun = perf_counter()
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as processes:
        for _ in processes.map(fill, [home.folder for home in homes.values()], *zip(*wanted.values(), strict=True)):
            pass
    bench.say(f"ledgers of {', '.join(wanted)} built in {perf_counter() - begun:.0f} s")
    disk = {name: {"bytes_each": round(home.ledger.stat().st_size / _size(name))} for name, home in homes.items()}
    figures = await _in_turns(homes, bench.pick(TURNS, 1))
    bench.say("memory of each role")
    memory = {name: await _memory(homes[name]) for name in (min(wanted, key=_size), max(wanted, key=_size))}
    return {"submission": figures, "memory": memory, "disk": disk}


def _size(name: str) -> int:
    return {**SIZES, **QUICK}[name][1]


def _found_apart(folder: Path, names: Mapping[str, object]) -> dict[str, Home]:
    """Found a home for each name; no two of them have a port in common, since they are served together."""
    homes: dict[str, Home] = {}
    taken: set[str] = set()
    for name in names:
        while (home := found(folder / name)) and (ports := _ports(home)) & taken:
            shutil.rmtree(home.folder)
        taken |= ports
        homes[name] = home
    return homes


def _ports(home: Home) -> set[str]:
    return {*home.addresses.values(), *home.metrics.values()}


def fill(folder: Path, kind: str, entries: int) -> None:
    """Fill the ledger of a home, in a process of its own."""
    with filling(Home.open(folder)) as writer:
        writer.agree(LAMPJE.oin, [person(number) for number in range(PEOPLE)])
        (writer.exchanges if kind == "exchanges" else writer.consents)(entries)


async def _in_turns(homes: Mapping[str, Home], turns: int) -> Figures:
    """Measure every size once a turn, each turn beginning with another; the first turn connects and warms up."""
    runs: dict[str, list[Run]] = {name: [] for name in homes}
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        limit = submission_limit(SIGNALS, workers)
        async with AsyncExitStack() as stack:
            sides = {name: await _side(stack, home) for name, home in homes.items()}
            for turn in range(turns + 1):
                names = list(sides)
                for name in names[turn % len(names) :] + names[: turn % len(names)]:
                    run = await beside(sides[name].servers, sides[name].send, limit)
                    if turn:
                        runs[name].append(run)
    smallest = runs[next(iter(runs))]
    return {name: figures_of(found, SIGNALS) | {"growth": growth(smallest, found)} for name, found in runs.items()}


def growth(small: Sequence[Run], large: Sequence[Run]) -> float:
    """Return what a signal costs on a large log to what it costs on a small one: the median of what each turn says."""
    pairs = zip(small, large, strict=True)
    return round(statistics.median(b.cost.busy / b.limit.busy / (a.cost.busy / a.limit.busy) for a, b in pairs), 3)


async def _side(stack: AsyncExitStack, home: Home) -> Side:
    server = stack.enter_context(served(Regie(home.folder), *PATH))
    agency = await stack.enter_async_context(Agency.open(home, LAMPJE.oin))
    return Side(home, agency, server.process, count())


async def _memory(home: Home) -> Figures:
    """Return the resident memory in MB of each role in a process of its own, after a few batches."""
    async with AsyncExitStack() as stack:
        servers = {role: stack.enter_context(served(Regie(home.folder), role)).process for role in ROLES}
        agency = await stack.enter_async_context(Agency.open(home, LAMPJE.oin))
        rounds = count(1_000_000)  # nothing of it was sent before
        for _ in range(2):
            await Side(home, agency, servers["ledger"], rounds).send()
        return {f"{role}_mb": resident_mb(process.pid) for role, process in servers.items()}


def resident_mb(pid: int) -> float:
    """Return VmRSS of a process in MB (10^6 bytes)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return round(kilobytes * 1.024e-3, 1)
