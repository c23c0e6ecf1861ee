"""What commands print: tables for people, JSON on standard output for programs, and one line for what went wrong."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from consent_ledger.errors import RegieError

OK, FAILED, USAGE, UNAVAILABLE, STOPPED = 0, 1, 2, 3, 130

_USAGE_REASONS = frozenset(
    {"FIELD_INVALID", "PURPOSE_UNKNOWN", "PURPOSE_PROHIBITED", "PARTY_UNKNOWN", "BEYOND_PURPOSE"}
)


class _Said:
    """Whether this process has printed an error as JSON already."""

    error = False


class Step(Protocol):
    """Moves a progress bar."""

    def __call__(self, done: int, total: int, /) -> None:
        """Say how far it is."""


@dataclass(frozen=True, slots=True)
class Output:
    """Prints for people, or for programs when ``as_json``."""

    as_json: bool

    def result(self, values: dict[str, Any], lines: Sequence[str]) -> None:
        """Print the one result of a command: values as JSON, or lines."""
        if self.as_json:
            print(json.dumps(values, ensure_ascii=False))
        else:
            for line in lines:
                print(line)
        sys.stdout.flush()

    def line(self, values: dict[str, Any]) -> None:
        """Print one JSON line of several, so that it has left this process when this returns."""
        print(json.dumps(values, ensure_ascii=False), flush=True)

    def keep(self) -> None:
        """Put what was printed on the disk when standard output is a file; raises OSError when that fails."""
        sys.stdout.flush()
        try:
            handle = sys.stdout.fileno()
        except (OSError, ValueError):
            return  # nothing below it, as in a test
        if stat.S_ISREG(os.fstat(handle).st_mode):
            os.fsync(handle)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table for people; nothing when the output is JSON."""
        if self.as_json:
            return
        from rich.console import Console
        from rich.table import Table

        table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
        for number, column in enumerate(columns):
            table.add_column(column, overflow="fold", no_wrap=number == 0)
        for row in rows:
            table.add_row(*(str(cell) for cell in row))
        Console(soft_wrap=False).print(table)

    def note(self, text: str) -> None:
        """Tell a person something beside the result."""
        print(text, file=sys.stderr, flush=True)

    def error(self, reason: str, message: str, field: str = "", row: int | None = None) -> None:
        """Say in one line what is wrong, on standard error and, for programs, as JSON."""
        where = "".join((f"row {row}: " if row is not None else "", f"{field}: " if field else ""))
        self.note(f"regie: {where}{message}")
        if self.as_json:
            _Said.error = True
            body = {"reason": reason, "message": message, "field": field or None, "row": row}
            self.line({"error": body})

    def refusal(self, error: RegieError) -> int:
        """Report an error of the vocabulary; returns the exit code."""
        self.error(error.reason, error.message, error.field, error.row)
        return exit_code(error)

    @contextmanager
    def progress(self, what: str) -> Iterator[Step]:
        """Show how far it is, how fast, and how long it takes yet, on a terminal: standard error, for clean results."""
        if not sys.stderr.isatty():
            yield lambda _done, _total: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
        from rich.text import Text

        class Speed(TextColumn):
            def render(self, task: Task) -> Text:
                return Text(f"{task.speed:,.0f}/s" if task.speed else "")

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            Speed(""),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)


def exit_code(error: RegieError) -> int:
    """Return 3 when trying again later may help, 2 when the call or file is wrong, else 1."""
    if error.status == "UNAVAILABLE":
        return UNAVAILABLE
    return USAGE if error.reason in _USAGE_REASONS else FAILED


def report_usage(arguments: Sequence[str]) -> None:
    """Give programs a JSON error for a wrong call; people have read about it already."""
    if "--json" in arguments and not _Said.error:
        message = "the command was called wrongly: standard error says how"
        print(json.dumps({"error": {"reason": "USAGE", "message": message, "field": None, "row": None}}))


def report_crash(error: Exception, arguments: Sequence[str]) -> int:
    """Say in one line that this is our fault; REGIE_DEBUG=1 shows where. Strange exceptions' texts are not repeated."""
    if os.environ.get("REGIE_DEBUG"):
        import traceback

        traceback.print_exception(error)
    text = f"this is a mistake in regie ({type(error).__name__}): set REGIE_DEBUG=1 to see where"
    Output(as_json="--json" in arguments).error("INTERNAL", text)
    return FAILED
