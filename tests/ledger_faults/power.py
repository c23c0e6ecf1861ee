"""Power failures: a recorded run is broken off at any system call, with any part of what is in doubt lost (disk.py)."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.ledger_faults import tracer
from tests.ledger_faults.child import Child, Order, Told, told
from tests.ledger_faults.disk import Chooses, Disk, never, some
from tests.ledger_faults.outcome import GONE, Outcome, judge
from tests.ledger_faults.sweep import Sweep
from tests.ledger_faults.tracer import Fault, Made


@dataclass(frozen=True)
class Run:
    """What processes did to the files in ``start``, one after the other without a restart of the machine."""

    start: Path
    made: Sequence[Made]
    heard: Sequence[Told]

    def at(self, moment: int) -> Disk:
        """Return the disk and its cache after so many calls."""
        disk = Disk(self.start)
        for made in self.made[:moment]:
            disk.apply(made)
        return disk


@dataclass(frozen=True)
class Loss:
    """A power failure after so many calls; without a seed all that is in doubt is lost."""

    run: Run
    moment: int
    seed: int | None

    def __str__(self) -> str:
        return f"power lost after {self.moment} of {len(self.run.made)} calls, seed {self.seed}"

    def check(self, folder: Path) -> Outcome:
        """Start the machine again, and fail unless the ledger kept every promise."""
        disk = self.run.at(self.moment)
        reached: Chooses = never if self.seed is None else some(self.seed)
        disk.after_power_loss(folder, reached)
        try:
            return judge(folder / "ledger.db", kept(self.run.heard[: disk.told]))
        finally:
            shutil.rmtree(folder)


def kept(heard: Sequence[Told]) -> list[Told]:
    """Return the promises, each once: what was asked again after a failure was answered again."""
    return [Told(name, answer) for name, answer in {name: answer for name, answer in heard if answer != GONE}.items()]


def record_run(sweep: Sweep, *faults: Fault | None) -> Run:
    """Go through the plan from before the ledger is opened, once for each fault (None: nothing fails) in turn."""
    # A reader is connected, as in production: then the -wal file stays when the writer ends.
    order = Order(sweep.folder / "recorded", "opening", reads=True)
    start = sweep.folder / "before-writing" / "ledger"
    shutil.copytree(start, order.ledger.parent)
    made: list[Made] = []
    try:
        for fault in faults or (None,):
            code, calls = tracer.record(Child(order).start(), fault)
            assert code == 0, order.said.read_text()
            made += calls
        return Run(start, made, told(order))
    finally:
        shutil.rmtree(order.folder)


def chosen(run: Run, count: int, seed: int) -> list[Loss]:
    """Return so many moments, chosen by the seed, each once with all in doubt lost and once with a part; 0 is all."""
    moments = range(len(run.made) + 1)
    some_of_them = sorted(random.Random(seed).sample(moments, count)) if count else moments
    return [Loss(run, moment, part) for moment in some_of_them for part in (None, seed + moment)]
