"""The auditor role: follows the log, and serves the console over HTTP."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from consent_ledger.errors import RegieError
from consent_ledger.log.keys import AnyVerifier, parse_verifier, parse_verifiers
from consent_ledger.registry import Registry
from consent_ledger.v1 import events_pb2
from consent_ledger.viewer.settings import SettingsError
from gateway.auditor.app import audit_app
from gateway.auditor.console import Console
from gateway.auditor.index import tables
from gateway.auditor.index.follow import Follower
from gateway.auditor.log import Log
from gateway.auditor.settings import audit_login, audit_settings, audit_tls
from gateway.database import Database
from gateway.directory.client import DirectoryClient
from gateway.home import Home, HomeError
from gateway.interceptors import incident
from gateway.server import Parts
from gateway.telemetry.logs import get_logger
from gateway.viewer.sessions import TABLES as SESSIONS
from gateway.viewer.sessions import StoredSessions
from gateway.web import HttpServer

SECONDS = 0.5
"""Between two looks at the log."""
_log = get_logger()


class AuditorWatch:
    """Serves from the beginning: a ledger that does not answer yet is a page that says so."""

    def __init__(self) -> None:
        self.ready, self.failed = asyncio.Event(), asyncio.Event()
        self.fatal: RegieError | None = None
        self.ready.set()


class Directory:
    """The directory as it was verified last; asked again before each round."""

    def __init__(self, home: Home, client: DirectoryClient) -> None:
        """Know nothing yet but the keys of the settings."""
        self._client = client
        self._pinned = parse_verifiers(home.log_verifier_key)
        self._registry: Registry | None = None

    async def refresh(self) -> None:
        """Ask for it; raises RegieError."""
        self._registry = await self._client.fetch()

    def registry(self) -> Registry:
        """Return it; an empty one before the first answer."""
        return self._registry or Registry()

    def registry_at(self, index: int) -> Registry:
        """Return it as it stood before a log index."""
        registry, response = Registry(), self._client.directory.response
        for entry in response.entries if response else ():
            if entry.index >= index:
                break
            registry = registry.apply(entry.index, events_pb2.Leaf.FromString(entry.entry).public)
        return registry

    def verifiers(self) -> list[AnyVerifier]:
        """Return the log's keys: those of the settings and those the log announced, none that it retired."""
        registry = self.registry()
        keys = [*self._pinned, *map(parse_verifier, registry.log_keys)]
        return [key for key in keys if key.format() not in registry.retired_log_keys]


async def build_auditor(parts: Parts, server: HttpServer) -> AuditorWatch:
    """Serve the console; raises HomeError when its settings or the login cannot be used."""
    home, clock, stack = parts.home, parts.means.clock, parts.stack
    settings, login, ours = audit_settings(home), audit_login(home), home.operator("auditor")
    key = ours.key("audit")
    database = Database(ours.data / "audit.db", tables.TABLES)
    stack.callback(database.close)
    reader = Database(ours.data / "audit.db", tables.TABLES, reading=True)
    stack.callback(reader.close)
    sessions = Database(ours.data / "sessions.db", SESSIONS)
    stack.callback(sessions.close)
    log = Log(home, ours, clock)
    stack.push_async_callback(log.close)
    client = DirectoryClient(home, ours, "ledger", clock)
    stack.push_async_callback(client.close)
    directory = Directory(home, client)
    console = Console(home, ours, reader, log, directory.registry, directory.registry_at, key, clock)
    stack.callback(console.close)
    try:
        app = audit_app(settings, console, login, StoredSessions(sessions, clock), clock)
    except SettingsError as error:
        raise HomeError(str(error)) from None
    await server.start(app, audit_tls(home))
    stack.push_async_callback(server.stop)
    follower = Follower(log, database, key, directory.verifiers, clock)
    task = asyncio.create_task(_follow(follower, directory))

    async def end() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(end)
    return AuditorWatch()


async def _follow(follower: Follower, directory: Directory) -> None:
    """Follow the log for ever; what the ledger's silence means, the pages say."""
    while True:
        try:
            await directory.refresh()
            await follower.round()
        except RegieError as error:
            _log.warning("log_not_followed", role="auditor", reason=error.reason)
        except Exception as error:  # noqa: BLE001  (the pages go on, and say that the index stands still)
            incident(error, role="auditor")
        await asyncio.sleep(SECONDS)
