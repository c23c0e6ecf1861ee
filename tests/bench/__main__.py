"""`make bench`: speed as ratios against what this machine can do, measured in the same run."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from functools import partial
from pathlib import Path

import structlog
from rich.console import Console

from tests.bench import console, delivery, enrolment, entries, groups, ledger, senders, submission, tracing, viewer
from tests.bench.report import as_json, print_table
from tests.bench.section import Section, perform
from tests.bench.town import unbounded

SECTIONS = (
    Section("groups", "group operations bare", groups.measure),
    Section("submission", "batches of 1 to 1000, and the latency of single signals", submission.measure),
    Section("senders", "1, 8 and 64 senders at once", senders.measure),
    Section("delivery", "from the inbox to the caller", delivery.measure),
    Section("enrolment", "residents in two schemes", enrolment.measure),
    Section("tracing", "the same sends with tracing and without it", tracing.measure),
    Section("ledger", "durable decisions by callers, on SQLite and PostgreSQL; what an audit costs", ledger.measure),
    Section("log", "proofs and verification in a log of a million leaves", ledger.proofs_and_verification),
    Section("entries", "the same batches on logs of 10^4 to 10^6 entries; memory of the roles", entries.measure),
    Section("viewer", "a resident's pages over 10,000 entries", viewer.measure),
    Section("console", "the auditors' pages over a million exchanges", console.measure),
)
WIDTH = 120
NAMES = [section.name for section in SECTIONS]


def chosen(only: str) -> list[Section]:
    """Return the sections of a list of names, in the order in which they run; all for an empty one."""
    wanted = [name for name in only.split(",") if name]
    unknown = sorted(set(wanted) - set(NAMES))
    if unknown:
        raise argparse.ArgumentTypeError(f"no section {', '.join(unknown)}: there are {', '.join(NAMES)}")
    return [section for section in SECTIONS if section.name in wanted or not wanted]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument(
        "--quick", action="store_true", help="little of everything: does it work? Its figures mean little"
    )
    parser.add_argument(
        "--only", type=chosen, default=list(SECTIONS), metavar="NAME[,NAME]", help=f"of {', '.join(NAMES)}"
    )
    return parser.parse_args()


def main() -> int:
    """Return 1 when a section failed; what the others measured is printed all the same."""
    options = arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    progress = Console(stderr=True, highlight=False, markup=False)
    with tempfile.TemporaryDirectory(prefix="regie-bench-") as name:
        results = perform(options.only, Path(name), quick=options.quick, say=partial(progress.print, soft_wrap=True))
    if options.json:
        print(json.dumps(as_json(results)))
    else:
        print_table(results, Console(width=None if sys.stdout.isatty() else WIDTH))
    return 1 if results.errors else 0


if __name__ == "__main__":
    unbounded()
    sys.exit(main())
