"""The words on a page equal the proven bytes: the resident's own browser finds a changed word (R24, AS8)."""

from __future__ import annotations

import io
import re

import pytest
import pytest_asyncio
import segno

from tests.support.places import MINE, town
from tests.support.served_viewer import served_viewer

KLOPT, KLOPT_NIET = {"nl": "Klopt", "en": "Correct"}, {"nl": "Klopt niet", "en": "Not correct"}
RESULT = "#controle-uitslag [data-verdict]"
CHECKED = ("uitwisseling", "bewijs", "toestemming")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place():
    made = await town()
    async with served_viewer(made.portal) as served:
        yield made, served
    made.portal.close()
    assert served.errors == []


async def verdict_of(page) -> tuple[str, str]:
    """What the page says, and why when it says something else than yes."""
    await page.wait_for_selector(RESULT)
    said = await page.locator(f"{RESULT} .big-number").inner_text()
    return said, await page.locator(RESULT).inner_text()


@pytest.mark.parametrize("language", ["nl", "en"])
async def test_every_page_with_a_proof_klopt(place, open_window, language):
    made, served = place
    paths = made.places({name: MINE[name] for name in CHECKED})
    assert len(paths) > 10
    found = {}
    async with open_window(served.origin) as window:
        await window.log_in(served, "anna", language)
        for path in paths:
            await window.go(served.url(path, language))
            said, more = await verdict_of(window.page)
            for each in await window.page.locator(f"{RESULT} details .code").all_text_contents():
                more += each
            if said != KLOPT[language]:
                found[path] = more
            # Something was compared: not only that there is a proof.
            assert await window.page.locator("[data-fact]").count() >= 4, path
    assert found == {}


def answering(html: str):
    """The page with another text, with its headers."""

    async def changed(route) -> None:
        await route.fulfill(response=await route.fetch(), body=html)

    return changed


async def test_one_changed_word_anywhere_klopt_niet(place, open_window):
    """Whoever changes a word between the ledger and the eye: each marked word of a page in turn."""
    made, served = place
    path = made.places({"x": ("/mijn/uitwisselingen/{shared}",)})[0]
    async with open_window(served.origin) as window:
        await window.log_in(served)
        await window.go(served.url(path))
        html = await (await window.context.request.get(served.url(path))).text()
        marked = list(re.finditer(r'data-fact="(\w+)"[^>]*>([^<]+)<', html))
        assert {match[1] for match in marked} >= {"sentence", "sender", "recipient", "purpose", "item", "not_shared"}
        for match in marked:
            at = match.start(2) + match[2].index(max(match[2].split(), key=len))
            other = html[:at] + ("x" if html[at] != "x" else "y") + html[at + 1 :]

            await window.page.route(served.url(path), answering(other))
            await window.go(served.url(path))
            said, more = await verdict_of(window.page)
            assert said == KLOPT_NIET["nl"], match[1]
            assert "Fout: De woorden op deze pagina zijn gelijk aan wat er is vastgelegd." in more
            await window.page.unroute(served.url(path))


async def test_an_operator_who_edits_the_past(place, open_window):
    """AS8, the browser's part: the entry itself is changed in the ledger's database, and the page with it."""
    made, served = place
    index = made.story["refused"]
    proof, real = served.portal.proof, made.places({"x": ("/mijn/uitwisselingen/{refused}",)})[0]

    async def edited(rows, log_index):
        answer = await proof(rows, log_index)
        if log_index == index:
            lines = answer.proof.split("\n")
            extra = lines[1]
            lines[1] = extra[:120] + ("A" if extra[120] != "A" else "B") + extra[121:]
            answer.proof = "\n".join(lines)
        return answer

    served.portal.proof = edited
    try:
        async with open_window(served.origin) as window:
            await window.log_in(served)
            await window.go(served.url(real))
            said, _ = await verdict_of(window.page)
            assert said == KLOPT_NIET["nl"]
        async with open_window(served.origin, java_script_enabled=False) as window:
            await window.log_in(served)
            await window.go(served.url(real))
            assert "Onze server kon dit niet controleren" in await window.text("#controle-uitslag")
    finally:
        del served.portal.proof


async def test_without_javascript_it_says_who_checked(place, open_window):
    made, served = place
    async with open_window(served.origin, java_script_enabled=False) as window:
        await window.log_in(served)
        for path in made.places({name: MINE[name] for name in CHECKED}, each=False):
            await window.go(served.url(path))
            said = await window.text("#controle-uitslag")
            assert said == "Gecontroleerd door onze server (niet door uw apparaat)."
        await window.go(served.url("/mijn/controle"))
        assert "Onze server keek uw nieuwste regels na" in await window.text("#controle-uitslag")


async def test_the_code_as_it_is_printed(place, open_window):
    """From the page that Anna prints to the telephone of whoever reads it: the code itself never reaches a server."""
    made, served = place
    (path,) = made.places({"x": ("/mijn/uitwisselingen/{shared}/bewijs",)})
    async with open_window(served.origin) as window:
        await window.log_in(served)
        await window.go(served.url(path))
        link = await window.page.locator(".qr-beside .code").inner_text()
        drawn = await window.page.locator("svg.qr path").last.get_attribute("d")
    out = io.BytesIO()
    segno.make(link, error="m", micro=False).save(out, kind="svg", border=4, light="#fff")
    assert f'd="{drawn}"' in out.getvalue().decode(), "the code says what stands beside it"
    code = link.rpartition(".")[2]
    other = ("A" if code[0] != "A" else "B") + code[1:]
    async with open_window(served.origin) as window:
        asked: list[str] = []
        window.page.on("request", lambda request: asked.append(request.url))
        await window.go(link)
        assert (await verdict_of(window.page))[0] == KLOPT["nl"]
        assert asked
        assert [each for each in asked if code in each.partition("#")[0]] == []
        assert await window.page.locator("form.pause").count() == 0, "nobody is logged in here"
        await window.page.goto("about:blank")
        await window.go(link.replace(code, other))
        assert (await verdict_of(window.page))[0] == KLOPT_NIET["nl"]
        for broken in ("#", "#12", f"#{code}", f"#-1.{code}", "#1.x", f"#1.{code}x"):
            await window.page.goto("about:blank")
            await window.go(served.url("/controle") + broken)
            await window.page.wait_for_load_state("networkidle")
            assert await window.page.locator(RESULT).count() == 0, broken
