"""/controle, the file to keep, and one's own chains, in a real browser."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode

import pytest
import pytest_asyncio

from consent_ledger.events import commitment, committed_entry
from consent_ledger.log.merkle import leaf_hash
from consent_ledger.v1.consents_pb2 import Withdraw
from consent_ledger.viewer.checking.proving import bundle_for
from consent_ledger.viewer.checking.trust import Trust
from tests.support.checking import HERE, WITNESSES
from tests.support.ledger import SIGNER, scope
from tests.support.portal import ANNA, BEN, BY_WEB, MemoryPortal, grant
from tests.support.served_viewer import served_viewer

KLOPT, NOG_NIET, KLOPT_NIET = "Klopt", "Nog niet te controleren", "Klopt niet"
RESULT = "#controle-uitslag [data-verdict]"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def exchange(served):
    """Anna agreed, was shared once, and stopped; the index of the decision."""
    portal, rows = served.portal, await served.portal.rows(ANNA)
    await portal.change(rows, BY_WEB, grant())
    sent = portal.send(ANNA)
    portal.collect(sent)
    await portal.change(rows, BY_WEB, Withdraw(scope=scope()))
    portal.send(ANNA)
    return sent.log_index


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bundle(served, exchange):
    rows = await served.portal.rows(ANNA)
    entry = await served.portal.entry(rows, exchange)
    return await bundle_for(served.portal, rows, [exchange, *(one.log_index for one in entry.followed)])


async def verdict(page) -> str:
    return await page.locator(f"{RESULT} .big-number").inner_text()


async def choose(page, name: str, content: str) -> str:
    await page.set_input_files("#bewijsbestand", {"name": name, "mimeType": "text/plain", "buffer": content.encode()})
    await page.wait_for_selector(RESULT)
    return await verdict(page)


async def test_a_proof_file_is_checked_on_the_device(served, bundle, open_window):
    async with open_window(served.origin) as window:
        await window.go(served.url("/controle"))
        await window.page.wait_for_load_state("networkidle")
        asked = []
        window.page.on("request", lambda request: asked.append(request.url))
        assert await choose(window.page, "bewijs.json", bundle.to_json()) == KLOPT
        await window.page.click("summary")
        said = await window.text("#controle-uitslag")
        registry = await served.portal.registry()
        assert registry.purpose("vroegsignalering-energie").title.nl in said
        assert "Gedeeld. U gaf hiervoor toestemming op" in said
        assert asked == [], "the file stays on the device"


@pytest.mark.parametrize("language", ["nl", "en"])
async def test_a_changed_file(served, bundle, open_window, language):
    async with open_window(served.origin) as window:
        await window.go(served.url("/controle", language))
        values = json.loads(bundle.to_json())
        event = values["entries"][0]["event"]
        values["entries"][0]["event"] = event[:40] + ("A" if event[40] != "A" else "B") + event[41:]
        assert (
            await choose(window.page, "x.json", json.dumps(values)) == {"nl": KLOPT_NIET, "en": "Not correct"}[language]
        )
        said = await window.text(RESULT)
        assert ("neem contact met ons op" if language == "nl" else "contact us") in said


async def test_the_file_to_keep_works_without_any_server(served, bundle, open_window, tmp_path):
    async with open_window(served.origin, accept_downloads=True) as window:
        await window.go(served.url("/controle"))
        promised = await window.text("#programma-sha256")
        async with window.page.expect_download() as download:
            await window.page.click("a[download]")
        path = tmp_path / "regie-controle.html"
        await (await download.value).save_as(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == promised
    async with open_window(offline=True) as window:
        await window.page.goto(path.as_uri())
        proof = bundle.entries[0].receipt.format()
        assert await choose(window.page, "x.tlog-proof", proof) == KLOPT
        assert await choose(window.page, "x.json", bundle.to_json()) == KLOPT
        await window.page.set_input_files(
            "#bewijsbestand",
            {"name": "x", "mimeType": "text/plain", "buffer": proof.replace("index ", "index 1").encode()},
        )
        await window.page.wait_for_selector('[data-verdict="wrong"]')
        await window.page.click("button[lang=en]")
        await window.page.locator(".big-number", has_text="Not correct").wait_for()
        assert SIGNER.verifier.format() in await window.text("#sleutels")
        assert window.foreign == []


async def test_without_javascript_the_server_says_that_it_did_it(served, bundle, open_window):
    async with open_window(served.origin, java_script_enabled=False) as window:
        for content, status, expected in (
            (bundle.to_json(), 200, "Klopt, volgens onze server (niet volgens uw apparaat)"),
            (bundle.entries[0].receipt.format(), 200, "Klopt, volgens onze server"),
            (bundle.to_json().replace('"index":"', '"index":"1', 1), 422, "Klopt niet, volgens onze server"),
            ("hallo", 422, "Klopt niet, volgens onze server"),
        ):
            await window.go(served.url("/controle"))
            file = {"name": "x", "mimeType": "text/plain", "buffer": content.encode()}
            await window.page.set_input_files("#bewijsbestand", file)
            async with window.page.expect_navigation() as answer:
                await window.page.click("main form button")
            assert (await answer.value).status == status
            assert expected in await window.text()
        window.complaints.clear()  # the browser calls status 422 an error


async def test_ones_own_chains(served, exchange, open_window):
    async with open_window(served.origin) as window:
        await window.log_in(served)
        await window.go(served.url("/mijn/controle"))
        await window.page.wait_for_selector(RESULT)
        assert await verdict(window.page) == KLOPT
        assert "Er ontbreekt geen regel over u" in await window.text(RESULT)


async def test_a_hidden_entry_about_me(served, exchange, open_window):
    """AS9: the operator leaves one entry out of what it shows me; the gap shows."""

    async def hide(route):
        answer = await route.fetch()
        values = await answer.json()
        links = values["chains"][0]["links"]
        if len(links) > 2:
            del links[1]
        await route.fulfill(response=answer, body=json.dumps(values))

    async with open_window(served.origin) as window:
        await window.log_in(served)
        await window.page.route("**/mijn/controle/keten**", hide)
        await window.go(served.url("/mijn/controle"))
        await window.page.wait_for_selector(RESULT)
        assert await verdict(window.page) == KLOPT_NIET
        await window.page.click(f"{RESULT} summary")
        assert "missing" in await window.text(RESULT)


async def test_nothing_is_remembered_unless_asked(served, exchange, open_window):
    """Then the log may not go back, change, or lose entries of mine."""
    stored = "localStorage.getItem('regie/logboek')"
    async with open_window(served.origin) as window:
        await window.log_in(served)
        await window.go(served.url("/mijn/controle"))
        await window.page.wait_for_selector(RESULT)
        assert await window.page.evaluate("localStorage.length") == 0
        await window.page.click("#onthouden button")
        kept = json.loads(await window.page.evaluate(stored))
        served.portal.send(ANNA)
        await window.page.reload()
        await window.page.wait_for_selector(f"{RESULT} [data-step=since]")
        assert await verdict(window.page) == KLOPT
        grown = json.loads(await window.page.evaluate(stored))
        assert int(grown["size"]) > int(kept["size"])
        # Another history, up to the size that was seen.
        other = {**grown, "root": "A" * 43 + "="}
        await window.page.evaluate("(value) => localStorage.setItem('regie/logboek', JSON.stringify(value))", other)
        await window.page.reload()
        await window.page.wait_for_selector(RESULT)
        assert await verdict(window.page) == KLOPT_NIET
        # Fewer entries of mine than last time.
        subject, end = next(iter(grown["chains"].items()))
        other = {**grown, "chains": {subject: {**end, "seq": end["seq"] + 1}}}
        await window.page.evaluate("(value) => localStorage.setItem('regie/logboek', JSON.stringify(value))", other)
        await window.page.reload()
        await window.page.wait_for_selector(RESULT)
        assert await verdict(window.page) == KLOPT_NIET
        await window.page.click("#onthouden button")
        assert await window.page.evaluate("localStorage.length") == 0


async def test_not_enough_witnesses_is_not_yet(open_window):
    portal = MemoryPortal()
    rows = await portal.rows(ANNA)
    (index,) = await portal.change(rows, BY_WEB, grant())
    text = (await bundle_for(portal, rows, [index])).to_json()
    trust = Trust(HERE.log_keys, 1, tuple((one.verifier.format(),) for one in WITNESSES))
    async with served_viewer(portal, trust=trust) as served, open_window(served.origin) as window:
        await window.go(served.url("/controle"))
        assert await choose(window.page, "x.json", text) == NOG_NIET
        assert "getuigen" in await window.text(RESULT)
    portal.close()


async def test_a_browser_that_cannot(served, bundle, open_window):
    """No Ed25519: it says so, and who did check."""
    async with open_window(served.origin) as window:
        await window.page.add_init_script(
            "SubtleCrypto.prototype.importKey = async () => { throw new DOMException('', 'NotSupportedError') }"
        )
        await window.go(served.url("/controle"))
        assert await choose(window.page, "x.tlog-proof", bundle.entries[0].receipt.format()) == NOG_NIET
        assert "Gecontroleerd door onze server (niet door uw apparaat)" not in await window.text(RESULT)
        assert "nieuwere browser" in await window.text(RESULT)


async def test_the_code_on_paper(served, bundle, exchange, open_window):
    """The QR code of a printed proof names a place and a leaf; somebody else's browser compares them with the log."""
    receipt = bundle.entries[0].receipt
    leaf = leaf_hash(committed_entry(commitment(receipt.extra[:32], receipt.extra[32:])))
    code = urlsafe_b64encode(leaf).decode().rstrip("=")
    async with open_window(served.origin) as window:
        await window.go(f"{served.url('/controle')}#{receipt.index}.{code}")
        await window.page.wait_for_selector(RESULT)
        assert await verdict(window.page) == KLOPT
        await window.page.evaluate(f"location.hash = '{receipt.index + 1}.{code}'")
        await window.page.wait_for_selector('[data-verdict="wrong"]')
        assert await verdict(window.page) == KLOPT_NIET


async def test_what_was_erased_is_no_gap_that_worries(served, open_window):
    """An erasure stands in the chain itself: what is gone below it is counted, and nothing is called hidden."""
    rows = await served.portal.rows(BEN)
    await served.portal.change(rows, BY_WEB, grant())
    await served.portal.erase(rows, BY_WEB)
    async with open_window(served.origin) as window:
        await window.log_in(served, "ben")
        await window.go(served.url("/mijn/controle"))
        await window.page.wait_for_selector(RESULT)
        assert await verdict(window.page) == KLOPT
        assert await window.page.locator(f"{RESULT} [data-step=erased]").count() == 1
