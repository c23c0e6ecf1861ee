"""Pictures of numbers for templates/audit_macros.html, in units of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.auditor.index import states
from gateway.auditor.index.queries import Day

WIDTH, HEIGHT = 720, 150
_WIDEST = 72.0
_GAP = 0.25
_MOST_LABELS = 11


class DayBar(NamedTuple):
    """One day's bar; ``parts``: kind, y, height, from below."""

    day: str
    label: str
    labelled: bool
    shared: int
    waiting: int
    blocked: int
    x: float
    width: float
    parts: tuple[tuple[str, float, float], ...]

    @property
    def total(self) -> int:
        """Everything of the day."""
        return self.shared + self.waiting + self.blocked

    @property
    def top(self) -> float:
        """Where the bar ends."""
        return min((y for _, y, _ in self.parts), default=float(HEIGHT))


def days_chart(days: Sequence[Day]) -> list[DayBar]:
    """Return a bar for each day, () when there is none; every so many have their number written at them."""
    most = max((day.total for day in days), default=0)
    if not most:
        return []
    step = min(_WIDEST, WIDTH / len(days))
    each = -(-len(days) // _MOST_LABELS)
    return [
        DayBar(
            day=states.date_of(day.day).isoformat(),
            label=states.date_of(day.day).strftime("%d-%m"),
            labelled=(len(days) - 1 - number) % each == 0,
            shared=day.shared,
            waiting=day.waiting,
            blocked=day.blocked,
            x=round(number * step + step * _GAP / 2, 1),
            width=round(step * (1 - _GAP), 1),
            parts=tuple(_parts(day, most)),
        )
        for number, day in enumerate(days)
    ]


def _parts(day: Day, most: int) -> Sequence[tuple[str, float, float]]:
    top, parts = float(HEIGHT), []
    for kind, number in (("shared", day.shared), ("waiting", day.waiting), ("blocked", day.blocked)):
        if number:
            height = number * HEIGHT / most
            top -= height
            parts.append((kind, round(top, 1), round(height, 1)))
    return parts
