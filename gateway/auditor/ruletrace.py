"""The rules of a decision in their order, and what became of each, as its reason code tells (A3, A8).

The first rule that objects decides (consent_ledger/decide.py), so the reason says of every rule whether it let the
signal pass, stopped it, or was not asked any more.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from consent_ledger.v1 import events_pb2 as pb

ORDER: tuple[int, ...] = tuple(
    number
    for number in sorted(pb.Reason.DESCRIPTOR.values_by_number)
    if number not in (pb.REASON_UNSPECIFIED, pb.REASON_ALLOWED, pb.REASON_LEDGER_UNAVAILABLE)
)
"""The reasons for which a rule can object, in the order of the rules."""


class Result(StrEnum):
    """What became of a rule; each is also the name of its text."""

    PASSED = "passed"
    OBJECTED = "objected"
    NOT_ASKED = "not_asked"


class Asked(NamedTuple):
    """A rule, by the reason it answers for (its name without prefix), and what became of it."""

    rule: str
    result: Result


def rule_trace(reason: int) -> tuple[Asked, ...]:
    """Return every rule in order, as a decision for this reason says; () for a reason that is no rule's."""
    if reason == pb.REASON_ALLOWED:
        return tuple(Asked(name_of(rule), Result.PASSED) for rule in ORDER)
    if reason not in ORDER:
        return ()
    at = ORDER.index(reason)
    return tuple(
        Asked(name_of(rule), Result.PASSED if place < at else Result.OBJECTED if place == at else Result.NOT_ASKED)
        for place, rule in enumerate(ORDER)
    )


def name_of(reason: int) -> str:
    """Return the name of a reason without its prefix; its number when it has none."""
    names = pb.Reason.DESCRIPTOR.values_by_number
    return str(names[reason].name).removeprefix("REASON_") if reason in names else str(reason)
