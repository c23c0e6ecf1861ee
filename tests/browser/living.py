"""Somebody who lives in a served town, at the pages with a real browser; and staff at its desk.

async with at_home(open_window, town, "anna") as anna:     # logged in
    await anna.choose(BILL, antwoord="ja", maanden="6")    # screen by screen, as people do it
    assert "Tegengehouden" in await anna.read("/mijn/uitwisselingen")
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from consent_ledger.viewer.once import FIELD, new_form
from tests.support.scenario import Report, Town

NOT_YET = "Nog niet te controleren"
LOOKS = 50
"""A published checkpoint is on its way; each look takes longer than a fifth of a second."""
SCREENS = 12
"""No choice takes more."""
RESULT = "#controle-uitslag [data-verdict]"


@dataclass
class Browser:
    """A window at one of the town's two origins."""

    window: object
    origin: str

    @property
    def page(self):
        return self.window.page

    async def read(self, path: str) -> str:
        """Go there, and read the page."""
        await self.window.go(f"{self.origin}/nl{path}")
        return await self.text()

    async def text(self) -> str:
        """What stands on the page."""
        return " ".join((await self.window.text()).split())

    async def press(self, selector: str) -> str:
        """Press a button or follow a link of the page's content; what stands on the next page."""
        async with self.page.expect_navigation():
            await self.page.locator(f"main {selector}").first.click()
        return await self.text()

    async def tick(self, name: str, value: str) -> None:
        """Choose one of the answers on the page."""
        await self.page.click(f"main .choice:has(input[name='{name}'][value='{value}']) label")

    async def asked(self) -> str:
        """The name of what the page asks first; "" when it asks nothing."""
        first = self.page.locator("main form.form input:is([type=radio], [type=checkbox])").first
        return (await first.get_attribute("name") or "") if await first.count() else ""

    async def fill_in(self, answers: Mapping[str, str]) -> str:
        """Answer screen after screen, with the first answer where none is given, until nothing is asked any more."""
        for _ in range(SCREENS):
            if not (name := await self.asked()):
                return await self.text()
            first = self.page.locator("main form.form input:is([type=radio], [type=checkbox])").first
            await self.tick(name, answers.get(name) or await first.get_attribute("value") or "")
            await self.press("form.form button[type=submit]")
        raise AssertionError("one question follows the other without end")

    async def choose(self, report: Report, **answers: str) -> str:
        """Make a choice about this sender, recipient and purpose; returns what is said when it is recorded."""
        await self.read("/mijn/toestemmingen/nieuw")
        shown = await self.fill_in({"doel": report.purpose, "van": report.sender, "naar": report.recipient, **answers})
        assert "Gemeente" in shown, shown
        return await self.press("form.form button[type=submit]")

    async def newest(self) -> str:
        """Read the page of the newest exchange."""
        await self.read("/mijn/uitwisselingen")
        return await self.press("article a[href*='/mijn/uitwisselingen/']")

    async def send(self, path: str, **fields: str):
        """Send a form that no page offers, with everything else as it would be."""
        form, headers = {FIELD: new_form(), **fields}, {"Origin": self.origin}
        return await self.window.context.request.post(f"{self.origin}/nl{path}", form=form, headers=headers)

    async def verdict(self) -> str:
        """What the device finds about the page, once the log has published what stands on it."""
        for _ in range(LOOKS):
            await self.page.wait_for_selector(RESULT)
            found = await self.page.locator(f"{RESULT} .big-number").inner_text()
            if found != NOT_YET:
                return found
            await self.page.reload()
        return NOT_YET


@asynccontextmanager
async def at_home(open_window, town: Town, who: str, **options) -> AsyncIterator[Browser]:
    """Somebody logged in at the residents' pages."""
    origin = town.home.viewer["origin"]
    async with open_window(origin, **options) as window:
        browser = Browser(window, origin)
        await browser.read("/inloggen")
        await browser.tick("wie", who)
        await browser.press("button[type=submit]")
        yield browser


@asynccontextmanager
async def at_the_desk(open_window, town: Town, who: str, **options) -> AsyncIterator[Browser]:
    """Staff logged in at the desk, with somebody's case open."""
    origin = f"http://{town.home.addresses['desk']}"
    async with open_window(origin, **options) as window:
        browser = Browser(window, origin)
        await browser.read("/balie/inloggen")
        await browser.tick("wie", "noor")
        await browser.press("button[type=submit]")
        await browser.tick("via", "balie")
        await browser.tick("gecontroleerd", "ja")
        await browser.page.fill("main input[name=bsn]", town.visitors[who].login["bsn"])
        await browser.press("form.form button[type=submit]")
        yield browser


def code_for(town: Town, who: str) -> str:
    """The code that somebody got on their own phone; what staff never sees."""
    bsn, found = town.visitors[who].login["bsn"], []
    for path in (town.home.operator("viewer").data / "post").glob("*.json"):
        order = json.loads(path.read_text("utf-8"))
        found += [order["code"]] if order["bsn"] == bsn else []
    (code,) = found
    return code
