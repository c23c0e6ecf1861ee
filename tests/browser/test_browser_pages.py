"""Every page as everybody may see it: with and without JavaScript, in both languages, in all colours, narrow and wide."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from looking import all_of, by_keyboard, look, without_scripts

from consent_ledger.lifeevents import LIFE_EVENTS
from consent_ledger.viewer.once import FIELD, new_form
from tests.support.places import AT_THE_DESK, DESK, INVITED, MINE, PUBLIC, town
from tests.support.portal import ANNA
from tests.support.served_viewer import served_viewer

pytestmark = pytest.mark.timeout(600)
VISITORS = {"nobody": PUBLIC, "anna": MINE, "helper": INVITED}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place():
    made = await town()
    async with served_viewer(made.portal) as served:
        yield made, served
    made.portal.close()
    assert served.errors == []


@pytest.fixture(scope="module")
def visiting(place, open_window):
    """A window of one of the visitors, where everything is ready for the pages that need something before them."""
    _, served = place

    @asynccontextmanager
    async def opened(who: str, language: str, **options):
        async with open_window(served.origin, reduced_motion="reduce", **options) as window:
            if who != "nobody":
                await window.log_in(served, who, language)
            if who == "anna":
                # What changed is remembered for a visit; the pages after it need it.
                form = {FIELD: new_form(), "wat": LIFE_EVENTS[0].id}
                said = {"form": form, "headers": {"Origin": served.origin}}
                answer = await window.context.request.post(served.url("/mijn/verandering", language), **said)
                assert answer.url == served.url("/mijn/verandering/keuzes", language)
            yield window

    return opened


async def in_windows(window, served, language, paths, visit):
    """Visit addresses in windows of one visitor, several at a time; each failure by its address."""

    async def one(path: str) -> list[str]:
        page = await window.context.new_page()
        try:
            answer = await page.goto(served.url(path, language))
            if answer.status != 200:
                return [f"status {answer.status}"]
            if await page.locator("#bewijs, [data-chains]").count():
                await page.wait_for_selector("[data-verdict]")  # then the page has changed for the last time
            return await visit(page, await answer.text(), path)
        finally:
            await page.close()

    return await all_of(paths, one)


@pytest.mark.parametrize("language", ["nl", "en"])
@pytest.mark.parametrize("who", VISITORS)
async def test_nobody_is_kept_out(place, visiting, who, language):
    """axe (WCAG 2.2 AA) finds nothing, in light, dark and forced colours, at 1280 and 320 px, nor is anything cut off.

    A page that has scripts is looked at twice: once as it is with JavaScript, once as it is without. All states of a
    page are seen in Dutch: in English it is the same page with other words.
    """
    made, served = place
    once = set(made.places(VISITORS[who], each=False))
    wanted = made.places(VISITORS[who], each=language == "nl")

    async def visit(page, html: str, path: str) -> list[str]:
        found = await look(page)
        if path in once and ("<script" in html or "<noscript" in html):
            await page.route(
                page.url, lambda route: route.fulfill(body=without_scripts(html), content_type="text/html")
            )
            await page.reload()
            found += [f"without JavaScript, {each}" for each in await look(page)]
        return found

    async with visiting(who, language) as window:
        assert await in_windows(window, served, language, wanted, visit) == {}


@pytest_asyncio.fixture(loop_scope="session")
async def at_the_desk(place, open_window):
    """What staff sees, page by page: ``await at_the_desk(language, visit)`` returns what was wrong, by address.

    As they come: before logging in, before a case, with a case of Anna's, and once she was sent a code.
    """
    made, _ = place

    async def through(language: str, visit) -> dict[str, list[str]]:
        async with (
            served_viewer(made.portal, desk=True) as served,
            open_window(served.origin, reduced_motion="reduce") as window,
        ):

            async def send(path: str, **fields: str) -> None:
                url = served.url(path, language)
                form = {FIELD: new_form(), **fields}
                answer = await window.context.request.post(url, form=form, headers={"Origin": served.origin})
                assert answer.status == 200, await answer.text()

            async def see(*names: str, **more: tuple[str, ...]) -> None:
                paths = made.places({**{name: DESK[name] for name in names}, **more})
                found.update(await in_windows(window, served, language, paths, visit))

            found: dict[str, list[str]] = {}
            await see("desk_login")
            await send("/balie/inloggen", wie="mia")
            await see("desk")
            await send("/balie", via="balie", gecontroleerd="ja", bsn=ANNA.bsn)
            await see("desk_case", "desk_choice", "desk_letter")
            await send("/balie/zaak/code", kanaal="1", bsn=ANNA.bsn, **AT_THE_DESK)
            await see(code_sent=DESK["desk_choice"][:1])
            assert served.errors == []
        return found

    return through


@pytest.mark.parametrize("language", ["nl", "en"])
async def test_the_desk(at_the_desk, language):
    """The same for the pages of the desk's staff, which have no scripts; and by keyboard."""

    async def visit(page, html: str, _path: str) -> list[str]:
        scripts = ["a script"] if "<script" in html or "<noscript" in html else []
        return scripts + await look(page) + await by_keyboard(page)

    assert await at_the_desk(language, visit) == {}


@pytest.mark.parametrize("who", VISITORS)
async def test_with_a_keyboard_only(place, visiting, who):
    made, served = place
    async with visiting(who, "nl") as window:
        pages = made.places(VISITORS[who])
        assert await in_windows(window, served, "nl", pages, lambda page, *_: by_keyboard(page)) == {}


async def on_paper(page, *_) -> list[str]:
    """Printed, what can only be clicked is gone, and everything that was there to be read is there in black."""
    words = await page.locator("main h1").inner_text()
    await page.emulate_media(media="print", color_scheme="dark")
    found = [] if await page.locator("main h1").inner_text() == words else ["the heading is gone"]
    for gone in (".menu", ".languages", ".skip"):
        found += [f"{gone} is printed"] if await page.locator(gone).is_visible() else []
    colours = await page.evaluate(
        "['body', 'main', 'h1'].map((one) => getComputedStyle(document.querySelector(one))).map((s) => [s.color, s.backgroundColor])"
    )
    white = {"rgba(0, 0, 0, 0)", "rgb(255, 255, 255)"}
    return found + [f"{each} on paper" for each in colours if each[0] != "rgb(0, 0, 0)" or each[1] not in white]


@pytest.mark.parametrize("who", VISITORS)
async def test_on_paper(place, visiting, who):
    made, served = place
    async with visiting(who, "nl") as window:
        assert await in_windows(window, served, "nl", made.places(VISITORS[who], each=False), on_paper) == {}


async def test_the_desk_on_paper(at_the_desk):
    assert await at_the_desk("nl", on_paper) == {}


async def test_the_record_of_a_bad_page_would_show(open_window):
    """The instruments find what they look for: a page with everything wrong is called wrong in every way."""
    bad = """<!doctype html><html><head><meta name="viewport" content="width=device-width"><title>x</title></head>
      <body><header></header><main><h1>x</h1><p style="color:#999;background:#aaa">low</p><a href="#a"></a><input>
      <div style="inline-size:90rem">wide</div><button style="outline:none" tabindex="3">b</button><button>c</button>
      <style>:focus-visible{outline:none}</style></main></body></html>"""
    async with open_window("http://localhost", quiet=False) as window:
        await window.page.route("**/*", lambda route: route.fulfill(body=bad, content_type="text/html"))
        await window.go("http://localhost/")
        said = await look(window.page)
        for expected in ("html-has-lang", "color-contrast", "link-name", "label", "320: scrolls sideways"):
            assert any(expected in each for each in said), (expected, said)
        assert any("200 %" in each for each in said)
        assert any("Tab 1" in each or "cannot be seen" in each for each in await by_keyboard(window.page))
