"""What a process holds, and how fast that grows."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pysqlite3.dbapi2 as sqlite3

PER = 10_000
"""Growth is told per so many signals."""

MB = 1_000_000


def held_bytes(pid: int | str) -> int:
    """Return the memory that is this process's alone (USS): shared libraries count for nobody."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    fields = dict(line.split(":", 1) for line in text.splitlines()[1:])
    return sum(int(fields[name].split()[0]) for name in ("Private_Clean", "Private_Dirty")) * 1024


def stored_bytes(folder: Path) -> int:
    """Return the size of the databases in a folder, with what only their write-ahead logs hold so far."""
    return sum(_pages(path) for path in folder.glob("*.db"))


def _pages(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        ((count,),), ((size,),) = database.execute("PRAGMA page_count"), database.execute("PRAGMA page_size")
    return int(count) * int(size)


@dataclass
class Memory:
    """Samples of one process: after how many signals, the bytes it held, and those of its databases."""

    signals: list[int] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)

    def add(self, signals: int, held: int, stored: int) -> None:
        self.signals.append(signals)
        self.held.append(held)
        self.stored.append(stored)

    @property
    def growth(self) -> float:
        """Bytes per 10,000 signals. It includes caches of database pages until they are full: the ledger's is 64 MiB."""
        return self._growth(self.held)

    @property
    def growth_beyond_pages(self) -> float:
        """The same without what the databases grew by, which is as much as their caches can: for short samples."""
        return self._growth([held - stored for held, stored in zip(self.held, self.stored, strict=True)])

    def _growth(self, values: Sequence[int]) -> float:
        """From the median of the second third to that of the last: what is loaded once is loaded in the first.

        A leak grows from third to third; one large answer, or what the allocator gives back, moves no median.
        """
        third = len(values) // 3
        middle, last = slice(third, 2 * third), slice(2 * third, None)
        grown = statistics.median(values[last]) - statistics.median(values[middle])
        return PER * grown / (statistics.median(self.signals[last]) - statistics.median(self.signals[middle]))


def table(memory: dict[str, Memory]) -> dict[str, dict[str, float]]:
    """Figures by role, in MB."""
    return {
        role: {
            "first_mb": _mb(one.held[0]),
            "median_mb": _mb(statistics.median(one.held)),
            "last_mb": _mb(one.held[-1]),
            "most_mb": _mb(max(one.held)),
            "growth_mb_per_10000": _mb(one.growth),
            "beyond_pages_mb_per_10000": _mb(one.growth_beyond_pages),
        }
        for role, one in memory.items()
    }


def hourly(one: Memory, seconds: Sequence[float]) -> float:
    """Return the growth in MB an hour at the speed that was measured."""
    return _mb(one.growth * (one.signals[-1] - one.signals[0]) / PER / (seconds[-1] - seconds[0]) * 3600)


def thinned(one: Memory, seconds: Sequence[float], most: int = 120) -> list[tuple[float, int, float]]:
    """Return some samples, evenly spaced: seconds, signals, MB."""
    step = -(-len(seconds) // most)
    found = zip(seconds[::step], one.signals[::step], one.held[::step], strict=True)
    return [(round(at), signals, _mb(held)) for at, signals, held in found]


def _mb(held: float) -> float:
    return round(held / MB, 2)
