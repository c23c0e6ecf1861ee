"""Durations as p50, p95 and p99 (A10): by nearest rank, so that each is a duration that really was."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

POINTS = (50, 95, 99)
Row = TypeVar("Row")
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Latency:
    """How long something took, in milliseconds; ``slowest`` is the trace of the longest one (empty: none known)."""

    count: int
    p50: float
    p95: float
    p99: float
    most: float
    slowest: bytes


def percentile(ordered: Sequence[float], point: int) -> float:
    """Return the smallest value that at least ``point`` percent of the values do not exceed; they are in order."""
    if not ordered:
        raise ValueError("no values have no percentile")
    return ordered[max(0, -(-point * len(ordered) // 100) - 1)]


def latency_of(durations: Iterable[tuple[float, bytes]]) -> Latency:
    """Return the percentiles of (milliseconds, trace id); raises ValueError when there are none."""
    rows = sorted(durations)
    ordered = [took for took, _ in rows]
    p50, p95, p99 = (percentile(ordered, point) for point in POINTS)
    most, slowest = rows[-1]
    return Latency(len(rows), p50, p95, p99, most, slowest)


def latencies(
    rows: Iterable[Row], key: Callable[[Row], Key | None], took: Callable[[Row], tuple[float, bytes]]
) -> dict[Key, Latency]:
    """Group rows by a key (None: left out) and return the percentiles of each group."""
    groups: dict[Key, list[tuple[float, bytes]]] = {}
    for row in rows:
        if (group := key(row)) is not None:
            groups.setdefault(group, []).append(took(row))
    return {group: latency_of(found) for group, found in groups.items()}
