"""Who gets into the console: an auditor with the role or a certificate of the organisation, for a case; nobody else."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from starlette.testclient import TestClient

from consent_ledger.errors import RegieError
from consent_ledger.registry import Registry
from consent_ledger.viewer.session import MemoryStore
from consent_ledger.viewer.settings import SettingsError, ViewerSettings
from gateway.auditor.app import audit_app
from gateway.auditor.console import Console
from gateway.auditor.index import tables
from gateway.auditor.login import Certificate, DemoAuditors, Login, OidcAuditors
from gateway.auditor.settings import audit_login, audit_settings, audit_tls
from gateway.database import Database
from gateway.home import HomeError
from gateway.town.participants import AUDITOR, ZONNEVEEN
from gateway.web import HttpServer
from tests.support.ledger import Time
from tests.support.oidc import ISSUER, SUBSTANTIAL, LoginService
from tests.support.servers import make_home

ORIGIN = "http://127.0.0.1:8003"
CASE = {"zaak": "2026-014"}


class Recorder:
    """The ledger as far as a page needs it: it records that somebody looks, or does not answer."""

    def __init__(self) -> None:
        self.requests = []
        self.away = False

    async def record_access(self, request):
        if self.away:
            raise RegieError("LEDGER_UNAVAILABLE", "nobody answers")
        self.requests.append(request)
        return len(self.requests)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("auditor") / "home")


@pytest.fixture
def console(home, tmp_path):
    reader = Database(tmp_path / "audit.db", tables.TABLES, reading=True)
    ours = home.operator("auditor")
    made = Console(home, ours, reader, Recorder(), Registry, lambda _: Registry(), ours.key("audit"), Time())
    yield made
    reader.close()


def browser(console, *ways, settings=None):
    settings = settings or ViewerSettings(ORIGIN, demo=True, console=True)
    app = audit_app(settings, console, Login(ways), MemoryStore(), console.clock)
    return TestClient(app, base_url=settings.origin, follow_redirects=False)


def post(client, form, origin=ORIGIN):
    return client.post("/nl/audit/inloggen", data=form, headers={"Origin": origin})


@pytest.mark.parametrize(
    ("claims", "inside"),
    [
        ({"roles": ["regie-auditor"]}, True),
        ({"roles": "regie-auditor"}, True),
        ({"roles": ["regie-balie"]}, False),
        ({"roles": []}, False),
        ({}, False),
    ],
)
def test_only_who_has_the_role_gets_in(console, claims, inside):
    service = LoginService({"sub": "femke", "acr": SUBSTANTIAL, **claims}, console.clock)
    client = browser(console, OidcAuditors(service.settings(), transport=service.transport))
    assert client.get("/nl/audit").headers["location"] == "/nl/audit/inloggen"
    there = post(client, {**CASE, "hoe": "dienst"}).headers["location"]
    service.asked = {name: values[0] for name, values in parse_qs(urlsplit(there).query).items()}
    answer = {"code": "a code", "state": service.asked["state"], "iss": ISSUER}
    back = client.get("/nl/audit/inloggen/terug", params=answer)
    assert back.status_code == (303 if inside else 403)
    assert (client.get("/nl/audit").status_code == 200) is inside
    assert client.get("/nl/audit/inloggen/terug", params=answer).status_code == 403  # an answer counts once
    assert len(console.log.requests) == inside
    for request in console.log.requests:
        assert (request.case, request.page) == ("2026-014", "overview")
        assert "femke" not in str(request)


def test_what_cannot_be_recorded_is_not_shown(console):
    client = browser(console, DemoAuditors({"femke": "Femke"}))
    assert post(client, {**CASE, "hoe": "demo", "wie": "femke"}).status_code == 303
    console.log.away = True
    answer = client.get("/nl/audit")
    assert answer.status_code == 503
    assert "Per dag" not in answer.text
    console.log.away = False
    assert client.get("/nl/audit").status_code == 200


def test_a_login_ends_after_some_hours_and_by_logging_out(console):
    client = browser(console, DemoAuditors({"femke": "Femke"}))
    for _ in range(2):
        post(client, {**CASE, "hoe": "demo", "wie": "femke"})
        assert client.get("/nl/audit").status_code == 200
        client.post("/nl/audit/uitloggen", headers={"Origin": ORIGIN})
        assert client.get("/nl/audit").status_code == 303
    post(client, {**CASE, "hoe": "demo", "wie": "femke"})
    for _ in range(31):  # eight minutes at a time: never idle for long
        console.clock.forward(ms=8 * 60_000)
        answer = client.get("/nl/audit")
    assert answer.headers["location"] == "/nl/audit/inloggen"


def test_another_site_cannot_log_somebody_in(console):
    client = browser(console, DemoAuditors({"femke": "Femke"}))
    assert post(client, {**CASE, "hoe": "demo", "wie": "femke"}, "https://elsewhere.example").status_code == 403


def test_a_demo_login_starts_in_a_demo_only_and_a_certificate_login_with_tls_only(console):
    with pytest.raises(SettingsError, match="demo"):
        browser(console, DemoAuditors({}), settings=ViewerSettings(ORIGIN, console=True))
    with pytest.raises(SettingsError, match="https"):
        browser(console, Certificate())
    with pytest.raises(SettingsError, match="console=True"):
        browser(console, settings=ViewerSettings(ORIGIN, demo=True))


@asynccontextmanager
async def over_tls(home, console):
    """The console with its own TLS, which asks for a certificate."""
    said = replace(home, auditor={"tls": True}, demo=False)
    server = HttpServer("auditor", home.addresses["auditor"], 0.5)
    app = audit_app(audit_settings(said), console, audit_login(said), MemoryStore(), console.clock)
    await server.start(app, audit_tls(said))
    try:
        yield f"https://{home.addresses['auditor']}"
    finally:
        await server.stop()


def trusting(home, oin=None):
    context = ssl.create_default_context(cafile=str(home.folder / "ca" / "ca.pem"))
    context.check_hostname = False
    if oin:
        folder = home.folder / "orgs" / oin
        context.load_cert_chain(folder / "tls.pem", folder / "tls.key")
    return context


async def test_only_a_certificate_of_the_auditing_organisation_gets_in(home, console):
    async with over_tls(home, console) as origin:
        form = {**CASE, "hoe": "certificaat"}
        for oin, status in ((AUDITOR.oin, 303), (ZONNEVEEN.oin, 422)):
            async with httpx2.AsyncClient(base_url=origin, verify=trusting(home, oin)) as client:
                answer = await client.post("/nl/audit/inloggen", data=form, headers={"Origin": origin})
                assert answer.status_code == status
                inside = await client.get("/nl/audit")
                assert inside.status_code == (200 if status == 303 else 303)
        async with httpx2.AsyncClient(base_url=origin, verify=trusting(home)) as client:
            with pytest.raises(httpx2.HTTPError):  # no certificate, no connection
                await client.get("/nl/audit/inloggen")


def test_settings_that_let_nobody_in_or_say_nothing_known_are_refused(home):
    with pytest.raises(HomeError, match="nobody could log in"):
        audit_login(replace(home, demo=False, auditor={}))
    with pytest.raises(HomeError, match="no setting colour"):
        audit_settings(replace(home, auditor={"colour": "red"}))
    with pytest.raises(HomeError, match="auditor"):
        audit_settings(replace(home, addresses={}))
    with pytest.raises(HomeError, match="names no auditor"):
        replace(home, operators={}).operator("auditor")
