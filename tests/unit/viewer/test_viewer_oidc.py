"""Logging in with OpenID Connect: against a mock that others wrote, and against answers that must not be believed."""

from __future__ import annotations

import hashlib
import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.testclient import TestClient

from consent_ledger.v1 import events_pb2
from consent_ledger.viewer.login.oidc import OidcLogin, visitor_of
from consent_ledger.viewer.login.provider import LoginError, OidcSettings
from consent_ledger.viewer.session import LOGIN_MS, MemoryStore
from consent_ledger.viewer.settings import SettingsError
from tests.support.ledger import Time
from tests.support.oidc import CLIENT_ID, HIGH, ISSUER, LOW, SUBSTANTIAL, LoginService, by_hand, client_key
from tests.support.portal import ANNA, BY_WEB, MemoryPortal
from tests.support.viewer import ORIGIN, post, viewer_client

CLAIMS = {"sub": "pairwise of anna", "acr": SUBSTANTIAL, "bsn": ANNA.bsn}


@pytest.fixture
def portal() -> MemoryPortal:
    return MemoryPortal()


@pytest.fixture
def service(portal: MemoryPortal) -> LoginService:
    return LoginService(dict(CLAIMS), portal.clock)


@pytest.fixture
def client(portal: MemoryPortal, service: LoginService) -> TestClient:
    return viewer_client(portal, login=OidcLogin(service.settings(), service.transport))


def _inside(client: TestClient) -> bool:
    return "Uitloggen" in client.get("/nl/privacy").text


# -- a mock that others wrote ---------------------------------------------------------------------------------------


@pytest.fixture
def provider() -> Iterator[str]:
    from oidc_provider_mock import User, run_server_in_thread  # noqa: PLC0415  (importing it warns, and warnings are errors)

    people = [User(sub="anna", claims=CLAIMS | {"sub": "anna"}), User(sub="low", claims={"acr": LOW, "bsn": ANNA.bsn})]
    with run_server_in_thread(user_claims=people) as server:
        yield f"http://localhost:{server.server_port}"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("sub", "inside"), [("anna", True), ("low", False)])
def test_a_login_at_a_provider_that_others_wrote(provider: str, sub: str, inside: bool):
    portal = MemoryPortal(Time(time.time_ns() // 1_000_000))
    settings = OidcSettings(provider, CLIENT_ID, (SUBSTANTIAL,), secret="any")
    client = viewer_client(portal, login=OidcLogin(settings))
    there = client.get("/nl/inloggen/dienst?naar=/nl/mijn/vragen").headers["location"]
    back = httpx2.post(there, data={"sub": sub}).headers["location"]
    assert back.startswith(f"{ORIGIN}/nl/inloggen/terug?")
    response = client.get(back.removeprefix(ORIGIN))
    assert response.status_code == (303 if inside else 403)
    assert _inside(client) is inside
    if inside:
        assert response.headers["location"] == "/nl/mijn/vragen"
    else:
        assert "niet veilig genoeg" in response.text


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_who_stops_at_the_provider_is_not_blamed(provider: str):
    portal = MemoryPortal(Time(time.time_ns() // 1_000_000))
    settings = OidcSettings(provider, CLIENT_ID, (SUBSTANTIAL,), secret="any")
    client = viewer_client(portal, login=OidcLogin(settings))
    there = client.get("/en/inloggen/dienst").headers["location"]
    back = httpx2.post(there, data={"action": "deny"}).headers["location"]
    back += "" if "state=" in back else f"&state={parse_qs(there.partition('?')[2])['state'][0]}"
    response = client.get(back.removeprefix(ORIGIN))
    assert "You stopped at the login service" in response.text


# -- what is asked --------------------------------------------------------------------------------------------------


def test_what_the_viewer_asks_of_the_service(service: LoginService, client: TestClient):
    asked = service.begin(client, language="en")
    assert asked["response_type"] == "code"
    assert asked["client_id"] == CLIENT_ID
    assert asked["redirect_uri"] == f"{ORIGIN}/en/inloggen/terug"
    assert asked["acr_values"] == f"{SUBSTANTIAL} {HIGH}"
    assert asked["ui_locales"] == "en"
    assert asked["code_challenge_method"] == "S256"
    service.back(client, "en")
    (sent,) = service.token_requests
    body = parse_qs(sent.content.decode())
    challenge = urlsafe_b64encode(hashlib.sha256(body["code_verifier"][0].encode()).digest()).decode().rstrip("=")
    assert challenge == asked["code_challenge"]
    assert body["redirect_uri"] == [asked["redirect_uri"]]
    assert sent.headers["authorization"].startswith("Basic ")


def test_every_login_has_its_own_state_nonce_and_verifier(service: LoginService, client: TestClient):
    first, second = service.begin(client), service.begin(client)
    assert not {first[name] for name in ("state", "nonce", "code_challenge")} & set(second.values())


def test_a_client_with_a_private_key_signs_for_itself(portal: MemoryPortal, service: LoginService):
    key = client_key()
    login = OidcLogin(service.settings(private_key=key.as_pem(private=True).decode()), service.transport)
    client = viewer_client(portal, login=login)
    assert service.log_in(client).status_code == 303
    body = parse_qs(service.token_requests[0].content.decode())
    claims = jwt.decode(body["client_assertion"][0], key, algorithms=["PS256"]).claims
    assert (claims["iss"], claims["sub"], claims["aud"]) == (CLIENT_ID, CLIENT_ID, f"{ISSUER}/token")
    assert "client_secret" not in body


# -- what is believed -----------------------------------------------------------------------------------------------


def test_a_login_keeps_no_identifier(portal: MemoryPortal, service: LoginService):
    store = MemoryStore()
    client = viewer_client(portal, login=OidcLogin(service.settings(), service.transport), store=store)
    assert service.log_in(client, "/nl/mijn/pauze").headers["location"] == "/nl/mijn/pauze"
    assert len(store.sealed) == 1, "that of the login under way is gone"
    assert ANNA.bsn.encode() not in next(iter(store.sealed.values()))
    assert _inside(client)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"nonce": "of another login"}, "niet gelukt"),
        ({"nonce": None}, "niet gelukt"),
        ({"iss": "https://evil.example"}, "niet gelukt"),
        ({"aud": "another client"}, "niet gelukt"),
        ({"aud": ["another client"]}, "niet gelukt"),
        ({"azp": "another client"}, "niet gelukt"),
        ({"exp": 1}, "niet gelukt"),
        ({"exp": None}, "niet gelukt"),
        ({"sub": None}, "niet gelukt"),
        ({"acr": LOW}, "niet veilig genoeg"),
        ({"acr": None}, "niet veilig genoeg"),
        ({"acr": [SUBSTANTIAL]}, "niet veilig genoeg"),
        ({"bsn": None}, "niet gelukt"),
        ({"bsn": {"is": "an object"}}, "niet gelukt"),
    ],
)
def test_claims_that_do_not_check_let_nobody_in(
    service: LoginService, client: TestClient, wrong: dict[str, Any], why: str
):
    service.wrong = wrong
    response = service.log_in(client)
    assert response.status_code == 403
    assert why in response.text
    assert not _inside(client)


def test_a_token_under_another_key_lets_nobody_in(service: LoginService, client: TestClient):
    service.key = ECKey.generate_key("P-256", {"kid": "one"})
    assert service.log_in(client).status_code == 403
    assert not _inside(client)


def test_a_token_under_the_public_key_as_a_secret_lets_nobody_in(service: LoginService, client: TestClient):
    public = service.key.as_pem(private=False)
    service.sign = lambda claims: by_hand({"alg": "HS256", "kid": "one"}, claims, public)
    assert service.log_in(client).status_code == 403


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "ES256", "kid": "one"}, {"alg": "ES256"}, {}])
def test_a_token_without_a_signature_lets_nobody_in(service: LoginService, client: TestClient, header: dict[str, str]):
    service.sign = lambda claims: by_hand(header, claims)
    assert service.log_in(client).status_code == 403


def test_a_key_that_the_service_changed_is_fetched(service: LoginService, client: TestClient):
    assert service.log_in(client).status_code == 303
    post(client, "/nl/uitloggen")
    service.key = ECKey.generate_key("P-256", {"kid": "two"})
    service.published = [service.key]
    assert service.log_in(client).status_code == 303


@pytest.mark.parametrize(
    "answer",
    [
        {"code": "c", "state": "of another login"},
        {"code": "c"},
        {},
        {"error": "server_error", "state": "="},
        {"code": "c", "state": "=", "iss": "https://evil.example"},
    ],
)
def test_an_answer_to_another_question_lets_nobody_in(
    service: LoginService, client: TestClient, answer: dict[str, str]
):
    service.begin(client)
    own = {name: service.asked["state"] if value == "=" else value for name, value in answer.items()}
    response = service.back(client, **(own or {"x": ""}))
    assert response.status_code == 403
    assert not service.token_requests, "no code is given to anybody"
    assert not _inside(client)


def test_an_answer_counts_once_in_the_browser_that_asked_and_in_time(
    portal: MemoryPortal, service: LoginService, client: TestClient
):
    service.begin(client)
    stranger = viewer_client(portal, login=OidcLogin(service.settings(), service.transport))
    assert service.back(stranger).status_code == 403
    portal.clock.forward(ms=LOGIN_MS)
    assert service.back(client).status_code == 403
    service.begin(client)
    assert service.back(client).status_code == 303
    assert service.back(client).status_code == 403


def test_a_service_that_is_away_is_said_to_be(service: LoginService, client: TestClient):
    service.reachable = False
    response = client.get("/nl/inloggen/dienst?naar=/nl/mijn/pauze")
    assert response.status_code == 503
    assert "reageert nu niet" in response.text
    assert "naar=%2Fnl%2Fmijn%2Fpauze" in response.text, "trying again goes to the same page"
    assert client.get("/nl/uitgelogd").status_code == 200
    service.reachable = True
    service.begin(client)
    service.reachable = False
    assert service.back(client).status_code == 503


def test_another_issuer_at_the_address_is_not_believed(portal: MemoryPortal, service: LoginService):
    settings = OidcSettings(f"{ISSUER}/other", CLIENT_ID, (HIGH,), secret="s")

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"issuer": ISSUER})

    client = viewer_client(portal, login=OidcLogin(settings, httpx2.MockTransport(answer)))
    assert client.get("/nl/inloggen/dienst").status_code == 403


# -- who it is ------------------------------------------------------------------------------------------------------


async def test_who_represents_somebody_gets_their_pages_with_a_mandate_only(
    portal: MemoryPortal, service: LoginService, client: TestClient
):
    service.claims = {"sub": "pairwise of the helper", "acr": HIGH, "bsn": "999990020", "represents": {"bsn": ANNA.bsn}}
    assert service.log_in(client).headers["location"] == "/nl/inloggen/uitnodiging"
    rows = await portal.rows(ANNA)
    invited = await portal.invite(
        rows, BY_WEB, mandate=events_pb2.MANDATE_LOOK, relation=events_pb2.RELATION_FRIEND, months=3
    )
    assert post(client, "/nl/inloggen/uitnodiging", {"code": invited.code}).headers["location"] == "/nl/mijn"
    assert "U kijkt hier voor iemand anders" in client.get("/nl/privacy").text


def test_address_and_birth_date_come_from_userinfo_when_they_are_there(portal: MemoryPortal, service: LoginService):
    service.claims = {"sub": "s", "acr": HIGH}
    service.userinfo = {"sub": "s", "acr": LOW, "bsn": ANNA.bsn}
    client = viewer_client(portal, login=OidcLogin(service.settings(userinfo=True), service.transport))
    assert service.log_in(client).status_code == 303
    post(client, "/nl/uitloggen")
    service.userinfo = {"sub": "somebody else", "bsn": ANNA.bsn}
    assert service.log_in(client).status_code == 403


def test_each_part_of_an_identifier_is_where_the_settings_say():
    settings = OidcSettings(ISSUER, CLIENT_ID, (HIGH,), secret="s", claims={"house_number": "huis.nummer"})
    address = {"postal_code": "4996AB", "house_number": 9}
    claims = {"iss": ISSUER, "sub": "s", "birthdate": "1970-01-01", "address": address, "huis": {"nummer": 12}}
    person = visitor_of(claims, settings).person
    assert (person.bsn, person.postcode, person.house_number, person.birth_date) == ("", "4996AB", "12", "1970-01-01")
    with pytest.raises(LoginError):
        visitor_of({"iss": ISSUER, "sub": "s", "address": address}, settings)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"issuer": "http://login.example"}, "https"),
        ({"levels": ()}, "level of assurance"),
        ({"secret": ""}, "either a secret or a private key"),
        ({"private_key": "PEM"}, "either a secret or a private key"),
        ({"claims": {"shoe_size": "shoe"}}, "shoe_size"),
    ],
)
def test_settings_that_cannot_work_are_refused(more: dict[str, Any], why: str):
    settings = OidcSettings(**{"issuer": ISSUER, "client_id": "c", "levels": (HIGH,), "secret": "s", **more})
    with pytest.raises(SettingsError, match=re.escape(why)):
        OidcLogin(settings)


def test_logging_out_leads_to_the_service_too(service: LoginService, client: TestClient):
    service.log_in(client)
    post(client, "/nl/uitloggen")
    text = client.get("/nl/uitgelogd").text
    assert f'href="{ISSUER}/logout?client_id=regie&amp;post_logout_redirect_uri=' in text
    assert "Sluit dan alle vensters" in text
