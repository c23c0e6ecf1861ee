"""What stands out in a choice of exchanges: attributes whose share differs from all others, with both numbers."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Any, NamedTuple

from sqlalchemy import Connection

from gateway.auditor.filters import Filter
from gateway.auditor.index import queries

LEAST = 20
"""Exchanges in the choice below which shares say nothing."""
POINTS = 10.0
"""Percentage points by which a share must differ."""
DEVIATIONS = 3.0
"""Standard deviations by which it must differ as well."""
_DIMENSIONS = ("van", "aan", "doel", "reden", "stand")


class Standout(NamedTuple):
    """An attribute: its share among the chosen and among all others, in percent, with the counts behind them."""

    dimension: str
    value: Any
    here: int
    of_here: int
    elsewhere: int
    of_elsewhere: int

    @property
    def share(self) -> float:
        """Percent of the chosen."""
        return 100 * self.here / self.of_here

    @property
    def usual(self) -> float:
        """Percent of all others."""
        return 100 * self.elsewhere / self.of_elsewhere

    @property
    def clear(self) -> bool:
        """Tell whether it differs by more than chance and by enough to matter."""
        pooled = (self.here + self.elsewhere) / (self.of_here + self.of_elsewhere)
        spread = 100 * sqrt(pooled * (1 - pooled) * (1 / self.of_here + 1 / self.of_elsewhere))
        difference = abs(self.share - self.usual)
        return difference >= POINTS and difference >= DEVIATIONS * spread


def standouts(connection: Connection, chosen: Filter, most: int = 6) -> list[Standout]:
    """Return what stands out, most first; nothing when nothing is chosen, or too few."""
    here, everywhere = queries.total(connection, chosen), queries.total(connection, Filter())
    if here < LEAST or everywhere - here < LEAST:
        return []
    # A reason says what became of a signal and the other way round: that one follows from the other stands not out.
    fixed = {*chosen.query, *(("stand", "reden") if chosen.reden is not None or chosen.stand else ())}
    found = (
        one
        for dimension in _DIMENSIONS
        if dimension not in fixed
        for one in _of(connection, chosen, dimension, here, everywhere)
    )
    clear = sorted((one for one in found if one.clear), key=lambda one: -abs(one.share - one.usual))
    return clear[:most]


def _of(connection: Connection, chosen: Filter, dimension: str, here: int, everywhere: int) -> Iterable[Standout]:
    inside = {count.value: count.number for count in queries.facet(connection, chosen, dimension)}
    for value, number in queries.facet(connection, Filter(), dimension):
        own = inside.get(value, 0)
        yield Standout(dimension, value, own, here, number - own, everywhere - here)
