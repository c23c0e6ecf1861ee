"""Kill and fail a ledger at every system call it makes on its files (ledger.md, "How it is tested", 5).

    python -m tests.ledger_faults.sweep [--phase P] [--sample N] [--seed S] [--write]

Without a sample it is every call, and what was found is compared with docs/crash-matrix.md; ``--write`` writes it there.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from consent_ledger.sequencer import create_ledger, open_ledger
from tests.ledger_faults import tracer
from tests.ledger_faults.child import PHASES, Child, Order, told
from tests.ledger_faults.erasing import judge_erasure, prepare_erasure, salts
from tests.ledger_faults.outcome import GONE, judge
from tests.ledger_faults.plan import prepare, steps
from tests.ledger_faults.recheck import recheck
from tests.ledger_faults.tracer import Call, Fault
from tests.support.ledger import SIGNER, Time, first_events


class Case(NamedTuple):
    """A fault in one part of a ledger's life."""

    phase: str
    fault: Fault

    def __str__(self) -> str:
        return f"{self.phase}: {self.fault}"


class Found(NamedTuple):
    """What a case came to: the moment it hit, and what was there afterwards. Every promise was kept."""

    case: Case
    moment: str
    what: str


@dataclass(frozen=True)
class Sweep:
    """Ledgers to start from, and the calls that are made when nothing fails."""

    folder: Path
    calls: dict[str, list[Call]]

    def cases(self) -> Iterator[Case]:
        """Yield every call, with every fault that it can have."""
        for phase, made in self.calls.items():
            for call in made:
                for kind in tracer.FAULTS:
                    if kind != "ENOSPC" or call.name not in ("fsync", "fdatasync", "unlink"):
                        yield Case(phase, Fault(call, kind))

    def moment(self, case: Case) -> str:
        """Say when it is: after the last group's fsync, the writer closes the file."""
        if case.phase != "writing":
            return case.phase
        made = self.calls["writing"]
        written = max(number for number, call in enumerate(made) if call[::2] == ("pwrite64", "ledger.db-wal"))
        durable = next(n for n, call in enumerate(made) if n > written and call[::2] == ("fsync", "ledger.db-wal"))
        return "closing" if made.index(case.fault.call) > durable else "committing a group"

    def order(self, name: str, phase: str) -> Order:
        """Lay out the files that a child of this phase begins with."""
        order = Order(self.folder / name, phase)
        start = self.folder / f"before-{phase}"
        if start.exists():
            shutil.copytree(start, order.folder)
        else:
            order.ledger.parent.mkdir(parents=True)
        return order

    def run(self, case: Case) -> Found:
        """Run one case; fail if the ledger broke a promise."""
        order = self.order("case", case.phase)
        try:
            code, made = tracer.run(Child(order).start(), case.fault)
            _check_end(order, case, code, made)
            return Found(case, self.moment(case), COMPARE[case.phase](order))
        finally:
            shutil.rmtree(order.folder)


def _check_end(order: Order, case: Case, code: int, made: Sequence[Call]) -> None:
    """Fail unless the fault hit the call that it was meant for, and the process ended as it should."""
    said = order.said.read_text()
    assert case.fault.call in made, f"the run went another way; it made {made[-3:]}"
    assert code == (-9 if case.fault.kind == "kill" else 0), f"{code}: {said}"
    assert "Traceback" not in said, said


def begin(folder: Path) -> Sweep:
    """Prepare ledgers, and run each phase once without a fault to see its calls."""
    ledger = folder / "before-writing" / "ledger" / "ledger.db"
    ledger.parent.mkdir(parents=True)
    prepare(ledger)
    whole = folder / "before-erasing" / "ledger" / "ledger.db"
    whole.parent.mkdir(parents=True)
    prepare_erasure(whole)
    sweep = Sweep(folder, {})
    _break_off(sweep)
    for phase in PHASES:
        order = sweep.order("whole", phase)
        code, made = tracer.run(Child(order).start())
        assert code == 0, order.said.read_text()
        COMPARE[phase](order)
        sweep.calls[phase] = made
        shutil.rmtree(order.folder)
    return sweep


def _break_off(sweep: Sweep) -> None:
    """Leave a ledger as a kill leaves it: with a -wal file to recover, in the middle of the plan."""
    order = sweep.order("before-opening", "writing")
    _, made = tracer.run(Child(order).start())
    # The last write to the -wal file belongs to the last group: all groups before it are durable, and only there.
    *_, last = (call for call in made if call.name == "pwrite64" and call.file.endswith("-wal"))
    shutil.rmtree(order.folder)
    order = sweep.order("before-opening", "writing")
    code, _ = tracer.run(Child(order).start(), Fault(last, "kill"))
    assert code == -9
    assert _steps_told(order) == len(steps()) - 1


def _steps_told(order: Order) -> int:
    return len({each.name.split("/")[0] for each in told(order)})


def _erased(order: Order) -> str:
    heard = [each.answer for each in told(order) if each.answer != GONE]
    before = salts(order.folder.with_name("before-erasing") / "ledger" / "ledger.db")
    return judge_erasure(order.ledger, before, heard[0] if heard else None)


def _created(order: Order) -> str:
    there = order.ledger.exists()
    if not there:
        create_ledger(order.ledger, SIGNER, first_events(), Time())
    assert recheck(order.ledger).head.size == len(first_events())
    open_ledger(order.ledger, SIGNER, Time()).close()
    assert not order.ledger.with_name("ledger.db.new").exists()
    return "a whole ledger" if there else "no ledger"


def _written(order: Order) -> str:
    outcome = judge(order.ledger, told(order))
    if outcome.told == len(steps()):
        return "all answered"
    return "the group" if outcome.found > outcome.told else "not the group"


def _opened(order: Order) -> str:
    outcome = judge(order.ledger, told(order))
    assert outcome.told >= len(steps()) - 1
    return "all answered"


COMPARE = {"creating": _created, "opening": _opened, "writing": _written, "erasing": _erased}
"""Compares with what callers were told, and returns what was found."""


def sample(cases: Sequence[Case], count: int, seed: int) -> list[Case]:
    """Choose cases: half of them of different kinds, the others any."""
    mixed = random.Random(seed).sample(cases, len(cases))
    kinds = {(case.phase, case.fault.call.name, case.fault.call.file, case.fault.kind): case for case in mixed}
    first = list(kinds.values())[: count // 2]
    chosen = set(first)
    return first + [case for case in mixed if case not in chosen][: count - len(first)]


if __name__ == "__main__":
    from tests.ledger_faults.command import main

    main()
