"""A9: what stands out, each with its number, what is usual, and the threshold."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.clock import DAY_MS
from consent_ledger.dates import local_time
from gateway.auditor import anomalies as rules
from gateway.auditor.anomalies import Finding, Kind, worst
from gateway.auditor.console import console_of
from gateway.auditor.filters import QueryError
from gateway.auditor.growing import columns
from gateway.auditor.index import standing
from gateway.auditor.index.states import date_of, day_of
from gateway.auditor.naming import naming_of
from gateway.auditor.showing import Menu, show
from gateway.auditor.unusual import Unusual, unusual

PATH = "/audit/opvallend"
menu = Menu(90, PATH, "audit_unusual.menu")
SPANS = ("1", "7", "28")
_MOST_HOURS = 72
_LIMITS = {
    "residents_least": rules.RESIDENTS.least,
    "residents_factor": rules.RESIDENTS.factor,
    "off_least": rules.OFF_HOURS.least,
    "off_factor": rules.OFF_HOURS.factor,
    "desk_least": rules.DESK.least,
    "desk_factor": rules.DESK.factor,
    "refusal_least": rules.REFUSAL_LEAST,
    "refusal_points": rules.REFUSAL_POINTS,
    "outcome_days": rules.OUTCOME_DAYS,
    "outcome_least": rules.OUTCOME_LEAST,
    "outcome_percent": rules.OUTCOME_PERCENT,
    "history": rules.HISTORY_DAYS,
    "settled": rules.SETTLED,
    "opens": rules.OPENS,
    "closes": rules.CLOSES,
}


async def stands_out(request: Request) -> Response:
    """Apply every rule to the last days."""
    console, now_ms = console_of(request), console_of(request).clock()
    days = request.query_params.get("dagen", "") or "7"
    if days not in SPANS:
        raise QueryError("dagen")
    since_ms = now_ms - int(days) * DAY_MS
    found = await console.ask(lambda connection: unusual(connection, since_ms, now_ms))
    ranked = worst(found.findings)
    first = next((one for one in ranked if one.kind is Kind.RESIDENTS), None)
    return show(
        request,
        "audit_unusual.html",
        state=await console.ask(standing.state),
        days=days,
        spans=SPANS,
        fires=[one for kind in Kind for one in ranked if one.kind is kind and one.fires],
        by_kind=[(kind, [one for one in ranked if one.kind is kind]) for kind in Kind],
        chart=_chart(found, first) if first else None,
        of=first.who if first else "",
        limits=_LIMITS,
        link=_link,
        names=naming_of(request),
    )


def _chart(found: Unusual, worst_one: Finding) -> Any:
    """Draw the hours of the sender that asked about most different residents, with its threshold."""
    hours = [row for row in found.hours if row.who == worst_one.who][-_MOST_HOURS:]
    return columns([(f"{local_time(row.at_ms):%d-%m %H:00}", row.count) for row in hours], worst_one.threshold)


def _link(one: Finding) -> tuple[str, dict[str, str]]:
    """Return path and query of the list that a number was counted from."""
    day = date_of(day_of(one.at_ms)).isoformat()
    if one.kind is Kind.DESK:
        return "/audit/balie", {"door": one.who}
    if one.kind is Kind.OUTCOMES:
        return "/audit/uitwisselingen", {"aan": one.who, "stand": "acknowledged"}
    return "/audit/uitwisselingen", {"van": one.who, "vanaf": day, "tot": day}


routes = [Route(PATH, stands_out, name="audit_unusual")]
