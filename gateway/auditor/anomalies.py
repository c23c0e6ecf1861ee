"""What stands out (A9): each rule compares a number with its threshold and says both.

A rule never judges a person or an organisation: it says where to look, and by how much the number is out of the usual.
Pure functions over counts; residents are counted and never named here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import NamedTuple, TypeVar

from consent_ledger.clock import DAY_MS
from consent_ledger.dates import at_hour, local_time

HOUR_MS = 3_600_000
HISTORY_DAYS = 28
SETTLED = 5
"""So many earlier hours or days make something usual; with fewer, only the least of a rule counts."""


class Kind(StrEnum):
    """The rules; each is also the name of its texts."""

    RESIDENTS = "residents"
    REFUSALS = "refusals"
    OFF_HOURS = "off_hours"
    DESK = "desk"
    OUTCOMES = "outcomes"


class Rule(NamedTuple):
    """A threshold: ``least`` in any case, and ``factor`` times what is usual."""

    least: int
    factor: int

    def threshold(self, usual: float) -> float:
        """Return the number from which on the rule fires."""
        return max(float(self.least), self.factor * usual)


RESIDENTS = Rule(50, 5)
"""Different residents that one sender asks about within one hour, against the median of its own hours."""
OFF_HOURS = Rule(20, 5)
"""Decisions for one sender in one night or weekend day, against the median of its own days."""
DESK = Rule(20, 3)
"""Choices that one employee records on one day, against the median of all employees' days."""
REFUSAL_LEAST = 20
"""Decisions on the day, and in the days before, below which a share says nothing."""
REFUSAL_POINTS = 25
"""Percentage points above the share of the 28 days before."""
OUTCOME_DAYS = 14
"""After so many days a delivery has an outcome, or is missing one."""
OUTCOME_LEAST = 5
OUTCOME_PERCENT = 20
OPENS, CLOSES, SATURDAY = 7, 20, 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One number and its threshold; ``who`` is an organisation (OIN) or an employee's keyed number.

    ``value``, ``usual`` and ``threshold`` are in the rule's own unit: a count, or for refusals and outcomes a
    percentage. ``fires``: the number has reached the threshold.
    """

    kind: Kind
    who: str
    at_ms: int
    value: float
    usual: float
    threshold: float
    fires: bool
    count: int = 0  # what a percentage is of
    periods: int = 0  # how many hours or days ``usual`` rests on; below SETTLED there is nothing usual yet


@dataclass(frozen=True, slots=True)
class Counted:
    """How many of something there were for somebody in the hour or day that begins at ``at_ms``."""

    who: str
    at_ms: int
    count: int


@dataclass(frozen=True, slots=True)
class Decided:
    """How many decisions there were for a sender on a day, and how many of them were refusals."""

    who: str
    at_ms: int
    decided: int
    refused: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many of a recipient's deliveries are old enough to have an outcome, and how many have none."""

    who: str
    due: int
    missing: int


_Row = TypeVar("_Row", Counted, Decided)


def is_off_hours(time_ms: int) -> bool:
    """Tell whether a moment is in a weekend, or before seven or from eight in the evening, in Dutch time."""
    at = local_time(time_ms)
    return at.weekday() >= SATURDAY or not OPENS <= at.hour < CLOSES


def off_hours(hours: Iterable[Counted]) -> list[Counted]:
    """Return per one and Dutch day how much fell outside office hours; of a day without, nothing."""
    found: dict[tuple[str, int], int] = {}
    for row in hours:
        if is_off_hours(row.at_ms):
            key = (row.who, at_hour(local_time(row.at_ms).date(), 0))
            found[key] = found.get(key, 0) + row.count
    return [Counted(who, at_ms, count) for (who, at_ms), count in found.items()]


def against_itself(kind: Kind, rule: Rule, rows: Iterable[Counted], since_ms: int) -> list[Finding]:
    """Compare each count since a moment with the median of the same one's counts in the 28 days before it.

    From five hours or days on that is something usual; before, only the least of the rule counts.

    Hours and days without any are left out of the median: a sender that sends once a day is not held to nothing.
    """
    return [
        _finding(kind, rule, row, _before(history, row.at_ms))
        for history in _by_who(rows).values()
        for row in history
        if row.at_ms >= since_ms
    ]


def against_all(kind: Kind, rule: Rule, rows: Iterable[Counted], since_ms: int) -> list[Finding]:
    """Compare each count since a moment with the median of everybody's counts in the 28 days before it."""
    ordered = sorted(rows, key=lambda row: row.at_ms)
    return [_finding(kind, rule, row, _before(ordered, row.at_ms)) for row in ordered if row.at_ms >= since_ms]


def refusal_jumps(rows: Iterable[Decided], since_ms: int) -> list[Finding]:
    """Compare the share of refusals of each day since a moment with that of the 28 days before it.

    Fires at 25 percentage points more, from 20 decisions on the day and 20 before.
    """
    found = []
    for history in _by_who(rows).values():
        for row in history:
            if row.at_ms < since_ms or not row.decided:
                continue
            before = _before(history, row.at_ms)
            decided, refused = sum(one.decided for one in before), sum(one.refused for one in before)
            found.append(_jump(row, decided, refused, len(before)))
    return found


def missing_outcomes(rows: Iterable[Waiting], now_ms: int) -> list[Finding]:
    """Name each recipient's share of deliveries without an outcome; fires at 5 of them and a fifth of all."""
    return [
        Finding(
            Kind.OUTCOMES,
            row.who,
            now_ms,
            value=100 * row.missing / row.due,
            usual=0,
            threshold=OUTCOME_PERCENT,
            fires=row.missing >= OUTCOME_LEAST and 100 * row.missing >= OUTCOME_PERCENT * row.due,
            count=row.missing,
        )
        for row in rows
        if row.due
    ]


def worst(findings: Iterable[Finding]) -> list[Finding]:
    """Return of each rule and each one the finding that is furthest over its threshold, the furthest first."""
    found: dict[tuple[Kind, str], Finding] = {}
    for one in findings:
        key = (one.kind, one.who)
        if key not in found or _rank(one) > _rank(found[key]):
            found[key] = one
    return sorted(found.values(), key=_rank, reverse=True)


def _rank(one: Finding) -> tuple[bool, float, int, str]:
    # No threshold is nothing: each has a least.
    return one.fires, one.value / one.threshold, one.at_ms, one.who


def _jump(row: Decided, decided: int, refused: int, periods: int) -> Finding:
    usual = 100 * refused / decided if decided else 0.0
    # In whole numbers, so that the threshold is met exactly: refused/decided - before >= points/100.
    higher = 100 * (row.refused * decided - refused * row.decided) >= REFUSAL_POINTS * row.decided * decided
    return Finding(
        Kind.REFUSALS,
        row.who,
        row.at_ms,
        value=100 * row.refused / row.decided,
        usual=usual,
        threshold=usual + REFUSAL_POINTS,
        fires=row.decided >= REFUSAL_LEAST and decided >= REFUSAL_LEAST and higher,
        count=row.refused,
        periods=periods,
    )


def _finding(kind: Kind, rule: Rule, row: Counted, before: Sequence[Counted]) -> Finding:
    usual = float(median(other.count for other in before)) if len(before) >= SETTLED else 0.0
    threshold = rule.threshold(usual)
    return Finding(kind, row.who, row.at_ms, row.count, usual, threshold, row.count >= threshold, periods=len(before))


def _by_who(rows: Iterable[_Row]) -> Mapping[str, list[_Row]]:
    found: dict[str, list[_Row]] = {}
    for row in sorted(rows, key=lambda row: row.at_ms):
        found.setdefault(row.who, []).append(row)
    return found


def _before(rows: Sequence[_Row], at_ms: int) -> list[_Row]:
    return [row for row in rows if at_ms - HISTORY_DAYS * DAY_MS <= row.at_ms < at_ms]
