"""A10: how long each stage takes between each two organisations, with a way to the slowest traces."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auditor import reading
from gateway.auditor.console import console_of
from gateway.auditor.filters import QueryError
from gateway.auditor.index import standing
from gateway.auditor.naming import naming_of
from gateway.auditor.showing import Menu, show
from gateway.telemetry.spanreads import Latency, durations
from gateway.telemetry.spanstore import span_stores

PATH = "/audit/doorlooptijd"
menu = Menu(100, PATH, "audit_latency.menu")
_HOUR_MS = 3_600_000
SPANS = ("1", "24", "168")
STAGES = ("released", "acknowledged", "outcome")
SERVICES = ("", "agency", "gateway", "pseudonyms", "ledger")
_WHOLE = frozenset({"submission", "delivery", "hand over", "outcome"})
"""What agencies wait for; calls at servers begin with a slash. The stages within are chosen by service."""
_ROWS = 200


async def latency(request: Request) -> Response:
    """Show percentiles of stages, by spans and by the log's own times."""
    console = console_of(request)
    hours, service = request.query_params.get("uren", "") or "24", request.query_params.get("dienst", "")
    if hours not in SPANS or service not in SERVICES:
        raise QueryError("uren" if hours not in SPANS else "dienst")
    until_ms = console.clock() + 1
    since_ms = until_ms - int(hours) * _HOUR_MS
    found = await asyncio.to_thread(lambda: durations(span_stores(console.home), since_ms, until_ms))
    chosen = sorted((one for one in found if _is_chosen(one, service)), key=_order)[:_ROWS]
    legs = await console.ask(reading.legs)
    return show(
        request,
        "audit_latency.html",
        state=await console.ask(standing.state),
        hours=hours,
        spans=SPANS,
        service=service,
        services=SERVICES,
        stages=chosen,
        longest=max((one.p95_ms for one in chosen), default=0.0) or 1.0,
        legs=sorted(legs.items(), key=lambda leg: (STAGES.index(leg[0].stage), leg[0].sender, leg[0].recipient)),
        names=naming_of(request),
    )


def _is_chosen(one: Latency, service: str) -> bool:
    if service:
        return one.service == f"regie-{service}"
    return one.name in _WHOLE or (one.name.startswith("/") and bool(one.sender))


def _order(one: Latency) -> tuple[str, str, str, str]:
    return one.service, one.name, one.sender, one.recipient


routes = [Route(PATH, latency, name="audit_latency")]
