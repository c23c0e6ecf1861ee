"""The composition root: starts the roles of a home, each on its own port, and stops them without losing anything."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from opentelemetry.sdk.trace import TracerProvider

from consent_ledger.clock import Clock, system_clock
from consent_ledger.errors import RegieError
from gateway.home import Home, HomeError, Role, Service
from gateway.rpc import RoleServer
from gateway.settings import Means, Settings, load_settings
from gateway.telemetry.pages import telemetry_app
from gateway.telemetry.role import Telemetry, open_telemetry
from gateway.telemetry.traces import Tracing
from gateway.web import HttpServer

GRPC_ROLES: tuple[Role, ...] = ("ledger", "pseudonyms", "gateway")
STARTED_BEFORE: tuple[Service, ...] = ("witness", *GRPC_ROLES, "viewer", "auditor")
"""Order of starting: a ledger asks its witnesses before it signs. Stopping is the other way round, so that what is in
flight can still be finished."""

READY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What all roles of a process share; ``stack`` takes what has to be closed."""

    home: Home
    means: Means
    stack: AsyncExitStack
    telemetry: Mapping[Service, Telemetry]


class Watch(Protocol):
    """Tells when a role can serve, and when it never can again: ``fatal`` says why once ``failed`` is set."""

    @property
    def ready(self) -> asyncio.Event:
        """Set when the role serves, or failed."""
        ...

    @property
    def failed(self) -> asyncio.Event:
        """Set when the role has to stop."""
        ...

    @property
    def fatal(self) -> RegieError | None:
        """Why it has to."""
        ...


@dataclass(slots=True)
class Serving:
    """The running roles."""

    roles: tuple[Service, ...]
    addresses: dict[Service, str]
    watches: list[Watch] = field(default_factory=list)
    draining: bool = False

    async def ready(self) -> None:
        """Return when every role serves; raises RegieError when one must not."""
        for watch in self.watches:
            await watch.ready.wait()
            if watch.fatal is not None:
                raise watch.fatal

    async def failed(self) -> RegieError:
        """Return, possibly never, the reason why a running role has to stop."""
        waits = [asyncio.create_task(watch.failed.wait()) for watch in self.watches]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return next(watch.fatal for watch in self.watches if watch.fatal is not None)


@asynccontextmanager
async def serving(
    home: Home,
    roles: Collection[str],
    clock: Clock = system_clock,
    *,
    settings: Settings | None = None,
    provider: TracerProvider | None = None,
) -> AsyncIterator[Serving]:
    """Serve roles (``STARTED_BEFORE``) of a home on its addresses until the block ends.

    Yields when the servers listen and, when the ledger is one of them, when all answer health checks with SERVING.
    Raises HomeError (a role this home cannot serve, an address in use), RegieError OPERATORS_NOT_SEPARATE. Ending the
    block answers health checks with no for the drain time, then stops accepting, finishes what is in flight within the
    grace time, and closes the databases.
    """
    from gateway import roles as building  # noqa: PLC0415 - SQLModel is slow to import, and only servers need it

    chosen = tuple(role for role in STARTED_BEFORE if role in roles)
    unknown = sorted(set(roles) - set(chosen))
    if unknown or not chosen:
        raise HomeError(f"expected roles of {', '.join(STARTED_BEFORE)}, got {', '.join(unknown) or 'none'}")
    tuned = settings or load_settings()
    with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="regie-group") as pool:
        async with AsyncExitStack() as stack:
            # An address in use is found before any database is opened.
            telemetry: dict[Service, Telemetry] = {}
            shells: dict[Service, RoleServer | HttpServer] = {}
            pages: dict[Service, HttpServer] = {}
            for role in chosen:
                telemetry[role] = open_telemetry(home, role, tuned, clock, provider)
                stack.push_async_callback(asyncio.to_thread, telemetry[role].close)
                shells[role] = _server(home, role, telemetry[role].tracing, tuned.grace_seconds)
                stack.push_async_callback(shells[role].stop)
                if role in home.metrics:
                    pages[role] = HttpServer(f"{role} metrics", home.metrics[role], tuned.grace_seconds)
                    stack.push_async_callback(pages[role].stop)
            served = Serving(chosen, {role: shell.address for role, shell in shells.items()})
            parts = Parts(home, Means(tuned, clock, pool, os.urandom), stack, telemetry)
            for role, shell in shells.items():
                watch = await building.BUILD[role](parts, shell)
                served.watches.append(watch)
                if role in pages:
                    await pages[role].start(telemetry_app(telemetry[role].metrics, partial(_health, served, watch)))
            if "ledger" in chosen:
                await _ready_in_time(served)
            yield served
            await _drain(served, shells.values(), tuned.drain_seconds)


async def _drain(served: Serving, shells: Iterable[RoleServer | HttpServer], seconds: float) -> None:
    """Say that this process stops, and go on serving until a balancer noticed; a role that failed waits for nobody."""
    if any(watch.failed.is_set() for watch in served.watches):
        return
    served.draining = True
    for shell in shells:
        if isinstance(shell, RoleServer):
            await shell.withdraw()
    await asyncio.sleep(seconds)


def _health(served: Serving, watch: Watch) -> str:
    if watch.failed.is_set():
        return "failed"
    if served.draining:
        return "draining"
    return "ok" if watch.ready.is_set() else "starting"


def _server(home: Home, role: Service, tracing: Tracing, grace: float) -> RoleServer | HttpServer:
    for known in GRPC_ROLES:
        if role == known:
            return RoleServer(home, known, tracing, grace)
    if role not in home.addresses:
        raise HomeError(f"this home has no address of the {role}: see {home.folder / 'regie.toml'}")
    return HttpServer(role, home.addresses[role], grace)


async def _ready_in_time(served: Serving) -> None:
    try:
        async with asyncio.timeout(READY_SECONDS):
            await served.ready()
    except TimeoutError:
        raise RegieError("LEDGER_UNAVAILABLE", "the directory could not be verified in time: see the log") from None
