"""Open a case: whose, how the resident is there, and that staff checked who it is."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.v1 import events_pb2
from consent_ledger.viewer.context import portal_of, resident_of, session_of
from consent_ledger.viewer.desk import staff
from consent_ledger.viewer.desk.person import rows_of
from consent_ledger.viewer.desk.staff import staffed
from consent_ledger.viewer.forms import Form, read_form
from consent_ledger.viewer.rendering import done, go, page


@staffed
async def show(request: Request) -> Response:
    """Show the open case, or the form for a new one."""
    return go(request, staff.CASE) if session_of(request).resident else _show(request, Form({}))


@staffed
async def open_case(request: Request) -> Response:
    """Open it; that staff looks is recorded before anything is shown (R23)."""
    form = await read_form(request)
    way = form.one_of("via", staff.WAYS)
    form.some_of("gecontroleerd", ["ja"], least=1, error="desk.checked_needed")
    rows = await rows_of(request, form)
    if form.errors:
        return _show(request, form)
    staff.open_case(request, rows, way)
    await portal_of(request).view(resident_of(request).rows, staff.capture(request), events_pb2.VIEW_KIND_PAGES)
    return go(request, staff.CASE)


@staffed
async def close_case(request: Request) -> Response:
    """Forget whose case it was."""
    staff.close_case(request)
    return done(request, staff.DESK, "desk.case_closed", "info")


async def leave(request: Request) -> Response:
    """Log out."""
    session_of(request).log_out()
    return go(request, staff.LOGIN)


def _show(request: Request, form: Form) -> Response:
    return page(
        request,
        "desk_front.html",
        422 if form.errors else 200,
        form=form,
        ways=list(staff.WAYS),
        number=staff.staff_of(request),
    )


routes = [
    Route(staff.DESK, show, name="desk"),
    Route(staff.DESK, open_case, methods=["POST"], name="desk_open"),
    Route(f"{staff.CASE}/sluiten", close_case, methods=["POST"], name="desk_close"),
    Route(f"{staff.DESK}/uitloggen", leave, methods=["POST"], name="desk_leave"),
]
