"""The residents' pages over HTTP, for real browsers: the application over a MemoryPortal, at an address of this machine."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette

from consent_ledger.viewer.app import viewer_app
from consent_ledger.viewer.checking.trust import Trust
from consent_ledger.viewer.desk.app import desk_app
from consent_ledger.viewer.desk.login import DemoStaff
from consent_ledger.viewer.login.demo import DemoLogin
from consent_ledger.viewer.session import MemoryStore
from consent_ledger.viewer.settings import ViewerSettings
from tests.support.checking import HERE
from tests.support.portal import MemoryPortal
from tests.support.viewer import PEOPLE


@dataclass
class Served:
    """The pages at ``origin``; ``errors`` is what pages failed with, which only tests may see."""

    origin: str
    portal: MemoryPortal
    app: Starlette
    errors: list[Exception] = field(default_factory=list)

    def url(self, path: str, language: str = "nl") -> str:
        return f"{self.origin}/{language}{path}".rstrip("/")


@asynccontextmanager
async def served_viewer(portal: MemoryPortal, *, trust: Trust = HERE, desk: bool = False) -> AsyncIterator[Served]:
    """Serve the residents' pages, or those of the desk, until the block ends."""
    # Its protocol named: else asyncio does not know it for TCP, and Nagle costs 40 ms an answer.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    origin = f"http://127.0.0.1:{listening.getsockname()[1]}"
    settings = ViewerSettings(origin, demo=True, trust=trust, desk=desk)
    store = MemoryStore()
    if desk:
        app = desk_app(settings, portal, DemoStaff({"mia": "Mia van de balie"}), store, portal.clock)
    else:
        app = viewer_app(settings, portal, DemoLogin(PEOPLE), store, portal.clock)
    served = Served(origin, portal, app)
    app.state.observer = served.errors.append
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=2)
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await server.ready.wait()
        yield served
    finally:
        server.should_exit = True
        await task
        listening.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    def capture_signals(self):
        """None: they are pytest's."""
        return nullcontext()

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.ready.set()
