"""``make sweep``: every case, with progress, and the document that says what was found."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from tests.ledger_faults import matrix, power
from tests.ledger_faults.child import PHASES
from tests.ledger_faults.sweep import Case, Found, Sweep, begin, sample


def main() -> None:
    """Run it; exits with 1 when a promise was broken, or the document says something else."""
    asked = _arguments()
    with tempfile.TemporaryDirectory(prefix="regie-sweep-") as folder:
        sweep = begin(Path(folder))
        cases = [case for case in sweep.cases() if asked.phase in ("", case.phase)]
        if asked.sample:
            cases = sample(cases, asked.sample, asked.seed)
        print(f"{len(cases)} cases, seed {asked.seed}", file=sys.stderr)
        broken: list[str] = []
        found = list(_found(sweep, cases, broken))
        if not asked.phase:
            broken += _power(sweep, asked.sample, asked.seed)
    document = matrix.table(found)
    if asked.write and not asked.sample:
        others = _documented(asked.phase) if asked.phase else {}
        matrix.DOCUMENT.write_text(matrix.write(others | document))
    broken += [
        f"not in {matrix.DOCUMENT.name}: {line}"
        for line in matrix.missing(document, matrix.read(matrix.DOCUMENT.read_text()))
    ]
    for line in broken:
        print(line)
    print(f"{len(found)} of {len(cases)} cases kept every promise", file=sys.stderr)
    sys.exit(bool(broken))


def _documented(but: str) -> matrix.Table:
    """Return the rows of the document that are of other phases."""
    rows = matrix.read(matrix.DOCUMENT.read_text())
    moments = ("committing a group", "closing") if but == "writing" else (but,)
    return {row: cells for row, cells in rows.items() if row.moment not in moments}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make sweep ARGS=...", description=__doc__)
    parser.add_argument("--sample", type=int, default=0, help="so many cases instead of all")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000), help="which ones")
    parser.add_argument("--phase", default="", choices=PHASES, help="only this part of a ledger's life")
    parser.add_argument("--write", action="store_true", help="write docs/crash-matrix.md")
    return parser.parse_args()


def _found(sweep: Sweep, cases: Sequence[Case], broken: list[str]) -> Iterator[Found]:
    for case in _shown(cases, "system calls"):
        try:
            yield sweep.run(case)
        except Exception as error:  # noqa: BLE001  (each is reported, and the others still run)
            broken.append(f"{case}: {type(error).__name__}: {str(error)[-500:]}")


def _power(sweep: Sweep, count: int, seed: int) -> Iterator[str]:
    run = power.record_run(sweep)
    chosen = power.chosen(run, count, seed)
    for number, loss in enumerate(_shown(chosen, "power losses")):
        try:
            loss.check(sweep.folder / f"loss-{number}")
        except Exception as error:  # noqa: BLE001  (each is reported, and the others still run)
            yield f"{loss}: {type(error).__name__}: {str(error)[-500:]}"


def _shown(items: Sequence[object], what: str) -> Iterator[object]:
    return track(items, what, console=Console(stderr=True), disable=not sys.stderr.isatty())
