"""The residents' pages as one application."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from consent_ledger.clock import Clock
from consent_ledger.viewer import pages
from consent_ledger.viewer.catalogue import TEXTS, load_catalogue
from consent_ledger.viewer.checking.program import programs
from consent_ledger.viewer.context import Viewer, address, preferred
from consent_ledger.viewer.failures import HANDLERS, error_page
from consent_ledger.viewer.login import Login, entering
from consent_ledger.viewer.middleware import SameOrigin, Shield, WithSession
from consent_ledger.viewer.rendering import Renderer
from consent_ledger.viewer.routing import collect, in_languages
from consent_ledger.viewer.session import Sessions, SessionStore
from consent_ledger.viewer.settings import ViewerSettings
from consent_ledger.viewer.static import Static

if TYPE_CHECKING:
    from consent_ledger.viewer.port import Portal


def viewer_app(settings: ViewerSettings, portal: Portal, login: Login, store: SessionStore, clock: Clock) -> Starlette:
    """Return the application of public and residents' pages; raises SettingsError for a demo login outside a demo."""
    routes = [
        Route("/", _first, name="first"),
        *collect(pages),
        *in_languages([*entering.ROUTES, *login.routes(settings)]),
    ]
    return shell(settings, portal, store, clock, routes)


def shell(
    settings: ViewerSettings,
    portal: Portal | None,
    store: SessionStore,
    clock: Clock,
    routes: Sequence[BaseRoute],
    *,
    more: Path | None = None,
) -> Starlette:
    """Return an application with these routes, in the layout and with the protection that all of ours have.

    ``more`` is a folder with further ``templates``, ``texts`` and ``static`` files.
    """
    catalogue = load_catalogue(TEXTS, *((more / "texts",) if more else ()))
    files = {path.name: path.read_bytes() for path in (more / "static").iterdir()} if more else {}
    static = Static(settings.theme, more=programs(settings.trust, catalogue) | files)
    sessions = Sessions(store, clock)
    app = Starlette(
        routes=[*routes, static.route()],
        exception_handlers=HANDLERS,
        middleware=[
            Middleware(Shield, settings, error_page),
            Middleware(WithSession, sessions, settings),
            Middleware(SameOrigin, settings, error_page),
        ],
    )
    renderer = Renderer(static, *((more / "templates",) if more else ()))
    app.state.viewer = Viewer(settings, portal, clock, sessions, catalogue, renderer)
    return app


async def _first(request: Request) -> Response:
    language = preferred(request.headers.get("accept-language", ""))
    return RedirectResponse(address(language, "/"), 302, {"Vary": "Accept-Language"})
