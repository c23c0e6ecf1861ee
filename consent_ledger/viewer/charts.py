"""Pictures of numbers, as figures for templates/charts.html to draw: inline SVG, with the same numbers in a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from consent_ledger.dates import local_time
from consent_ledger.v1 import consents_pb2

MONTHS = 6
"""So many fit on a telephone with letters that can be read."""
WIDTH, HEIGHT = 360, 150
"""Of the plot, in units of the picture."""
_GAP = 0.34


class Bar(NamedTuple):
    """One month: its number ("2026-03"), what happened, and where the bar stands; blocked is drawn on top of shared."""

    month: str
    shared: int
    blocked: int
    waiting: int
    x: float
    width: float
    parts: tuple[tuple[str, float, float], ...]  # kind, y, height

    @property
    def total(self) -> int:
        """Everything of this month."""
        return self.shared + self.blocked + self.waiting

    @property
    def top(self) -> float:
        """Where the bar ends."""
        return min((y for _, y, _ in self.parts), default=float(HEIGHT))


def months_chart(counts: Iterable[consents_pb2.MonthCount], now_ms: int) -> tuple[Bar, ...]:
    """Return the bars of the last months, oldest first, months without anything too; () when all are empty."""
    found = {count.month: count.count for count in counts}
    months = last_months(now_ms, MONTHS)
    values = [found.get(month, consents_pb2.Count()) for month in months]
    most = max(value.shared + value.blocked + value.waiting for value in values)
    if not most:
        return ()
    step = WIDTH / MONTHS
    return tuple(
        Bar(
            month=month,
            shared=value.shared,
            blocked=value.blocked,
            waiting=value.waiting,
            x=round(number * step + step * _GAP / 2, 1),
            width=round(step * (1 - _GAP), 1),
            parts=tuple(_parts(value, most)),
        )
        for number, (month, value) in enumerate(zip(months, values, strict=True))
    )


def _parts(count: consents_pb2.Count, most: int) -> Iterable[tuple[str, float, float]]:
    top = float(HEIGHT)
    for kind, number in (("shared", count.shared), ("waiting", count.waiting), ("blocked", count.blocked)):
        if number:
            height = number * HEIGHT / most
            top -= height
            yield kind, round(top, 1), round(height, 1)


def last_months(now_ms: int, number: int) -> list[str]:
    """Return the last months as "2026-03", oldest first, this one included."""
    at = local_time(now_ms)
    months = range(at.year * 12 + at.month - number, at.year * 12 + at.month)
    return [f"{month // 12}-{month % 12 + 1:02d}" for month in months]
