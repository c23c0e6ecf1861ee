"""Public pages: they say what holds, for everybody, and nothing about anybody."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from consent_ledger.log.cosignature import Ed25519CosignatureSigner
from consent_ledger.purposes import CATALOGUE
from consent_ledger.viewer.checking.trust import Trust
from consent_ledger.viewer.pages.log import HIDDEN_BELOW
from consent_ledger.viewer.rendering import TEMPLATES, Renderer
from consent_ledger.viewer.settings import ViewerSettings
from consent_ledger.viewer.static import Static
from tests.support.ledger import CITY, SUPPLIER
from tests.support.portal import ANNA, BY_WEB, MemoryPortal, grant
from tests.support.viewer import ORIGIN, viewer_client

PATHS = ("", "/uitleg", "/organisaties", "/doelen", "/logboek", "/cijfers", "/toegankelijkheid", "/privacy", "/contact")


@pytest.fixture
def portal() -> MemoryPortal:
    return MemoryPortal()


@pytest.fixture
def client(portal: MemoryPortal) -> TestClient:
    return viewer_client(portal)


def test_every_template_compiles():
    environment = Renderer(Static())._environment
    names = [str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*.html")]
    assert len(names) > 10
    for name in names:
        environment.get_template(name)


@pytest.mark.parametrize("language", ["nl", "en"])
def test_each_page_has_one_heading_a_title_and_a_way_out(client: TestClient, language: str):
    for path in PATHS:
        response = client.get(f"/{language}{path}")
        assert response.status_code == 200
        text = response.text
        assert len(re.findall(r"<h1[ >]", text)) == 1, path
        assert re.search(r"<title>[^<]+ - Regie</title>", text)
        assert 'href="#inhoud"' in text
        assert 'id="inhoud"' in text
        assert f'<html lang="{language}">' in text


def test_links_of_public_pages_lead_somewhere(client: TestClient):
    found = {link for path in PATHS for link in re.findall(r'href="(/nl[^"#?]*)', client.get(f"/nl{path}").text)}
    assert len(found) > len(PATHS)
    assert [link for link in sorted(found) if client.get(link).status_code not in (200, 303)] == []


def test_nothing_comes_from_elsewhere(client: TestClient):
    for path in PATHS:
        text = client.get(f"/nl{path}").text
        assert not re.findall(r'(?:src|action)="(?!/)[^"]*"|<link[^>]+href="(?!/)[^"]*"', text)
        assert "style=" not in text
        assert not re.findall(r"<script(?![^>]*src=)", text)


def test_the_first_page_says_that_nothing_has_to_be_done(client: TestClient):
    text = client.get("/nl").text
    assert "U hoeft niets te doen" in text
    assert "Er verandert niets aan uw uitkering, toeslag of energiecontract" in text


def test_every_purpose_says_what_is_shared_and_what_never(client: TestClient):
    for language in ("nl", "en"):
        text = client.get(f"/{language}/doelen").text
        for purpose in CATALOGUE:
            assert f'id="{purpose.id}"' in text
            shown = getattr(purpose.prohibited_because if purpose.prohibited else purpose.legal_ground, language)
            assert shown in text


def test_prohibited_purposes_have_no_control_anywhere(client: TestClient):
    text = client.get("/nl/doelen").text
    tail = text[text.index("Dit mag nooit") : text.index("<footer")]
    assert "<form" not in tail
    assert "<a " not in tail


def test_public_and_private_are_told_apart(client: TestClient):
    text = client.get("/nl/organisaties").text
    assert text.index("<h2>Overheid</h2>") < text.index("<h2>Bedrijven</h2>") < text.index("<h2>Wie laat Regie werken?")
    one = client.get(f"/nl/organisaties/{SUPPLIER}").text
    assert "Hulp bij een energierekening" in one
    assert "Deze organisatie krijgt niets over u." in one
    assert "Deze organisatie geeft niets over u door." in client.get(f"/nl/organisaties/{CITY}").text


@pytest.mark.parametrize("oin", ["00000099000000099999", "x", "%2e%2e"])
def test_an_organisation_that_is_none_is_not_found(client: TestClient, oin: str):
    assert client.get(f"/nl/organisaties/{oin}").status_code == 404


def test_the_log_page_shows_what_is_signed(portal: MemoryPortal, client: TestClient):
    with portal.ledger.sequencer.reader.snapshot() as snapshot:
        head = snapshot.head()
    text = client.get("/nl/logboek").text
    assert head.root.hex() in text
    assert f">{head.size}<" in text
    assert portal.log_verifier_keys.split()[0] in text.replace("&#43;", "+")
    assert "Dit logboek heeft geen getuigen" in text


def test_a_checkpoint_that_nobody_signed_is_not_shown(portal: MemoryPortal, client: TestClient):
    async def forged() -> str:
        return "ledger.example/log\n5\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— ledger.example/log AAAA\n"

    portal.checkpoint = forged  # type: ignore[method-assign]
    for path in ("/nl/logboek", "/nl/cijfers"):
        response = client.get(path)
        assert response.status_code == 502
        assert "Wij vertrouwen dit antwoord niet" in response.text


def test_without_the_witnesses_it_needs_the_log_is_not_shown(portal: MemoryPortal):
    key = Ed25519CosignatureSigner("w.example/w", bytes(32)).verifier.format()
    trust = Trust((), 1, ((key,),))
    client = viewer_client(portal, settings=ViewerSettings(ORIGIN, demo=True, trust=trust))
    assert client.get("/nl/logboek").status_code == 502


async def test_small_numbers_about_residents_are_not_told(portal: MemoryPortal, client: TestClient):
    rows = await portal.rows(ANNA)
    assert _number(client, "Daarvan over inwoners") == "0"
    await portal.change(rows, BY_WEB, grant())
    assert _number(client, "Daarvan over inwoners") == f"Minder dan {HIDDEN_BELOW}"
    for _ in range(HIDDEN_BELOW - 1):
        portal.clock.forward(ms=1)
        await portal.change(rows, BY_WEB, grant())
    assert _number(client, "Daarvan over inwoners") == str(HIDDEN_BELOW)


def _number(client: TestClient, label: str) -> str:
    found = re.search(rf"{label}[^<]*</th><td[^>]*>([^<]+)</td>", client.get("/nl/cijfers").text)
    assert found
    return found[1]


def test_a_ledger_that_is_away_is_said_to_be(portal: MemoryPortal, client: TestClient):
    portal.fails = "LEDGER_UNAVAILABLE"
    assert client.get("/nl").status_code == 200, "what needs no ledger still works"
    for path in ("/nl/organisaties", "/nl/logboek", "/nl/cijfers"):
        response = client.get(path)
        assert response.status_code == 503
        assert "Het lukt nu even niet" in response.text


def test_the_operator_is_reached_as_the_settings_say(portal: MemoryPortal):
    settings = ViewerSettings(ORIGIN, demo=True, operator="Stichting X", phone="0800 12 34", email="a@b.example")
    text = viewer_client(portal, settings=settings).get("/nl/contact").text
    assert "Stichting X" in text
    assert 'href="tel:08001234"' in text
    assert 'href="mailto:a@b.example"' in text
    bare = viewer_client(portal, settings=replace(settings, phone="", email="")).get("/nl/contact").text
    assert "aan de balie van uw gemeente" in bare
