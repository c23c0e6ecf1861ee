"""`make soak`: memory of every role over an hour at half load.

    python -m tests.memory [--minutes 60 | --signals 10000] [--json]

With ``--minutes``, work and pauses take turns of one length: half load. With ``--signals``, as fast as it goes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import structlog
from rich.console import Console
from rich.table import Table

from gateway.cli.common import run
from tests.bench.town import unbounded
from tests.memory import growth
from tests.memory.load import SIGNALS, Town, town

MOST_PER_SECOND = 100
"""What half load is planned for: more signals than that are refused, and are a load all the same."""
WARM_ROUNDS = 8


@dataclass
class Soak:
    """What was done; ``seconds`` of each sample from the begin on."""

    town: Town
    seconds: list[float] = field(default_factory=list)
    busy: float = 0.0

    def figures(self) -> dict[str, object]:
        span = self.seconds[-1]
        roles = growth.table(self.town.memory)
        for role, one in self.town.memory.items():
            roles[role]["growth_mb_per_hour"] = growth.hourly(one, self.seconds)
        return {
            "samples": {role: growth.thinned(one, self.seconds) for role, one in self.town.memory.items()},
            "signals": self.town.sent,
            "delivered": self.town.delivered,
            "minutes": round(span / 60, 2),
            "per_s": round(self.town.sent / span, 1),
            "load": round(self.busy / span, 2),
            "memory": roles,
        }


async def soak(folder: Path, minutes: float, signals: int) -> dict[str, object]:
    """Work for so many minutes at half load, or until so many signals are sent."""
    planned = signals or int(minutes * 60 * MOST_PER_SECOND)
    async with town(folder / "home", planned) as here:
        for _ in range(WARM_ROUNDS):
            await here.round()
        done, begun = Soak(here), monotonic()
        while (here.sent < signals + WARM_ROUNDS * SIGNALS) if signals else (monotonic() - begun < minutes * 60):
            at = monotonic()
            await here.round()
            worked = monotonic() - at
            here.look()
            done.busy += worked
            done.seconds.append(monotonic() - begun)
            if not signals:
                await asyncio.sleep(worked)
        return done.figures()


def show(figures: dict[str, object]) -> None:
    """Print a table for people."""
    memory = figures.pop("memory")
    figures.pop("samples")
    assert isinstance(memory, dict)
    said = ", ".join(f"{name} {value}" for name, value in figures.items())
    shown = Table("role", *next(iter(memory.values())), title=f"memory of one's own (USS): {said}")
    for role, values in memory.items():
        shown.add_row(role, *(f"{value:,.2f}" for value in values.values()))
    Console().print(shown)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=60.0, help="how long, at half load")
    length.add_argument("--signals", type=int, default=0, help="how many, as fast as it goes")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="regie-soak-") as name:
        figures = run(soak(Path(name), options.minutes, options.signals))
    if options.json:
        print(json.dumps(figures))
    else:
        show(figures)
    return 0


if __name__ == "__main__":
    unbounded()
    sys.exit(main())
