"""Figures for people: a table by section, with what they are meant to be beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.section import Results
from tests.bench.targets import judged

TITLE = "Regie, durable (synchronous=FULL), all roles in one process; ratio 1 is the bare limit of the same run"


def flatten(figures: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of every figure in a tree."""
    if not isinstance(figures, Mapping):
        yield name, figures
        return
    for key, value in figures.items():
        yield from flatten(value, f"{name}.{key}" if name else str(key))


def as_json(results: Results) -> dict[str, Any]:
    """Return all figures as nested objects, with ``machine``, ``targets``, ``seconds`` by section and ``errors``."""
    machine = {"date": datetime.now(UTC).date().isoformat(), "cores": os.cpu_count()}
    targets = {name: {"bound": one.bound, "met": one.met} for name, one in judged(results.figures).items()}
    return {
        "machine": machine,
        **results.figures,
        "targets": targets,
        "seconds": results.seconds,
        "errors": results.errors,
    }


def print_table(results: Results, console: Console) -> None:
    """Print the figures in groups by the first part of their names; errors come last."""
    verdicts = judged(results.figures)
    table = Table(title=TITLE)
    table.add_column("figure", overflow="fold")
    table.add_column("value", justify="right")
    table.add_column("target")
    table.add_column("met")
    for group, figures in results.figures.items():
        for name, value in flatten(figures, group):
            verdict = verdicts.get(name)
            table.add_row(
                name,
                f"{value:,}" if isinstance(value, int | float) else str(value),
                verdict.bound if verdict else "",
                ("yes" if verdict.met else "[bold red]no[/]") if verdict else "",
            )
        table.add_section()
    console.print(table)
    console.print("seconds: " + ", ".join(f"{name} {seconds:g}" for name, seconds in results.seconds.items()))
    for name, why in results.errors.items():
        console.print(f"[bold red]{name} failed:[/] {why}", highlight=False)
