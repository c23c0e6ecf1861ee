"""One chromium for all tests in a browser; each test has its own window, which may reach nothing but this machine."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.support import tools
from tests.support.portal import MemoryPortal
from tests.support.served_viewer import Served, served_viewer

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--force-color-profile=srgb"),
)
PATIENCE_MS = 15_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these tests share the browser, so they share its event loop; and they all need chromium."""
    for item in items:
        if "/tests/browser/" in item.path.as_posix():
            if inspect.iscoroutinefunction(getattr(item, "function", None)):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            item.add_marker(pytest.mark.needs("chromium"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(tools.path("chromium")), args=list(FLAGS))
        yield browser
        await browser.close()


@dataclass
class Window:
    """A window of somebody's browser, and everything in it that nobody wants to see."""

    context: BrowserContext
    page: Page
    foreign: list[str] = field(default_factory=list)  # requests to another host than the one shown
    complaints: list[str] = field(default_factory=list)  # CSP violations, script errors, failed requests

    async def go(self, address: str) -> None:
        answer = await self.page.goto(address, wait_until="load")
        assert answer is not None

    async def text(self, selector: str = "main") -> str:
        return await self.page.locator(selector).inner_text()

    def check_quiet(self) -> None:
        """Nothing asked anything of a third party, and nothing broke a rule of the page's own policy."""
        assert self.foreign == []
        assert self.complaints == []

    async def log_in(self, served: Served, who: str = "anna", language: str = "nl") -> None:
        await self.go(served.url("/inloggen", language))
        await self.page.click(f"main .choice:has(input[value={who}]) label")
        async with self.page.expect_navigation():
            await self.page.click("main button[type=submit]")


Open = Callable[..., AbstractAsyncContextManager[Window]]


@pytest.fixture(scope="session")
def open_window(chromium: Browser) -> Open:
    """Open a window: ``async with open_window(origin, javaScriptEnabled=False, ...) as window``; quiet unless told."""

    @asynccontextmanager
    async def opened(origin: str = "", *, quiet: bool = True, **options: Any) -> AsyncIterator[Window]:
        context = await chromium.new_context(**{"locale": "nl-NL", **options})
        context.set_default_timeout(PATIENCE_MS)
        window = Window(context, await context.new_page())
        _listen(window, origin)
        try:
            yield window
            if quiet:
                window.check_quiet()
        finally:
            await context.close()

    return opened


def _listen(window: Window, origin: str) -> None:
    def asked(request: Any) -> None:
        url = urlsplit(request.url)
        if url.scheme in ("http", "https", "ws", "wss") and f"{url.scheme}://{url.netloc}" != origin:
            window.foreign.append(request.url)

    def said(message: Any) -> None:
        if message.type in ("error", "warning"):
            window.complaints.append(message.text)

    window.page.on("request", asked)
    window.page.on("console", said)
    window.page.on("pageerror", lambda error: window.complaints.append(str(error)))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served() -> AsyncIterator[Served]:
    """The pages of a town of its own for each module; Anna and Ben live there, nothing has happened yet."""
    portal = MemoryPortal()
    async with served_viewer(portal) as found:
        yield found
    portal.close()
    assert found.errors == []


@pytest_asyncio.fixture(loop_scope="session")
async def window(open_window: Open) -> AsyncIterator[Window]:
    async with open_window() as opened:
        yield opened
