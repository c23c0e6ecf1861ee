"""The viewer role: the residents' pages over HTTP."""

from __future__ import annotations

import asyncio

from consent_ledger.errors import RegieError
from consent_ledger.viewer.app import viewer_app
from consent_ledger.viewer.desk.app import desk_app
from consent_ledger.viewer.settings import SettingsError
from gateway.database import Database
from gateway.home import HomeError
from gateway.sdk.agency import Agency
from gateway.sdk.resident import open_portal
from gateway.server import Parts
from gateway.viewer.sessions import TABLES, StoredSessions
from gateway.viewer.settings import desk_login, desk_settings, viewer_login, viewer_settings
from gateway.web import HttpServer


class ViewerWatch:
    """Serves from the beginning: whoever does not answer yet is a page that says so."""

    def __init__(self) -> None:
        self.ready, self.failed = asyncio.Event(), asyncio.Event()
        self.fatal: RegieError | None = None
        self.ready.set()


async def build_viewer(parts: Parts, server: HttpServer) -> ViewerWatch:
    """Serve the pages; raises HomeError when their settings or the login cannot be used."""
    home, clock = parts.home, parts.means.clock
    settings, login = viewer_settings(home), viewer_login(home)
    desk = _desk(parts)
    agency = await parts.stack.enter_async_context(Agency.open(home, home.operators["viewer"], clock=clock))
    portal = await parts.stack.enter_async_context(open_portal(home, agency))
    database = Database(home.database("viewer", "sessions"), TABLES, owner="viewer")
    parts.stack.callback(database.close)
    try:
        app = viewer_app(settings, portal, login, StoredSessions(database, clock), clock)
    except SettingsError as error:
        raise HomeError(str(error)) from None
    await server.start(app)
    parts.stack.push_async_callback(server.stop)
    if desk:
        sessions = StoredSessions(database, clock)
        await desk.start(desk_app(desk_settings(home), portal, desk_login(home), sessions, clock))
        parts.stack.push_async_callback(desk.stop)
    return ViewerWatch()


def _desk(parts: Parts) -> HttpServer | None:
    """Take the address of the desk, if the home names one; its settings and login are then to be usable."""
    if "desk" not in parts.home.addresses:
        return None
    desk_settings(parts.home)
    desk_login(parts.home)
    server = HttpServer("desk", parts.home.addresses["desk"], parts.means.settings.grace_seconds)
    parts.stack.push_async_callback(server.stop)
    return server
