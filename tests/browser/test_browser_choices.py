"""Yes and no weigh the same, nothing is chosen for anybody, and stopping takes no more steps than beginning (R5, R8)."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from tests.support.ledger import ARREARS, CITY, ITEM, SUPPLIER
from tests.support.places import town
from tests.support.served_viewer import served_viewer

LOOKS = (
    "font-size",
    "font-weight",
    "color",
    "background-color",
    "border-top-color",
    "border-top-width",
    "padding-top",
    "opacity",
)
_ANSWERS = """(looks) => [...document.querySelectorAll("main .answers .choice, main .equal > *")].map((one) => {
  const style = getComputedStyle(one); const box = one.getBoundingClientRect();
  const label = getComputedStyle(one.querySelector("label") ?? one);
  return { size: [Math.round(box.width), one.matches(".choice") ? 0 : Math.round(box.height)], top: box.top, left: box.left,
    looks: looks.map((name) => [style.getPropertyValue(name), label.getPropertyValue(name)].join()) }; })"""


@asynccontextmanager
async def a_town():
    made = await town()
    async with served_viewer(made.portal) as served:
        yield made, served
    made.portal.close()
    assert served.errors == []


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place():
    """For tests that only look."""
    async with a_town() as found:
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def own_place():
    """For a test that chooses, so that others find what they look for."""
    async with a_town() as found:
        yield found


QUESTIONS = {
    "a choice": ("/mijn/toestemmingen/nieuw?doel={arrears}&van={supplier}&naar={city}&wat={item}", 4),
    "a signal waits": ("/mijn/vragen/antwoord/{asked}", 2),
    "the desk recorded": ("/mijn/vragen/bevestigen/{desk}", 2),
}


def address(made, template: str) -> str:
    return template.format(**made.story, arrears=ARREARS, supplier=SUPPLIER, city=CITY, item=ITEM[ARREARS])


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("question", QUESTIONS)
async def test_answers_look_alike(place, open_window, question, scheme, width):
    """Same size, same colours, in a row, a column or a square; so no contrast or place speaks for one of them."""
    made, served = place
    path, count = QUESTIONS[question]
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}, "reduced_motion": "reduce"}
    async with open_window(served.origin, **options) as window:
        await window.log_in(served)
        await window.go(served.url(address(made, path)))
        answers = await window.page.evaluate(_ANSWERS, list(LOOKS))
        assert len(answers) == count
        first = answers[0]
        assert [each["looks"] for each in answers] == [first["looks"]] * count
        assert [each["size"] for each in answers] == [first["size"]] * count
        # A row, a column, or a full square of them: none stands apart.
        assert len({each["left"] for each in answers}) * len({each["top"] for each in answers}) == count


@pytest.mark.parametrize("question", QUESTIONS)
async def test_answers_are_as_far_with_the_keyboard(place, open_window, question):
    """The answers are neighbours: one Tab apart when they are buttons, one arrow apart within a group."""
    made, served = place
    path, count = QUESTIONS[question]
    async with open_window(served.origin) as window:
        await window.log_in(served)
        await window.go(served.url(address(made, path)))
        answers = window.page.locator("main .answers input, main .equal > *")
        assert await answers.count() == count
        await answers.first.focus()
        radios = await answers.first.evaluate("(one) => one.type === 'radio'")
        for number in range(count):
            assert await answers.nth(number).evaluate("(one) => one === document.activeElement")
            await window.page.keyboard.press("ArrowDown" if radios else "Tab")


async def test_nothing_is_chosen_beforehand(place, open_window):
    made, served = place
    start = "/mijn/toestemmingen/nieuw"
    async with open_window(served.origin) as window:
        await window.log_in(served)
        for query in (
            "",
            "?doel={arrears}",
            "?doel={arrears}&van={supplier}",
            "?doel={arrears}&van={supplier}&naar={city}",
        ):
            for more in ("", "&wat={item}", "&wat={item}&antwoord=ja", "&wat={item}&antwoord=ja&maanden=3"):
                await window.go(served.url(address(made, start + query + (more if "naar" in query else ""))))
                assert await window.page.locator("main :checked").count() == 0


async def choose_until_recorded(page) -> int:
    """Say yes to the first of everything; returns how many screens one has to send."""
    sent = 0
    while await page.locator("main form input[type=radio], main form input[type=checkbox]").count():
        await page.locator("main .choice label").first.click()
        async with page.expect_navigation():
            await page.locator("main form button[type=submit]").first.click()
        sent += 1
        assert sent < 12
    async with page.expect_navigation():
        await page.locator("main form button[type=submit]").first.click()
    return sent + 1


@pytest.mark.parametrize("scripts", [True, False])
async def test_stopping_takes_no_more_steps_than_beginning(own_place, open_window, scripts):
    """Counted in clicks from the overview of choices, as people do it: links followed and forms sent (R5)."""
    _, served = own_place
    async with open_window(served.origin, java_script_enabled=scripts) as window:
        page = window.page
        await window.log_in(served)
        await window.go(served.url("/mijn/toestemmingen"))
        async with page.expect_navigation():
            await page.locator("main a[href$='/toestemmingen/nieuw']").first.click()
        to_grant = 1 + await choose_until_recorded(page)
        await window.go(served.url("/mijn/toestemmingen"))
        card = page.locator("main .card").filter(has=page.locator(".badge.shared")).first
        async with page.expect_navigation():
            await card.locator("a").first.click()
        to_withdraw = 1
        async with page.expect_navigation():
            await page.locator("main button[name=doe][value=stop]").click()
        to_withdraw += 1
        while await page.locator("main form.form button[value=stop]").count():
            async with page.expect_navigation():
                await page.locator("main form.form button[value=stop]").first.click()
            to_withdraw += 1
        assert await page.locator("main .notice.ok").count()
        assert to_withdraw <= to_grant
        assert to_withdraw == 2


@pytest.mark.parametrize("scripts", [True, False])
async def test_everything_stops_with_one_button_on_every_page(own_place, open_window, scripts):
    """R7: one button, wherever one is; and back again with a list of what becomes active."""
    _, served = own_place
    async with open_window(served.origin, java_script_enabled=scripts) as window:
        await window.log_in(served)
        for path in ("/mijn", "/uitleg", "/mijn/contact"):
            await window.go(served.url(path))
            assert await window.page.locator("header form.pause button").count() == 1
        async with window.page.expect_navigation():
            await window.page.click("header form.pause button")
        assert window.page.url == served.url("/mijn/pauze")
        assert served.portal.calls.count("change") >= 1
        assert "pauze" in (await window.text()).lower()
