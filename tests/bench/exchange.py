"""The whole path over real mTLS on loopback: SDK, gateway, pseudonyms, ledger commit (durable), answer; then delivery."""

from __future__ import annotations

import os
import statistics
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from time import perf_counter, process_time

from consent_ledger.clock import system_clock
from gateway.crypto.identifiers import AddressBirthDate
from gateway.directory.founding import found_home
from gateway.home import Home
from gateway.sdk import choices
from gateway.sdk.agency import Agency
from gateway.sdk.rows import ArrearsRow, ChoiceRow, Resident, ResidentRow
from gateway.town.participants import LAMPJE, TOWN, VIEWER, ZONNEVEEN
from tests.bench import limits
from tests.support.command import Regie, served

PURPOSE = "vroegsignalering-energie"
PATH = ("witness", "ledger", "pseudonyms", "gateway")
"""The roles that a signal passes; who reads the log afterwards, as an auditor's console does, is no part of its cost."""
PEOPLE = 4_000
SIZES = {1: 40, 10: 20, 100: 12}
"""Signals in a batch: how many batches are sent, one after the other."""
LARGE, SENDS = 4, 7
"""Batches of 1000 in one send (the SDK keeps two in flight), and how many such sends."""


def person(number: int) -> AddressBirthDate:
    return AddressBirthDate("1234AB", str(number + 1), "", "", f"{1950 + number % 50}-01-15")


def row(number: int, round_: int) -> ArrearsRow:
    return ArrearsRow(
        reference=f"{round_}-{number}",
        person=person(number),
        months=Decimal(2),
        end_of_supply=False,
        warm_handover=False,
        signal_date=date(2026, 1, 2),
        steps=("reminder",),
    )


async def prepare(home: Home, people: int = PEOPLE) -> None:
    """Enrol everybody; three of four said yes."""
    everybody = [Resident(None, person(number)) for number in range(people)]
    async with Agency.open(home, ZONNEVEEN.oin) as agency:
        await agency.enrolment().enrol([ResidentRow(f"R{n}", one) for n, one in enumerate(everybody)])
    async with Agency.open(home, VIEWER.oin) as portal:
        registry = await portal.registry()
        answers = ("JA", "JA", "JA", "NEE")
        rows = [
            ChoiceRow(
                one, LAMPJE.oin, ZONNEVEEN.oin, PURPOSE, (), answers[n % 4], None if answers[n % 4] == "NEE" else 6
            )
            for n, one in enumerate(everybody)
        ]
        wishes = [choices.choice(one, registry.purpose(PURPOSE)) for one in rows]
        await portal.portal().record(wishes)


def busy_seconds(process: subprocess.Popen[str]) -> float:
    """Return the processor time of this process and the servers'."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return process_time() + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    wall: float
    busy: float


@dataclass(frozen=True)
class Run:
    """One send beside the bare group operations of as many signals, measured before and after it: machines drift."""

    cost: Cost
    limit: Cost


async def send(
    agency: Agency, servers: subprocess.Popen[str], workers: ThreadPoolExecutor, rows: int, times: int, round_: int
) -> list[Run]:
    """Send so many rows so many times."""
    runs = []
    for number in range(times + 1):
        # Two or three signals about each person in all.
        sent = [row((rows * number + at) % PEOPLE, round_ + number) for at in range(rows)]
        before = limits.submission_seconds(rows, workers)
        begun, used = perf_counter(), busy_seconds(servers)
        summary = await agency.sender().send(sent, purpose=PURPOSE, recipient=ZONNEVEEN.oin)
        assert summary.counts["probeer_later"] == 0, summary
        cost = Cost(perf_counter() - begun, busy_seconds(servers) - used)
        after = limits.submission_seconds(rows, workers)
        if number:  # the first connects and warms up
            runs.append(Run(cost, Cost((before[0] + after[0]) / 2, (before[1] + after[1]) / 2)))
    return runs


def figures_of(runs: Sequence[Run], signals: int) -> dict[str, float]:
    """Medians. ``ratio`` is processor time of all parties to that of their bare group operations; ``clock_ratio`` the
    same of the clock, with all cores for both.
    """
    return {
        "per_s": round(signals / statistics.median(run.cost.wall for run in runs), 1),
        "ratio": round(statistics.median(run.cost.busy / run.limit.busy for run in runs), 2),
        "clock_ratio": round(statistics.median(run.cost.wall / run.limit.wall for run in runs), 2),
        "cpu_us_per_signal": round(statistics.median(run.cost.busy for run in runs) / signals * 1e6, 1),
        "limit_cpu_us_per_signal": round(statistics.median(run.limit.busy for run in runs) / signals * 1e6, 1),
    }


async def receive(home: Home) -> tuple[int, float]:
    """Drain the inbox; return how many signals came and the seconds."""
    async with Agency.open(home, ZONNEVEEN.oin) as agency:
        await agency.registry()
        begun, count = perf_counter(), 0
        async for delivery in agency.recipient().deliveries():
            await delivery.done()
            count += 1
        return count, perf_counter() - begun


async def measure(folder: Path) -> dict[str, object]:
    """Return the figures of the submission and delivery paths; every role in one process, the agency in this one."""
    home = found_home(folder / "home", TOWN, system_clock, demo=True)
    os.environ.setdefault("REGIE_SENDER_REFUSALS_PER_HOUR", "10000000")  # half of what is sent here is refused
    figures: dict[str, object] = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers, served(Regie(home.folder), *PATH) as server:
        await prepare(home)
        async with Agency.open(home, LAMPJE.oin) as agency:
            round_ = 0
            for size, times in SIZES.items():
                runs = await send(agency, server.process, workers, size, times, round_)
                round_ += times + 1
                figures[f"batch_{size}"] = figures_of(runs, size)
            runs = await send(agency, server.process, workers, 1000 * LARGE, SENDS, round_)
            figures["batch_1000"] = figures_of(runs, 1000 * LARGE)
        count, seconds = await receive(home)
        bare = limits.delivery_seconds(1000, workers) * count / 1000
    delivery = {"signals": count, "per_s": round(count / seconds, 1), "ratio": round(seconds / bare, 2)}
    return {"submission": figures, "delivery": delivery}
