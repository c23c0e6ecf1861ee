"""The console's pages as one application, on an origin of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from consent_ledger.clock import Clock
from consent_ledger.viewer.app import shell
from consent_ledger.viewer.context import address, language_of
from consent_ledger.viewer.routing import in_languages
from consent_ledger.viewer.session import SessionStore
from consent_ledger.viewer.settings import SettingsError, ViewerSettings
from gateway.auditor.console import Console, audited
from gateway.auditor.login import Login
from gateway.auditor.showing import AUDIT, modules

FOLDER = Path(__file__).parent


def audit_app(settings: ViewerSettings, console: Console, login: Login, store: SessionStore, clock: Clock) -> Starlette:
    """Return the application; raises SettingsError for settings that are not a console's, or that forbid the login."""
    if not settings.console:
        raise SettingsError("these are settings of other pages: the console has an origin of its own (console=True)")
    routes = [
        Route("/", _first),
        *(Route(path, _first) for path in (AUDIT, f"{AUDIT}/{{rest:path}}")),
        *in_languages([Route("/", _first), *login.routes(settings)]),
        *in_languages(page_routes()),
    ]
    app = shell(settings, None, store, clock, routes, more=FOLDER)
    app.state.console = console
    return app


def page_routes() -> Iterator[Route]:
    """Yield the routes of every module of ``pages``, guarded; a module is found by being there."""
    for module in modules():
        for route in getattr(module, "routes", ()):
            guarded = audited(route.endpoint, route.name)
            yield Route(route.path, guarded, methods=list(route.methods or ["GET"]), name=route.name)


async def _first(request: Request) -> Response:
    """Go to the console in the reader's language."""
    rest = request.path_params.get("rest", "")
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(address(language_of(request), f"{AUDIT}/{rest}".rstrip("/")) + query, 302)
