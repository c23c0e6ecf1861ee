"""A11: what staff recorded for residents at the desk, on paper or by telephone."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.v1 import events_pb2 as pb
from gateway.auditor import reading
from gateway.auditor.console import console_of, pseudonyms_of
from gateway.auditor.filters import QueryError, index_of
from gateway.auditor.index import standing
from gateway.auditor.naming import naming_of
from gateway.auditor.showing import Menu, show

PATH = "/audit/balie"
menu = Menu(110, PATH, "audit_desk.menu")
_VIA = {pb.CAPTURED_VIA_DESK: "desk", pb.CAPTURED_VIA_PAPER: "paper", pb.CAPTURED_VIA_PHONE: "phone"}
_LONGEST = 64


async def desk(request: Request) -> Response:
    """Show who recorded how much, and the newest of it."""
    console = console_of(request)
    by, before = request.query_params.get("door", ""), index_of(request.query_params, "voor")
    if len(by) > _LONGEST or not by.isprintable():
        raise QueryError("door")
    acts = await console.ask(lambda connection: reading.acts(connection, by, before))
    return show(
        request,
        "audit_desk.html",
        state=await console.ask(standing.state),
        employees=await console.ask(reading.employees),
        acts=acts,
        older=acts[-1].idx if len(acts) == reading.PAGE else None,
        newer=before is not None,
        by=by,
        via=_VIA,
        shown=pseudonyms_of(request).shown,
        names=naming_of(request),
    )


routes = [Route(PATH, desk, name="audit_desk")]
