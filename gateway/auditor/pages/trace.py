"""A4: one trace across organisations, as a table with bars; and a way to find one."""

from __future__ import annotations

import asyncio
import re

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.viewer.rendering import go
from gateway.auditor import reading
from gateway.auditor.console import Console, console_of
from gateway.auditor.filters import Filter, QueryError
from gateway.auditor.index import queries, states
from gateway.auditor.naming import naming_of
from gateway.auditor.reading import OfTrace
from gateway.auditor.showing import Menu, show
from gateway.auditor.tracing import Operators, days_of, trace_of
from gateway.telemetry.spanreads import StoredSpan, read_trace
from gateway.telemetry.spanstore import span_stores

PATH = "/audit/traces"
menu = Menu(40, PATH, "audit_trace.menu")
_ID = re.compile(r"[0-9a-f]{32}")
_SHOWN = 50


async def traces(request: Request) -> Response:
    """Show the newest traces, or go to the one that is asked for."""
    wanted = request.query_params.get("trace", "").strip().lower()
    if wanted and not _ID.fullmatch(wanted):
        raise QueryError("trace")
    if wanted:
        return go(request, f"{PATH}/{wanted}")
    newest = await console_of(request).ask(lambda connection: queries.page(connection, Filter()))
    found = {row.trace_id.hex(): row for row in newest if row.trace_id}
    return show(request, "audit_traces.html", found=list(found.items()), names=naming_of(request))


async def trace(request: Request) -> Response:
    """Show one trace."""
    trace_id = request.path_params["trace"]
    if not _ID.fullmatch(trace_id):
        raise HTTPException(404)
    console = console_of(request)
    spans, facts = await _found(console, trace_id)
    if not spans and not facts:
        raise HTTPException(404)
    operators = console.home.operators
    around = Operators(operators["gateway"], operators["pseudonyms"], operators["ledger"])
    return show(
        request,
        "audit_trace.html",
        trace_id=trace_id,
        picture=trace_of(spans, facts, around),
        facts=facts[:_SHOWN],
        count=len(facts),
        states=states.STATES,
        names=naming_of(request),
    )


async def _found(console: Console, trace_id: str) -> tuple[list[StoredSpan], list[OfTrace]]:
    spans = await asyncio.to_thread(lambda: read_trace(span_stores(console.home), trace_id))
    wanted = bytes.fromhex(trace_id)
    facts = await console.ask(lambda connection: reading.of_trace(connection, wanted, days_of(spans)))
    return spans, facts


routes = [Route(PATH, traces, name="audit_traces"), Route(f"{PATH}/{{trace}}", trace, name="audit_trace")]
