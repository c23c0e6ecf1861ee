"""Pictures of numbers for the console's pages, as figures for templates to draw: bars over time, and a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 720.0, 150.0
_GAP = 0.25
_MOST_LABELS = 8


class Column(NamedTuple):
    """One bar: what it stands for, its number, where it stands, and whether there is room for its label."""

    label: str
    value: float
    x: float
    y: float
    width: float
    height: float
    labelled: bool
    over: bool


class Columns(NamedTuple):
    """Bars, and the height of a threshold (None: there is none, or it is above the picture)."""

    bars: tuple[Column, ...]
    line: float | None


def columns(rows: Sequence[tuple[str, float]], threshold: float | None = None) -> Columns:
    """Return the bars of (label, number); a bar that reaches the threshold is marked."""
    if not rows:
        return Columns((), None)
    most = max(1.0, *(value for _, value in rows), threshold or 0.0)
    step = WIDTH / max(len(rows), 6)
    every = -(-len(rows) // _MOST_LABELS)
    bars = []
    for place, (label, value) in enumerate(rows):
        height = round(value * HEIGHT / most, 1)
        over = threshold is not None and value >= threshold
        left = round(place * step + step * _GAP / 2, 1)
        bars.append(
            Column(
                label,
                value,
                left,
                round(HEIGHT - height, 1),
                round(step * (1 - _GAP), 1),
                height,
                (len(rows) - 1 - place) % every == 0,
                over,
            )
        )
    return Columns(tuple(bars), None if threshold is None else round(HEIGHT - threshold * HEIGHT / most, 1))
