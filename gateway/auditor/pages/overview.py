"""A1: how things stand, in numbers; each number leads to what it counts."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.clock import DAY_MS
from consent_ledger.v1 import events_pb2 as pb
from gateway.auditor.charts import days_chart
from gateway.auditor.console import Console, console_of
from gateway.auditor.filters import Filter, filter_of
from gateway.auditor.index import queries, standing
from gateway.auditor.naming import naming_of
from gateway.auditor.showing import AUDIT, Menu, show
from gateway.telemetry.spanreads import durations
from gateway.telemetry.spanstore import span_stores

DAYS_MS = 7 * DAY_MS
_SPANS = 20_000
_SUBMIT = "/gateway.v1.ExchangeService/SubmitBatch"


async def overview(request: Request) -> Response:
    """Show the whole log, or a period of it."""
    asked = filter_of(request.query_params)
    chosen = Filter(vanaf=asked.vanaf, tot=asked.tot)
    console = console_of(request)
    found = await console.ask(lambda connection: _read(connection, chosen, console.clock()))
    latest = await asyncio.to_thread(_p95, console)
    return show(request, "audit_overview.html", chosen=chosen, names=naming_of(request), p95=latest, **found)


def _p95(console: Console) -> dict[tuple[str, str], float]:
    """Return how long the gateway took for a batch of two parties: the 95th percentile in ms, where spans tell."""
    now_ms = console.clock()
    found = durations(span_stores(console.home), now_ms - DAYS_MS, now_ms, _SPANS)
    return {(one.sender, one.recipient): one.p95_ms for one in found if one.name == _SUBMIT}


def _read(connection: Connection, chosen: Filter, now_ms: int) -> dict[str, Any]:
    pairs = queries.matrix(connection, chosen)
    return {
        "state": standing.state(connection),
        "items": standing.open_items(connection, now_ms),
        "pairs": {(pair.sender, pair.recipient): pair for pair in pairs},
        "senders": sorted({pair.sender for pair in pairs}),
        "recipients": sorted({pair.recipient for pair in pairs}),
        "count": sum(pair.number for pair in pairs),
        "refused": sum(pair.refused for pair in pairs),
        "prohibited": sum(pair.prohibited for pair in pairs),
        "withheld": queries.total(connection, chosen.but(stand="withheld")),
        "bars": days_chart(queries.days(connection, chosen)),
        "reason_prohibited": pb.REASON_PURPOSE_PROHIBITED,
    }


menu = Menu(10, AUDIT, "overview.menu")
routes = [Route(AUDIT, overview, name="overview")]
