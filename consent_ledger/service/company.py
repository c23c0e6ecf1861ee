"""Who else looks at a resident's record or acts in it, for that resident (R23, R38, AS6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from consent_ledger.others import Others, Representative
from consent_ledger.service.entries import Row, open_entries, states_of
from consent_ledger.storage.ports import Snapshot
from consent_ledger.v1 import consents_pb2 as out

_MOST = 100


def others_of(snapshot: Snapshot, rows: Sequence[Row], now_ms: int) -> out.GetOthersResponse:
    """Return who looked, who represents, and what was tried, each once however many rows know of it."""
    known = [state.others for state in states_of(snapshot, rows).values() if state.others is not None]
    response = out.GetOthersResponse()
    response.representatives.extend(_representatives(known, now_ms))
    views = _newest(index for others in known for index in others.views)
    attempts = _newest(index for others in known for index, _ in others.attempts)
    entries = open_entries(snapshot, [*views, *attempts])
    for index in (index for index in views if index in entries):
        event = entries[index].event
        if event.HasField("audit_accessed"):
            response.views.add(log_index=index, time_ms=event.time_ms, audit=event.audit_accessed)
            continue
        viewed = event.record_viewed
        response.views.add(log_index=index, time_ms=event.time_ms, kind=viewed.kind, capture=viewed.capture)
    for index in (index for index in attempts if index in entries):
        event = entries[index].event
        response.attempts.add(log_index=index, time_ms=event.time_ms, attempt=event.attempt_refused)
    return response


def _newest(indices: Iterable[int]) -> list[int]:
    return sorted(set(indices), reverse=True)[:_MOST]


def _representatives(known: Iterable[Others], now_ms: int) -> list[out.RepresentativeRecord]:
    """Return everybody who was invited: who acts or may soon first, then the newest."""
    found = {one.reference: one for others in known for one in others.representatives}
    over = [one for one in found.values() if not (one.holds(now_ms) or one.invited(now_ms))]
    acting = [one for one in found.values() if one not in over]
    newest = [*sorted(acting, key=_index, reverse=True), *sorted(over, key=_index, reverse=True)]
    return [
        out.RepresentativeRecord(
            reference=one.reference,
            mandate=one.mandate,  # type: ignore[arg-type]  # a number of the enum
            relation=one.relation,  # type: ignore[arg-type]  # a number of the enum
            purposes=one.purposes,
            added_ms=one.added_ms,
            valid_until_ms=one.valid_until_ms,
            accepted_ms=one.accepted_ms,
            ended_ms=one.ended_ms,
            who=one.who,
            log_index=one.idx,
        )
        for one in newest
    ]


def _index(one: Representative) -> int:
    return one.idx
