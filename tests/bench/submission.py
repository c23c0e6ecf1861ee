"""The submission path by the size of a batch: SDK, gateway, pseudonyms, ledger commit (durable), answer."""

from __future__ import annotations

import os
import statistics
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from time import perf_counter

from gateway.sdk.agency import Agency
from gateway.town.participants import LAMPJE
from tests.bench import limits, single_floor
from tests.bench.section import Bench, Figures
from tests.bench.sending import figures_of, latency_of, send, several, submission_limit
from tests.bench.town import PATH, filling, found, person, row
from tests.support.command import Regie, served

PEOPLE = 4_000
LARGE = 4
"""Batches of 1000 in one send (the SDK keeps several in flight)."""
SIZES = {1: (1, 20, 7), 10: (10, 10, 7), 100: (100, 5, 7), 1_000: (1_000 * LARGE, 1, 7)}
"""Signals in a batch: signals in a send, sends in a row, and how often they are measured."""
QUICK = 2
CALLS, BETWEEN = (400, 20), 20
"""Single calls whose latency is taken, and after how many of them their limit is measured again."""


async def measure(bench: Bench) -> Figures:
    """Every role in one process, the agency in this one."""
    home = found(bench.folder / "home")
    figures: Figures = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        with filling(home, workers) as writer:
            writer.agree(LAMPJE.oin, [person(number) for number in range(PEOPLE)])
        with served(Regie(home.folder), *PATH) as server:
            async with Agency.open(home, LAMPJE.oin) as agency:
                rounds = count()
                for size, (signals, in_a_row, times) in SIZES.items():
                    bench.say(f"batches of {size}")
                    runs = await several(
                        server.process,
                        partial(sends, agency, signals, in_a_row, rounds),
                        submission_limit(signals * in_a_row, workers),
                        bench.pick(times, QUICK),
                    )
                    figures[f"batch_{size}"] = figures_of(runs, signals * in_a_row)
                bench.say("latency of single calls")
                figures["batch_1"] |= await latency(agency, bench.folder, bench.pick(*CALLS), rounds)
                single = figures["batch_1"] | await single_floor.measure(home, bench.folder)
                figures["batch_1"] = single | {"p50_floor_ratio": round(single["p50_ms"] / single["floor_ms"], 2)}
    return {"submission": figures}


async def sends(agency: Agency, signals: int, times: int, rounds: count[int]) -> None:
    """Send so many signals so many times; each person is in turn, and under a new reference."""
    for _ in range(times):
        round_ = next(rounds)
        await send(agency, [row((signals * round_ + at) % PEOPLE, round_) for at in range(signals)])


async def latency(agency: Agency, folder: Path, calls: int, rounds: count[int]) -> Figures:
    """Return how long single calls take, one after the other, beside the group operations of one signal and one fsync."""
    waited: list[float] = []
    bounds: list[float] = []
    for number in range(calls):
        if number % BETWEEN == 0:
            bounds.append(_single_limit(folder))
        sent = [row(number % PEOPLE, next(rounds))]
        begun = perf_counter()
        await send(agency, sent)
        waited.append(perf_counter() - begun)
    return latency_of(waited, statistics.median(bounds))


def _single_limit(folder: Path) -> float:
    group = statistics.median(limits.submission(1, None).wall for _ in range(5))
    return group + limits.fsync_seconds(folder, 5)
