"""Every page of the auditors' console with a real browser: found by following its links, as auditors do."""

from __future__ import annotations

import re
from collections import Counter
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from looking import all_of, by_keyboard, look

from tests.support.console import play_day
from tests.support.scenario import served_town

pytestmark = pytest.mark.timeout(600)
MOST_OF_A_KIND = 2
"""Addresses of one kind that are looked at: the thousandth decision is like the first two."""
LOOKED_AT = {
    *("/audit", "/audit/uitwisselingen", "/audit/weigeringen", "/audit/logboek", "/audit/getuigen", "/audit/naspelen"),
    *("/audit/opvallend", "/audit/doorlooptijd", "/audit/balie", "/audit/wensen", "/audit/beslissing/N"),
    *("/audit/traces", "/audit/traces/N", "/audit/uitvoer", "/audit/inzage"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audited") / "home"
    async with served_town(folder, visitors=["wim"], more=("auditor",)) as served:
        await play_day(served, 40)
        yield served


def kind_of(address: str) -> str:
    """Return what an address has in common with others of its kind: its path, without numbers and language."""
    path = re.sub(r"^/(nl|en)(?=/|$)", "", urlsplit(address).path)
    return re.sub(r"/([0-9a-f]{32}|[0-9]+)(?=/|$)", "/N", path) or "/"


async def log_in(window, origin: str, language: str) -> None:
    await window.go(f"{origin}/{language}/audit")
    await window.page.fill("input[name=zaak]", "2026-014")
    await window.page.click("main .choice:has(input[value=femke]) label")
    async with window.page.expect_navigation():
        await window.page.click("main form.form button[type=submit]")


@pytest.mark.parametrize("language", ["nl", "en"])
async def test_every_page_of_the_console_keeps_nobody_out(town, open_window, language):
    """axe, all colours, 320 px, 200 % text, keyboard; every link leads somewhere, and nothing runs as a script."""
    origin = f"http://{town.home.addresses['auditor']}"
    seen: Counter[str] = Counter()
    known, waiting = set(), [f"/{language}/audit"]
    wrong: dict[str, list[str]] = {}
    async with open_window(origin, reduced_motion="reduce") as window:
        await log_in(window, origin, language)

        async def visit(path: str) -> list[str]:
            page = await window.context.new_page()
            try:
                answer = await page.goto(f"{origin}{path}")
                if answer is None or answer.status != 200:
                    return [f"status {answer and answer.status}"]
                if await page.locator("script:not([type='application/json'])").count():
                    return ["has a script"]
                links = await page.eval_on_selector_all("a[href]", "found => found.map((one) => one.href)")
                coming.extend(link.removeprefix(origin) for link in links)
                return await look(page) + await by_keyboard(page)
            finally:
                await page.close()

        while waiting:
            coming: list[str] = []
            wrong |= await all_of(waiting, visit)
            waiting = []
            for link in dict.fromkeys(one.split("#")[0] for one in coming):
                kind = kind_of(link)
                ours = link.startswith(f"/{language}/audit") and "/uitvoer/" not in link  # those are files
                if ours and link not in known and seen[kind] < MOST_OF_A_KIND:
                    known.add(link)
                    seen[kind] += 1
                    waiting.append(link)
    assert wrong == {}
    assert set(seen) >= LOOKED_AT, sorted(LOOKED_AT - set(seen))
