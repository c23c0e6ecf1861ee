"""A14: who looked at what, and took out what; from the log, like everything else."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auditor.console import console_of
from gateway.auditor.filters import QueryError, index_of
from gateway.auditor.index import standing, views
from gateway.auditor.naming import naming_of
from gateway.auditor.showing import AUDIT, Menu, show

PATH = f"{AUDIT}/inzage"


async def looking(request: Request) -> Response:
    """Show a page of it."""
    said = request.query_params
    person, before = said.get("wie", ""), index_of(said, "voor")
    if person and not re.fullmatch(r"[0-9a-f]{8,32}", person):
        raise QueryError("wie")
    state, rows, people = await console_of(request).ask(
        lambda connection: (
            standing.state(connection),
            views.views(connection, person, before, views.PAGE + 1),
            views.per_person(connection),
        )
    )
    return show(
        request,
        "audit_looking.html",
        state=state,
        rows=rows[: views.PAGE],
        older=rows[views.PAGE - 1].idx if len(rows) > views.PAGE else None,
        people=people,
        chosen=person,
        names=naming_of(request),
    )


menu = Menu(140, PATH, "looking.menu")
routes = [Route(PATH, looking, name="looking")]
