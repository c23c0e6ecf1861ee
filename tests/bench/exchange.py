"""The whole path over real mTLS on loopback: SDK, gateway, pseudonyms, ledger commit (durable), answer; then delivery."""

from __future__ import annotations

import os
import statistics
from concurrent.futures import ThreadPoolExecutor
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
from gateway.server import serving
from gateway.town.participants import LAMPJE, TOWN, VIEWER, ZONNEVEEN
from tests.bench import limits

PURPOSE = "vroegsignalering-energie"
PEOPLE = 1000
SIZES = {1: 20, 10: 10, 100: 6, 1000: 5}
"""Signals in a batch: how many batches are sent, one after the other."""


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


async def prepare(home: Home) -> None:
    """Enrol everybody; three of four said yes."""
    everybody = [Resident(None, person(number)) for number in range(PEOPLE)]
    async with Agency.open(home, ZONNEVEEN.oin) as agency:
        await agency.enrolment().enrol([ResidentRow(f"R{n}", one) for n, one in enumerate(everybody)])
    async with Agency.open(home, VIEWER.oin) as portal:
        registry = await portal.registry()
        answers = ("JA", "JA", "JA", "NEE")
        rows = [
            ChoiceRow(one, LAMPJE.oin, ZONNEVEEN.oin, PURPOSE, (), answers[n % 4], None if answers[n % 4] == "NEE" else 6)
            for n, one in enumerate(everybody)
        ]
        wishes = [choices.choice(one, registry.purpose(PURPOSE)) for one in rows]
        await portal.portal().record(wishes)


async def send(agency: Agency, size: int, batches: int, round_: int) -> tuple[float, float]:
    """Send batches of one size; return the seconds on the clock and of processor time, per batch (median)."""
    wall, busy = [], []
    for number in range(batches + 1):
        rows = [row(at, round_ + number) for at in range(size)]
        begun, used = perf_counter(), process_time()
        summary = await agency.sender().send(rows, purpose=PURPOSE, recipient=ZONNEVEEN.oin)
        if number:  # the first connects and warms up
            wall.append(perf_counter() - begun)
            busy.append(process_time() - used)
        assert summary.counts["probeer_later"] == 0, summary
    return statistics.median(wall), statistics.median(busy)


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
    """Return the figures of the submission and delivery paths."""
    home = found_home(folder / "home", TOWN, system_clock, demo=True)
    figures: dict[str, object] = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        async with serving(home, ("gateway", "pseudonyms", "ledger")) as served:
            await served.ready()
            await prepare(home)
            async with Agency.open(home, LAMPJE.oin) as agency:
                round_ = 0
                for size, batches in SIZES.items():
                    limit = limits.submission_seconds(size, workers)
                    wall, busy = await send(agency, size, batches, round_)
                    round_ += batches + 1
                    figures[f"batch_{size}"] = {
                        "per_s": round(size / wall, 1),
                        "ratio": round(wall / limit, 2),
                        "cpu_us_per_signal": round(busy / size * 1e6, 1),
                        "limit_us_per_signal": round(limit / size * 1e6, 1),
                    }
            count, seconds = await receive(home)
            bare = limits.delivery_seconds(1000, workers) * count / 1000
    delivery = {"signals": count, "per_s": round(count / seconds, 1), "ratio": round(seconds / bare, 2)}
    return {"submission": figures, "delivery": delivery}
