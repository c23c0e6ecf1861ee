"""`make bench`: speed as ratios against what this machine can do, measured in the same run."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path

import structlog
from rich.console import Console
from rich.table import Table

from gateway.cli.common import run as run_loop
from tests.bench import audit, console, exchange, ledger, limits, tracing, viewer
from tests.support.ledger import SIGNER


def run() -> dict[str, object]:
    """Return all figures. Everything the ledger answers is durable: SQLite with synchronous=FULL, PostgreSQL with fsync."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="regie-bench-") as name:
        folder = Path(name)
        figures: dict[str, object] = {"fsync_us": round(limits.fsync_seconds(folder) * 1e6, 1)}
        figures.update(run_loop(exchange.measure(folder)))
        figures.update(run_loop(tracing.measure(folder)))
        figures["ledger"] = ledger.engines(folder)
        figures |= ledger.proofs_and_verification()
        figures["viewer"] = {"page_10000_entries": viewer.page_10000_entries(folder)}
        figures["console"] = run_loop(console.measure(folder))
        figures["audit"] = audit.audited_per_second(folder / ledger.FILE, SIGNER.verifier.format())
    return figures


def rows(figures: object, name: str = "") -> list[tuple[str, str]]:
    """Flatten figures to (name, value)."""
    if isinstance(figures, dict):
        return [found for key, value in figures.items() for found in rows(value, f"{name}.{key}" if name else key)]
    return [(name, f"{figures:,}")]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    options = parser.parse_args()
    figures = run()
    if options.json:
        print(json.dumps(figures))
        return 0
    table = Table(title="Regie, durable (synchronous=FULL), all roles in one process; ratio 1 is the bare limit")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in rows(figures):
        table.add_row(name, value)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
