"""Counts over a resident's newest exchanges, for charts and for the card of an organisation (R12)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from consent_ledger.dates import local_time
from consent_ledger.service.entries import Entry, Row, entries_of
from consent_ledger.service.exchanges import Became, became_of
from consent_ledger.storage.ports import Snapshot
from consent_ledger.v1 import consents_pb2 as out
from consent_ledger.v1 import events_pb2 as pb

HOUR_MS = 3_600_000
LOOKED_AT = 500
"""Entries that are counted, at most: a long record costs no more than a short one."""
_UNDECIDED = frozenset({pb.REASON_SELF_FIRST_WINDOW, pb.REASON_AWAITING_RESIDENT})


def summary_of(snapshot: Snapshot, rows: Sequence[Row], now_ms: int) -> out.GetSummaryResponse:
    """Return counts over the newest entries about these rows, newest first."""
    found = list(itertools.islice(entries_of(snapshot, rows), LOOKED_AT + 1))
    decided = [entry for entry in found[:LOOKED_AT] if entry.kind == "exchange_decided"]
    became = became_of(snapshot, decided)
    months: dict[str, out.MonthCount] = {}
    month_of: dict[int, str] = {}  # by hour: the clock here differs from UTC by whole hours
    parties: dict[tuple[str, str, str], out.PartyCount] = {}
    for entry in decided:
        body, time_ms = entry.event.exchange_decided, entry.event.time_ms
        hour, key = time_ms // HOUR_MS, (body.sender, body.recipient, body.purpose)
        if hour not in month_of:
            month_of[hour] = local_time(time_ms).strftime("%Y-%m")
        if (month := month_of[hour]) not in months:
            months[month] = out.MonthCount(month=month)
        if key not in parties:
            parties[key] = out.PartyCount(sender=key[0], recipient=key[1], purpose=key[2], newest_ms=time_ms)
        what = _what(entry, became.get(entry.idx), now_ms)
        _count(months[month].count, what)
        _count(parties[key].count, what)
    more = len(found) > LOOKED_AT
    return out.GetSummaryResponse(months=months.values(), parties=parties.values(), more=more)


def _what(entry: Entry, became: Became | None, now_ms: int) -> str:
    """Return which count an exchange belongs to."""
    if became is not None and became.permit is not None:
        if became.permit.released_idx is not None:
            return "shared"
        return "waiting" if became.waits(now_ms) else "blocked"
    return "waiting" if entry.private.reason in _UNDECIDED else "blocked"


def _count(count: out.Count, what: str) -> None:
    setattr(count, what, getattr(count, what) + 1)
