"""Sections of the bench: each measures by itself, says how long it took, and fails alone."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from inspect import isawaitable
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from gateway.cli.common import run
from tests.bench.limits import fsync_seconds

T = TypeVar("T")
Figures = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """What a section works with: a folder of its own, how much to do, and where to say what it does."""

    folder: Path
    quick: bool = False
    say: Callable[[str], None] = lambda _: None

    def pick(self, full: T, quick: T) -> T:
        """How many of something: ``--quick`` is to see that it works, its figures mean little."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Section:
    name: str
    what: str
    measure: Callable[[Bench], Figures | Awaitable[Figures]]


@dataclass
class Results:
    """Figures of all sections in one tree, seconds by section, and why a section failed."""

    figures: Figures = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def perform(sections: Iterable[Section], folder: Path, *, quick: bool, say: Callable[[str], None]) -> Results:
    """Measure what a durable write takes, and then section by section; one that fails does not lose the others."""
    results = Results({"fsync_us": round(fsync_seconds(folder) * 1e6, 1)})
    for section in sections:
        say(f"{section.name}: {section.what} ...")
        own = folder / section.name
        own.mkdir()
        begun = perf_counter()
        try:
            merge(results.figures, _measured(section, Bench(own, quick, lambda text: say(f"    {text}"))))
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            results.errors[section.name] = f"{type(error).__name__}: {error}"
            say(traceback.format_exc())
        finally:
            shutil.rmtree(own, ignore_errors=True)
        results.seconds[section.name] = round(perf_counter() - begun, 1)
        say(
            f"{section.name}: {'FAILED' if section.name in results.errors else 'done'} in {results.seconds[section.name]} s"
        )
    return results


def _measured(section: Section, bench: Bench) -> Figures:
    found = section.measure(bench)
    if not isawaitable(found):
        return found

    async def awaited() -> Figures:
        return await found

    return run(awaited())


def merge(into: Figures, more: Figures) -> None:
    """Add figures to a tree, in place; raises ValueError when one is there already."""
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.setdefault(key, {}), dict):
            merge(into[key], value)
        elif key in into:
            raise ValueError(f"two sections give the figure {key}")
        else:
            into[key] = value
