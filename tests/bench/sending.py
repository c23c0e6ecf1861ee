"""Sends over real mTLS on loopback, each measured beside the bare group operations of as many signals."""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from time import clock_gettime, perf_counter, process_time

from gateway.sdk.agency import Agency
from gateway.sdk.rows import ArrearsRow
from gateway.town.participants import ZONNEVEEN
from tests.bench import limits
from tests.bench.limits import Cost
from tests.bench.section import Figures
from tests.bench.town import PURPOSE

_SCHEDULED = 2  # CPUCLOCK_SCHED: what clock_getcpuclockid(3) makes of a process id
PATIENCE_SECONDS = 300.0
LIMIT_SIGNALS = 2_000
"""Signals of a bare run beside a larger send."""


def busy_seconds(process: subprocess.Popen[str]) -> float:
    """Return the processor time of this process and the servers', to the nanosecond (Linux's clock of a process)."""
    return process_time() + clock_gettime(~process.pid << 3 | _SCHEDULED)


@dataclass(frozen=True)
class Run:
    """Work beside its limit, which is measured before and after it: machines drift."""

    cost: Cost
    limit: Cost


async def costing(servers: subprocess.Popen[str], work: Callable[[], Awaitable[object]]) -> Cost:
    """Return the cost of work to this process and the servers."""
    begun, used = perf_counter(), busy_seconds(servers)
    await work()
    return Cost(perf_counter() - begun, busy_seconds(servers) - used)


async def beside(
    servers: subprocess.Popen[str], work: Callable[[], Awaitable[object]], limit: Callable[[], Cost]
) -> Run:
    """Measure work between two measurements of its limit."""
    before = limit()
    cost = await costing(servers, work)
    after = limit()
    return Run(cost, Cost((before.wall + after.wall) / 2, (before.busy + after.busy) / 2))


async def several(
    servers: subprocess.Popen[str],
    work: Callable[[], Awaitable[object]],
    limit: Callable[[], Cost],
    times: int,
    warm_up: Callable[[], Awaitable[object]] | None = None,
) -> list[Run]:
    """Measure work so many times, after once, or less work, to connect and warm up."""
    await (warm_up or work)()
    return [await beside(servers, work, limit) for _ in range(times)]


def submission_limit(signals: int, workers: Executor) -> Callable[[], Cost]:
    """The bare group operations of so many signals; of many, measured on some of them."""
    some = min(signals, LIMIT_SIGNALS)
    return lambda: limits.submission(some, workers).times(signals / some)


async def send(agency: Agency, rows: Sequence[ArrearsRow]) -> None:
    """Send rows; all of them get an answer, however busy the machine is."""
    summary = await agency.sender().send(rows, purpose=PURPOSE, recipient=ZONNEVEEN.oin, patience=PATIENCE_SECONDS)
    assert summary.counts["probeer_later"] == 0, summary


def figures_of(runs: Sequence[Run], signals: int) -> Figures:
    """Medians. ``ratio`` is processor time of all parties to that of their bare group operations, with the least and the
    most that a run said; ``clock_ratio`` the same of the clock, with all cores for both.
    """
    ratios = [run.cost.busy / run.limit.busy for run in runs]
    return {
        "per_s": round(signals / statistics.median(run.cost.wall for run in runs), 1),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_min": round(min(ratios), 2),
        "ratio_max": round(max(ratios), 2),
        "clock_ratio": round(statistics.median(run.cost.wall / run.limit.wall for run in runs), 2),
        "cpu_us_each": round(statistics.median(run.cost.busy for run in runs) / signals * 1e6, 1),
        "limit_cpu_us_each": round(statistics.median(run.limit.busy for run in runs) / signals * 1e6, 1),
    }


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def latency_of(calls: Sequence[float], limit: float) -> Figures:
    """Return percentiles of single calls in milliseconds, and as ratios to their limit (both in seconds)."""
    p50, p99 = percentile(calls, 50), percentile(calls, 99)
    return {
        "p50_ms": round(p50 * 1e3, 3),
        "p99_ms": round(p99 * 1e3, 3),
        "max_ms": round(max(calls) * 1e3, 3),
        "limit_ms": round(limit * 1e3, 3),
        "p50_ratio": round(p50 / limit, 2),
        "p99_ratio": round(p99 / limit, 2),
    }
