"""From page modules to routes: every page exists under /nl and /en, and what is below /mijn only for its resident."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from consent_ledger.clock import DAY_MS
from consent_ledger.errors import RegieError
from consent_ledger.v1 import events_pb2
from consent_ledger.viewer.capture import capture_of
from consent_ledger.viewer.catalogue import LANGUAGES
from consent_ledger.viewer.context import (
    address,
    language_of,
    portal_of,
    resident_of,
    session_of,
    viewer_of,
)
from consent_ledger.viewer.endpoint import Endpoint
from consent_ledger.viewer.once import once
from consent_ledger.viewer.session import Right

MINE = "/mijn"
DOING = (MINE, "/balie/zaak", "/inloggen/uitnodiging")
"""Below these a form does something, once."""


def collect(package: ModuleType) -> list[Route]:
    """Return the routes of every module of a package, in both languages."""
    found: list[Route] = []
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        found += in_languages(getattr(module, "routes", ()))  # a module that several pages share has none
    return found


def in_languages(routes: Iterable[Route]) -> Iterator[Route]:
    """Return each route under /nl and /en; below /mijn guarded, and forms that are sent twice."""
    for route in routes:
        does = "POST" in (route.methods or ()) and any(is_below(route.path, place) for place in DOING)
        endpoint = once(route.endpoint) if does else route.endpoint
        guarded = mine(endpoint) if is_mine(route.path) else endpoint
        path = route.path.rstrip("/")  # the first page is /nl
        for language in LANGUAGES:
            yield Route(f"/{language}{path}", guarded, methods=list(route.methods or ["GET"]), name=route.name)


def is_mine(path: str) -> bool:
    """Tell whether a path is of a resident's own pages."""
    return is_below(path, MINE)


def is_below(path: str, place: str) -> bool:
    """Tell whether a path is a place or below it."""
    return path == place or path.startswith(f"{place}/")


def needs(right: Right) -> Callable[[Endpoint], Endpoint]:
    """Say what a page below /mijn needs, where it is not "look" for showing and "choose" for changing."""

    def mark(endpoint: Endpoint) -> Endpoint:
        @functools.wraps(endpoint)  # marks a new function: the same page may also be there for others
        async def marked(request: Request) -> Response:
            return await endpoint(request)

        marked.needs = right  # type: ignore[attr-defined]  # for `mine`
        return marked

    return mark


def mine(endpoint: Endpoint) -> Endpoint:
    """Let in who is logged in and may do this; others go to the login page first. Each visit is recorded (R23)."""

    @functools.wraps(endpoint)
    async def guarded(request: Request) -> Response:
        resident = session_of(request).resident
        if resident is None:
            return _to_login(request)
        right: Right = getattr(endpoint, "needs", "choose" if request.method == "POST" else "look")
        if right not in resident.may:
            raise HTTPException(403)
        try:
            await _record_view(request)
        except RegieError as error:
            if error.reason != "BEYOND_MANDATE":
                raise
            session_of(request).log_out()
            return RedirectResponse(address(language_of(request), "/uitgelogd") + "?einde=1", 303)
        return await endpoint(request)

    return guarded


async def _record_view(request: Request) -> None:
    """Record that somebody looks, before anything is shown: once per session and day, the ledger counts the same.

    A representative is asked about each time, so that who was sent away sees nothing more.
    """
    session, resident = session_of(request), resident_of(request)
    today = str(viewer_of(request).clock() // DAY_MS)
    if session.memory.get("viewed") != today or resident.role == "representative":
        await portal_of(request).view(resident.rows, capture_of(request), events_pb2.VIEW_KIND_PAGES)
        if session.memory.get("viewed") != today:
            session.remember("viewed", today)


def _to_login(request: Request) -> Response:
    """Go to the login page, and afterwards to where one was going; what a form held is not carried along."""
    then = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    query = {"naar": then} if request.method == "GET" else {"weg": "1"}
    return RedirectResponse(f"{address(language_of(request), '/inloggen')}?{urlencode(query)}", 303)
