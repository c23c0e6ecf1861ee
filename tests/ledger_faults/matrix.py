"""docs/crash-matrix.md: what is found after a crash, by the moment and the system call it hit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.ledger_faults.sweep import Found
from tests.ledger_faults.tracer import FAULTS

DOCUMENT = Path(__file__).parents[2] / "docs" / "crash-matrix.md"

HEAD = """\
# What a crash leaves

Written by `make sweep ARGS=--write`: a small ledger (15 leaves in 8 group commits, across the end of a full tile) is run
under `strace`, and at each of its system calls on its files the process is killed, or the call fails once (EIO), or the
disk is full from then on (ENOSPC). `make sweep` does it again and compares; every test run takes a sample.

After each of these the ledger is opened again. The whole log is verified, every decision judged again and every
projection compared with the log. What callers were told before the end is compared with what is there, and everything is
asked again, byte for byte. It never happened, in any row, that something answered was missing, that half a group was
there, that a request was decided twice or answered differently, or that the log held another root than one that was
signed and shown.

What is told: until its group is durable a caller is told nothing (killed) or `LEDGER_UNAVAILABLE` (failed), also where
the table says that the group is there. Asking the same bytes again is always right, and gives the one answer.

What is found:
- *no ledger*: a creation that ended early counts for nothing and is begun again; *a whole ledger*: it was complete.
- *not the group*: the log is as before the group; *the group*: it is durable though nobody was told.
- *nothing erased*: all of the resident's entries are there; *erased*: none is. Once answered, no file holds them.
- *all answered*: whatever was answered, and in the rows of a commit the group too: the call was of no consequence.

`ledger.db.new` is the draft under which a ledger is created, `-wal` SQLite's log of committed pages, `-shm` its index,
which is not durable and need not be. A call that fails stops the ledger, unless it is of no consequence: the name of the
-wal file is durable since opening, and what cannot be moved out of the -wal file on closing is moved later.

The power fails too: a recorded run is broken off at each of its calls, and of all that no fsync made durable any part of
512 bytes is lost (`tests/ledger_faults/disk.py`). An fsync that failed is not believed when it succeeds later: at start
the -wal file is written over itself and synchronised, before anybody hears of what it holds.

| moment | system call | on | killed before it | EIO | ENOSPC |
|---|---|---|---|---|---|
"""


class Row(NamedTuple):
    """A kind of moment."""

    moment: str
    call: str
    file: str


Table = dict[Row, dict[str, frozenset[str]]]
"""What was found, by row and by kind of fault."""

_NONE = "-"


def table(found: Iterable[Found]) -> Table:
    """Sort what was found into rows."""
    rows: defaultdict[Row, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for case, moment, what in found:
        rows[Row(moment, case.fault.call.name, case.fault.call.file)][case.fault.kind].add(what)
    return {row: {kind: frozenset(what) for kind, what in cells.items()} for row, cells in rows.items()}


def write(rows: Table) -> str:
    """Return the document."""
    lines = []
    for row, cells in sorted(rows.items()):
        shown = [" or ".join(sorted(cells.get(kind, {_NONE}))) for kind in FAULTS]
        lines.append(f"| {row.moment} | `{row.call}` | {row.file} | {' | '.join(shown)} |\n")
    return HEAD + "".join(lines)


def read(document: str) -> Table:
    """Return the table of a document."""
    rows: Table = {}
    for line in document.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 3 + len(FAULTS) and cells[0] != "moment":
            found = {
                kind: frozenset(cell.split(" or "))
                for kind, cell in zip(FAULTS, cells[3:], strict=True)
                if cell != _NONE
            }
            rows[Row(cells[0], cells[1].strip("`"), cells[2])] = found
    return rows


def missing(new: Table, documented: Table) -> list[str]:
    """Name what was found and is not in the document."""
    return [
        f"{row.moment}, {row.call} on {row.file}, {kind}: {what}"
        for row, cells in new.items()
        for kind, found in cells.items()
        for what in found - documented.get(row, {}).get(kind, frozenset())
    ]
