"""The residents' pages without a browser.

client = viewer_client(portal)                 # a MemoryPortal of tests/support/portal.py
log_in(client)                                 # as Anna; log_in(client, "ben"), "helper" represents Anna
client.get("/nl/mijn")
post(client, "/nl/mijn/pauze", {"doe": "pauze"})   # as a browser sends it from our own page
desk = desk_client(portal)                     # the desk, which has an origin of its own
at_the_desk(desk)                              # staff logs in; with a person also their case is opened
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import httpx2
from starlette.testclient import TestClient

from consent_ledger.purpose import Text
from consent_ledger.viewer.app import viewer_app
from consent_ledger.viewer.desk.app import desk_app
from consent_ledger.viewer.desk.login import DemoStaff
from consent_ledger.viewer.login import Login
from consent_ledger.viewer.login.demo import DemoLogin, DemoPerson
from consent_ledger.viewer.once import FIELD, new_form
from consent_ledger.viewer.port import Person
from consent_ledger.viewer.session import MemoryStore, SessionStore
from consent_ledger.viewer.settings import ViewerSettings
from tests.support.portal import ANNA, BEN, MemoryPortal

ORIGIN, DESK_ORIGIN = "http://127.0.0.1:8000", "http://127.0.0.1:8001"
STORY = Text("Bestaat niet.", "Does not exist.")
PEOPLE = (
    DemoPerson("anna", "Anna", STORY, ANNA),
    DemoPerson("ben", "Ben", STORY, BEN),
    DemoPerson("helper", "Hulp van Anna", STORY, ANNA, represents=True),
)
Fields = Mapping[str, str | Sequence[str]]


def viewer_client(
    portal: MemoryPortal,
    *,
    settings: ViewerSettings | None = None,
    login: Login | None = None,
    store: SessionStore | None = None,
) -> TestClient:
    """Return somebody's browser, as far as it follows no links; each client has its own cookies."""
    app = viewer_app(
        settings or ViewerSettings(ORIGIN, demo=True),
        portal,
        login or DemoLogin(PEOPLE),
        store or MemoryStore(),
        portal.clock,
    )
    app.state.observer = _raise
    return TestClient(app, base_url=ORIGIN, follow_redirects=False, raise_server_exceptions=True)


def desk_client(portal: MemoryPortal, *, store: SessionStore | None = None) -> TestClient:
    """Return the browser of somebody at the desk."""
    settings, staff = ViewerSettings(DESK_ORIGIN, demo=True, desk=True), DemoStaff({"mia": "Mia van de balie"})
    app = desk_app(settings, portal, staff, store or MemoryStore(), portal.clock)
    app.state.observer = _raise
    return TestClient(app, base_url=DESK_ORIGIN, follow_redirects=False, raise_server_exceptions=True)


def at_the_desk(client: TestClient, person: Person | None = None, language: str = "nl") -> None:
    """Log in at the desk, and open the case of somebody who stands there."""
    entered = send_at_desk(client, f"/{language}/balie/inloggen", {"wie": "mia"})
    assert entered.status_code == 303, entered.text
    if person:
        known = {"via": "balie", "gecontroleerd": "ja", "bsn": person.bsn}
        opened = send_at_desk(client, f"/{language}/balie", known)
        assert (opened.status_code, opened.headers["location"]) == (303, f"/{language}/balie/zaak"), opened.text


def send_at_desk(client: TestClient, path: str, fields: Fields | None = None) -> httpx2.Response:
    """Send a form from a page of the desk."""
    return client.post(path, data={FIELD: new_form(), **(fields or {})}, headers={"Origin": DESK_ORIGIN})


def _raise(error: Exception) -> None:
    """Whoever wrote the page sees the error itself; the resident never does (test_viewer_shell.py)."""
    raise error


def post(client: TestClient, path: str, fields: Fields | None = None, **more: object) -> httpx2.Response:
    """Send a form from a page of ours: each time another form, unless ``fields`` has ``keer``."""
    return client.post(path, data={FIELD: new_form(), **(fields or {})}, headers={"Origin": ORIGIN}, **more)


def told(response: httpx2.Response) -> str:
    """What a page says, without the values that make each form another."""
    return re.sub(rf'name="{FIELD}" value="[^"]*"', "", response.text)


def log_in(client: TestClient, who: str = "anna", language: str = "nl") -> httpx2.Response:
    """Log in through the demo login."""
    response = post(client, f"/{language}/inloggen", {"wie": who, "naar": f"/{language}/mijn"})
    assert response.status_code == 303, response.text
    return response
