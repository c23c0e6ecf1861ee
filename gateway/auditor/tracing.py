"""One trace from two sources: spans that organisations stored, and what the log says happened in it (A4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gateway.auditor.index import states
from gateway.auditor.index.states import day_of
from gateway.auditor.reading import OfTrace
from gateway.auditor.waterfall import Step, Waterfall, waterfall
from gateway.telemetry.spanreads import StoredSpan

_MS = 1_000_000
_MORE_DAYS = 1
"""The log's clock is not that of those who stored spans."""
_METHODS = {
    "decided": "Decide",
    "released": "Release",
    "withheld": "Release",
    "acknowledged": "Acknowledge",
    "reported": "ReportOutcome",
}
"""Which call of the ledger writes what."""


class Operators(NamedTuple):
    """Who runs what every exchange goes through (OIN)."""

    gateway: str
    pseudonyms: str
    ledger: str


def days_of(spans: Sequence[StoredSpan]) -> list[int]:
    """Return the days on which the log may know of a trace; () when no span tells."""
    if not spans:
        return []
    first, last = min(span.start_ns for span in spans), max(span.end_ns for span in spans)
    return [day_of(first // _MS) - _MORE_DAYS, day_of(last // _MS) + _MORE_DAYS]


def trace_of(spans: Sequence[StoredSpan], facts: Sequence[OfTrace], operators: Operators) -> Waterfall:
    """Lay out a trace; who must have had a part in it follows from the log."""
    return waterfall([*map(_step, spans), *_leaves(facts, spans, operators.ledger)], _expected(facts, operators))


def _expected(facts: Sequence[OfTrace], operators: Operators) -> list[str]:
    """Return who left or should have left spans: senders, the operators, and recipients of what was delivered."""
    if not facts:
        return []
    delivered = {fact.recipient for fact in facts if fact.state >= states.RELEASED}
    return [*sorted({fact.sender for fact in facts}), *operators, *sorted(delivered)]


def _step(span: StoredSpan) -> Step:
    return Step(
        span_id=span.span_id,
        parent=span.parent_id or "",
        oin=span.oin,
        name=span.name,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        failed=span.status == "error",
        more={"service": span.service, **{key: str(value) for key, value in span.attributes.items()}},
    )


def _leaves(facts: Iterable[OfTrace], spans: Sequence[StoredSpan], ledger: str) -> list[Step]:
    """Return what the log says of a trace: one step for all of a kind that were written at one moment."""
    groups: dict[str, Counter[int]] = {}
    first: dict[tuple[str, int], int] = {}
    for fact in facts:
        for kind, index, time_ms in _said(fact):
            if index is not None and time_ms is not None:
                groups.setdefault(kind, Counter())[time_ms] += 1
                first.setdefault((kind, time_ms), index)
    found = []
    for kind, moments in groups.items():
        writing = _writing(spans, ledger, kind)
        for place, (time_ms, count) in enumerate(sorted(moments.items())):
            index, at = first[kind, time_ms], time_ms * _MS
            span = _span_of(writing, at, place)
            # It was written while that span lasted, whatever the clock of the log says beside that of spans.
            shown = min(max(at, span.start_ns), span.end_ns) if span else at
            more = {"service": "log", "kind": kind, "count": str(count)}
            step = Step(
                f"leaf-{index}", span.span_id if span else "", ledger, kind, shown, shown, more=more, index=index
            )
            found.append(step)
    return found


def _said(fact: OfTrace) -> Iterable[tuple[str, int | None, int | None]]:
    """Yield what the log says of an exchange: kind, index, time."""
    yield "decided", fact.idx, fact.time_ms
    yield "released", fact.released_idx, fact.released_ms
    yield "withheld", fact.withheld_idx, fact.withheld_ms
    yield "acknowledged", fact.acked_idx, fact.acked_ms
    yield "reported", fact.outcome_idx, fact.outcome_ms


def _writing(spans: Sequence[StoredSpan], ledger: str, kind: str) -> list[StoredSpan]:
    """Return the ledger's spans that write leaves of a kind, by time: the calls, or the commits within them."""
    calls = {
        span.span_id: span for span in spans if span.oin == ledger and span.name.rpartition("/")[2] == _METHODS[kind]
    }
    commits = {span.parent_id: span for span in spans if span.name == "decide" and span.parent_id in calls}
    return sorted((commits.get(name, call) for name, call in calls.items()), key=lambda span: span.start_ns)


def _span_of(writing: Sequence[StoredSpan], at_ns: int, place: int) -> StoredSpan | None:
    """Return the span in which a leaf was written: that of its time, else the one of the same rank."""
    around = [span for span in writing if span.start_ns - _MS <= at_ns <= span.end_ns + _MS]
    return around[0] if around else writing[min(place, len(writing) - 1)] if writing else None
