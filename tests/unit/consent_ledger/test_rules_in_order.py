"""The rules as a list say what ``decide`` decides: all pass but the one that objects, and none is asked behind it."""

from __future__ import annotations

from itertools import product

import pytest

from consent_ledger.clock import DAY_MS
from consent_ledger.decide import RULES_IN_ORDER, ExchangeRequest, asked_in_order, decide
from consent_ledger.registry import Registry
from consent_ledger.state import EMPTY, Choice, Contact, Pause, SubjectState
from consent_ledger.v1 import events_pb2 as pb
from tests.support.ledger import ARREARS, CITY, NOW, SUPPLIER, first_events

ITEMS = ("betalingsachterstand",)
MODES = (pb.MODE_JA, pb.MODE_NEE, pb.MODE_VRAAG_MIJ_EERST, pb.MODE_EERST_ZELF)


@pytest.fixture(scope="module")
def registry() -> Registry:
    registry = Registry()
    for number, event in enumerate(first_events(), start=1):
        event.sequence, event.time_ms = number, NOW
        registry = registry.apply(number - 1, event)
    return registry


def states() -> list[SubjectState | None]:
    """Nobody, and every combination of what rules look at."""
    found: list[SubjectState | None] = [None, EMPTY]
    offered = ((0, 1), (NOW + DAY_MS, NOW - 1), (0, NOW - 1), (1, 2), (0, 4), (False, True), (False, True))
    for mode in MODES:
        for withdrawn, until, begins, version, threshold, general, paused in product(*offered):
            choice = Choice(
                mode=mode,
                idx=5,
                recorded_ms=NOW,
                purpose_version=version,
                items=ITEMS,
                threshold=threshold,
                valid_from_ms=NOW + DAY_MS if begins else 0,
                valid_until_ms=until,
                withdrawn_ms=withdrawn,
            )
            contact = Contact(idx=6, general_only=general)
            pause = Pause(7, NOW, 0) if paused else None
            found.append(EMPTY._replace(choices={(SUPPLIER, CITY): choice}, contact=contact, pause=pause))
    return found


def test_the_list_ends_with_the_decision(registry):
    seen = set()
    requests = [
        ExchangeRequest(SUPPLIER, CITY, ARREARS, 1, ITEMS, severity=2),
        ExchangeRequest(SUPPLIER, CITY, ARREARS, 1, ("iets-anders",), severity=4),
        ExchangeRequest(SUPPLIER, CITY, ARREARS, 9, ITEMS),
        ExchangeRequest(SUPPLIER, CITY, "bestaat-niet", 1, ITEMS),
        ExchangeRequest(SUPPLIER, SUPPLIER, ARREARS, 1, ITEMS),
        ExchangeRequest(SUPPLIER, CITY, ARREARS, 1, ITEMS, basis=2),
    ]
    for request, state in product(requests, states()):
        decision = decide(registry, state, request, NOW)
        asked = asked_in_order(registry, state, request, NOW)
        assert tuple(rule.reason for rule in asked) == RULES_IN_ORDER[: len(asked)]
        assert all(rule.objection is None for rule in asked[:-1])
        if decision.permitted:
            assert len(asked) == len(RULES_IN_ORDER)
            assert asked[-1].objection is None
        else:
            assert asked[-1].objection == decision
            assert asked[-1].reason == decision.reason
        seen.add(decision.reason)
    assert len(seen) >= 12, seen
