"""The demo login, representatives, and going back to where one was."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.v1 import events_pb2
from consent_ledger.viewer.login.demo import DemoLogin
from consent_ledger.viewer.login.entering import represented
from consent_ledger.viewer.session import MemoryStore
from consent_ledger.viewer.settings import SettingsError, ViewerSettings
from tests.support.portal import ANNA, BY_WEB, MemoryPortal
from tests.support.viewer import ORIGIN, PEOPLE, log_in, post, viewer_client


@pytest.fixture
def portal() -> MemoryPortal:
    return MemoryPortal()


@pytest.fixture
def client(portal: MemoryPortal) -> TestClient:
    return viewer_client(portal)


async def _invited(portal: MemoryPortal, mandate: events_pb2.Mandate.ValueType = events_pb2.MANDATE_STOP) -> str:
    rows = await portal.rows(ANNA)
    invited = await portal.invite(rows, BY_WEB, mandate=mandate, relation=events_pb2.RELATION_FAMILY, months=3)
    return invited.code


def test_outside_a_demo_it_refuses_to_start(portal: MemoryPortal):
    with pytest.raises(SettingsError, match="demo login"):
        viewer_client(portal, settings=ViewerSettings(ORIGIN))


def test_nobody_is_chosen_beforehand(client: TestClient):
    text = client.get("/nl/inloggen").text
    assert text.count('type="radio"') == len(PEOPLE)
    assert "checked" not in text


def test_without_a_choice_nobody_is_logged_in(client: TestClient):
    for fields in ({}, {"wie": "koning"}):
        response = post(client, "/nl/inloggen", fields)
        assert response.status_code == 422
        assert "Kies een persoon" in response.text
        assert 'href="#veld-wie"' in response.text
        assert "set-cookie" not in response.headers


def test_logging_in_and_out(client: TestClient):
    assert log_in(client).headers["location"] == "/nl/mijn"
    assert "Uitloggen" in client.get("/nl").text
    assert post(client, "/nl/uitloggen").headers["location"] == "/nl/uitgelogd"
    text = client.get("/nl/uitgelogd").text
    assert "Sluit dan alle vensters" in text
    assert client.get("/nl/mijn").status_code == 303


def test_the_identifier_is_in_no_session(portal: MemoryPortal):
    store = MemoryStore()
    client = viewer_client(portal, store=store)
    log_in(client)
    (sealed,) = store.sealed.values()
    assert ANNA.bsn.encode() not in sealed
    assert ANNA.bsn not in str(client.cookies)
    assert ANNA.bsn not in repr(PEOPLE)


@pytest.mark.parametrize(
    ("asked", "goes"),
    [
        ("/nl/mijn/uitwisselingen?blad=2", "/nl/mijn/uitwisselingen?blad=2"),
        ("/en/mijn", "/en/mijn"),
        ("", "/nl/mijn"),
        ("/nl", "/nl/mijn"),
        ("//evil.example/nl/mijn", "/nl/mijn"),
        ("https://evil.example/nl/mijn", "/nl/mijn"),
        ("/nl/mijn\\@evil.example", "/nl/mijn"),
        ("/nl/mijnheer", "/nl/mijn"),
        ("/nl/mijn/x\r\nSet-Cookie: a=b", "/nl/mijn"),
    ],
)
def test_one_comes_back_to_ones_own_pages_only(client: TestClient, asked: str, goes: str):
    assert post(client, "/nl/inloggen", {"wie": "anna", "naar": asked}).headers["location"] == goes


def test_the_page_asked_for_is_carried_through_the_login(client: TestClient):
    location = client.get("/nl/mijn/uitwisselingen?blad=2").headers["location"]
    assert 'value="/nl/mijn/uitwisselingen?blad=2"' in client.get(location).text
    assert "U was een tijd weg" in client.get("/nl/inloggen?weg=1").text


async def test_a_representative_needs_the_code_and_then_sees_what_was_given(portal: MemoryPortal, client: TestClient):
    code = await _invited(portal)
    assert log_in(client, "helper").headers["location"] == "/nl/inloggen/uitnodiging"
    assert client.get("/nl/mijn").status_code == 403, "without the code, nothing"
    wrong = post(client, "/nl/inloggen/uitnodiging", {"code": "0000-0000"})
    assert wrong.status_code == 422
    assert "Deze code is niet bekend" in wrong.text
    empty = post(client, "/nl/inloggen/uitnodiging", {"code": " "})
    assert "Vul dit in" in empty.text
    right = post(client, "/nl/inloggen/uitnodiging", {"code": code.lower()})
    assert right.headers["location"] == "/nl/mijn"
    text = client.get("/nl/privacy").text
    assert "U kijkt hier voor iemand anders" in text
    assert "Zet alles op pauze" in text, "this mandate may stop"


async def test_the_next_time_the_code_is_not_asked_again(portal: MemoryPortal, client: TestClient):
    code = await _invited(portal, events_pb2.MANDATE_LOOK)
    log_in(client, "helper")
    post(client, "/nl/inloggen/uitnodiging", {"code": code})
    post(client, "/nl/uitloggen")
    assert log_in(client, "helper").headers["location"] == "/nl/mijn"
    assert "Zet alles op pauze" not in client.get("/nl/privacy").text, "this one may only look"


async def test_a_code_is_of_use_once(portal: MemoryPortal, client: TestClient):
    code = await _invited(portal)
    log_in(client, "helper")
    post(client, "/nl/inloggen/uitnodiging", {"code": code})
    post(client, "/nl/uitloggen")
    portal.login_hash = lambda _login: bytes(32)  # type: ignore[method-assign]  # somebody else's account
    assert log_in(client, "helper").headers["location"] == "/nl/inloggen/uitnodiging"
    assert post(client, "/nl/inloggen/uitnodiging", {"code": code}).status_code == 422


def test_only_who_was_invited_is_asked_for_a_code(client: TestClient):
    assert client.get("/nl/inloggen/uitnodiging").headers["location"] == "/nl/inloggen"
    log_in(client)
    assert post(client, "/nl/inloggen/uitnodiging", {"code": "x"}).headers["location"] == "/nl/inloggen"


async def test_a_representation_for_one_purpose_holds_its_rows_only(portal: MemoryPortal):
    rows = [pb.Rows(purpose="a", elements=[bytes(32)]), pb.Rows(purpose="b", elements=[bytes(32)])]
    held = pb.RepresentativeRecord(reference=b"\x01" * 16, mandate=events_pb2.MANDATE_CHOOSE, purposes=["b"])
    resident = represented(rows, held)
    assert resident.purposes == {"b"}
    assert resident.may == {"look", "stop", "choose"}
    assert represented(rows, pb.RepresentativeRecord(mandate=events_pb2.MANDATE_LOOK)).purposes == {"a", "b"}


def test_an_outage_at_login_is_said_to_be_one(portal: MemoryPortal, client: TestClient):
    portal.fails = "EVALUATOR_UNAVAILABLE"
    response = post(client, "/nl/inloggen", {"wie": "anna"})
    assert response.status_code == 503
    assert "Het lukt nu even niet" in response.text
    assert client.get("/nl/mijn").status_code == 303, "and nobody is logged in"


def test_a_demo_without_a_town_offers_nobody(portal: MemoryPortal):
    text = viewer_client(portal, login=DemoLogin([])).get("/nl/inloggen").text
    assert "In dit voorbeeld woont nog niemand" in text
    assert 'type="radio"' not in text
