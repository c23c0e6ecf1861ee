"""The residents' pages without a browser.

client = viewer_client(portal)                 # a MemoryPortal of tests/support/portal.py
log_in(client)                                 # as Anna; log_in(client, "ben"), "helper" represents Anna
client.get("/nl/mijn")
post(client, "/nl/mijn/pauze", {"doe": "pauze"})   # as a browser sends it from our own page
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import httpx2
from starlette.testclient import TestClient

from consent_ledger.purpose import Text
from consent_ledger.viewer.app import viewer_app
from consent_ledger.viewer.login import Login
from consent_ledger.viewer.login.demo import DemoLogin, DemoPerson
from consent_ledger.viewer.session import MemoryStore, SessionStore
from consent_ledger.viewer.settings import ViewerSettings
from tests.support.portal import ANNA, BEN, MemoryPortal

ORIGIN = "http://127.0.0.1:8000"
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


def _raise(error: Exception) -> None:
    """Whoever wrote the page sees the error itself; the resident never does (test_viewer_shell.py)."""
    raise error


def post(client: TestClient, path: str, fields: Fields | None = None, **more: object) -> httpx2.Response:
    """Send a form from a page of ours."""
    return client.post(path, data=dict(fields or {}), headers={"Origin": ORIGIN}, **more)


def log_in(client: TestClient, who: str = "anna", language: str = "nl") -> httpx2.Response:
    """Log in through the demo login."""
    response = post(client, f"/{language}/inloggen", {"wie": who, "naar": f"/{language}/mijn"})
    assert response.status_code == 303, response.text
    return response
