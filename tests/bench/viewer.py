"""What a long record costs a resident's page: over HTTP, with a ledger on disk behind it, 10,000 exchanges against 10."""

from __future__ import annotations

import asyncio
import statistics
from contextlib import AsyncExitStack, ExitStack
from time import perf_counter

import httpx2

from tests.bench.section import Bench, Figures
from tests.support.ledger import SUPPLIER
from tests.support.longrecord import long_record
from tests.support.portal import MemoryPortal
from tests.support.served_viewer import served_viewer

FEW, MANY = 10, 10_000
PAGES = {
    "overview": "/mijn",
    "exchanges": "/mijn/uitwisselingen",
    "organisation": f"/mijn/organisaties/{SUPPLIER}",
    "check": "/mijn/controle",
    "download": "/mijn/download",
    "erasing": "/mijn/wissen",
}
TIMES = (40, 3)


async def _visitor(stack: AsyncExitStack, portal: MemoryPortal) -> httpx2.AsyncClient:
    """Serve the pages, and log in as the resident."""
    served = await stack.enter_async_context(served_viewer(portal))
    browser = await stack.enter_async_context(
        httpx2.AsyncClient(base_url=served.origin, headers={"Origin": served.origin})
    )
    entered = await browser.post("/nl/inloggen", data={"wie": "anna"})
    assert entered.status_code == 303, entered.text
    return browser


async def _seconds(browser: httpx2.AsyncClient, path: str) -> float:
    begun = perf_counter()
    answer = await browser.get(f"/nl{path}")
    assert answer.status_code == 200
    return perf_counter() - begun


async def _pages(portals: dict[int, MemoryPortal], times: int) -> dict[str, dict[str, float]]:
    figures = {}
    async with AsyncExitStack() as stack:
        browsers = {entries: await _visitor(stack, portal) for entries, portal in portals.items()}
        for name, path in PAGES.items():
            runs: dict[int, list[float]] = {FEW: [], MANY: []}
            for turn in range(times + 1):
                # In turns: machines drift.
                for entries, browser in browsers.items():
                    seconds = await _seconds(browser, path)
                    if turn:
                        runs[entries].append(seconds)
            few, many = (statistics.median(runs[entries]) for entries in (FEW, MANY))
            figures[name] = {"ms": round(many * 1000, 2), "ratio": round(many / few, 2)}
    return figures


def measure(bench: Bench) -> Figures:
    """Return for each page its median time and the ratio to that of a short record; ``ratio`` is the worst of them."""
    with ExitStack() as stack:
        portals = {entries: stack.enter_context(long_record(bench.folder, entries)) for entries in (FEW, MANY)}
        pages = asyncio.run(_pages(portals, bench.pick(*TIMES)))
    return {"viewer": {"page_10000_entries": {**pages, "ratio": max(page["ratio"] for page in pages.values())}}}
