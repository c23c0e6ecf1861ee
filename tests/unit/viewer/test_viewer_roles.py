"""Every route as every role: nothing of Anna's is for anybody whom she or the law did not let in (R23, R36-R38)."""

from __future__ import annotations

import asyncio
import re

import pytest
from starlette.testclient import TestClient

from consent_ledger.v1 import events_pb2
from consent_ledger.viewer.app import viewer_app
from consent_ledger.viewer.desk.app import desk_app
from consent_ledger.viewer.desk.login import DemoStaff
from consent_ledger.viewer.login.demo import DemoLogin
from consent_ledger.viewer.session import MemoryStore
from consent_ledger.viewer.settings import ViewerSettings
from tests.support.ledger import ARREARS
from tests.support.places import FILES, MINE, town
from tests.support.portal import ANNA, BY_WEB
from tests.support.viewer import ORIGIN, PEOPLE, log_in, post, viewer_client

DESK = "http://127.0.0.1:8001"
STORY = re.compile(r"Gesprek over betalen in delen|Wie belt mij")
"""Words that stand in Anna's record only."""
ONLY_HERS = ("representative_new", "erasure")
"""Not even for who helps her."""


@pytest.fixture
def made():
    found = asyncio.run(town())
    yield found
    found.portal.close()


@pytest.fixture
def routes(made):
    """Every route of the application below /mijn, filled in with what is Anna's: (name, method, path)."""
    app = viewer_app(
        ViewerSettings(ORIGIN, demo=True), made.portal, DemoLogin(PEOPLE), MemoryStore(), made.portal.clock
    )
    values = {
        "nr": made.story["shared"], "id": made.story["shared_by"], "index": made.story["asked"],
        "reference": made.story["question"], "purpose": ARREARS, "part": "kanalen", "oin": "0" * 20, "number": 1,
    }  # fmt: skip
    found = []
    for route in app.routes:
        path = getattr(route, "path", "")
        if path.startswith("/nl/mijn"):
            filled = re.sub(r"\{(\w+)(?::\w+)?\}", lambda match: str(values[match[1]]), path)
            found += [(route.name, method, filled) for method in sorted(route.methods - {"HEAD"})]
    assert {name for name, _, _ in found} >= set(MINE) | (
        FILES - {"controle_programma", "controle_plaats", "controle_samenhang"}
    )
    return found


def ask(client: TestClient, method: str, path: str):
    return client.get(path) if method == "GET" else post(client, path, {"zending": "00" * 16})


def test_nobody_sees_or_changes_anything(made, routes):
    stranger, before = viewer_client(made.portal), len(made.portal.calls)
    for name, method, path in routes:
        answer = ask(stranger, method, path)
        assert (answer.status_code, answer.headers["location"].split("?")[0]) == (303, "/nl/inloggen"), name
    assert made.portal.calls[before:] == []


def test_somebody_else_finds_nothing_of_hers(made, routes):
    """Ben asks with Anna's numbers: each page is his own, or there is none."""
    ben = viewer_client(made.portal)
    log_in(ben, "ben")
    log = made.portal.ledger.events
    hers = {index for index, _, private in log() if private.links}
    for name, method, path in routes:
        if method == "GET":
            answer = ask(ben, method, path)
            assert not STORY.search(answer.text), name
            if re.search(r"/\d{1,3}(/|$)", path) or made.story["question"] in path:
                assert answer.status_code in (303, 404), (name, answer.status_code)
    now = {index for index, event, private in log() if private.links and event.WhichOneof("body") != "record_viewed"}
    assert now <= hers


def test_a_visitor_without_a_mandate(made, routes):
    """Who says to represent Anna, and typed no code, gets the page that asks for it, and nothing else."""
    helper = viewer_client(made.portal)
    log_in(helper, "helper")
    for name, method, path in routes:
        answer = ask(helper, method, path)
        assert answer.status_code == 403, name
        assert not STORY.search(answer.text), name


async def test_who_may_look_changes_nothing(made, routes):
    portal = made.portal
    rows = await portal.rows(ANNA)
    look, family = events_pb2.MANDATE_LOOK, events_pb2.RELATION_FAMILY
    invited = await portal.invite(rows, BY_WEB, mandate=look, relation=family, months=3, purposes=[ARREARS])
    helper = viewer_client(portal)
    log_in(helper, "helper")
    assert post(helper, "/nl/inloggen/uitnodiging", {"code": invited.code}).status_code == 303
    kinds = [event.WhichOneof("body") for _, event, _ in portal.ledger.events()]
    for name, method, path in routes:
        answer = ask(helper, method, path)
        if name == "representative_end":
            assert answer.status_code == 404, "they may end their own representation, and this is another"
        elif method == "POST" or name in ONLY_HERS:
            assert answer.status_code == 403, name
        else:
            assert answer.status_code in (200, 303, 404), (name, answer.status_code)
    after = [event.WhichOneof("body") for _, event, _ in portal.ledger.events()]
    assert set(after[len(kinds) :]) <= {"record_viewed"}
    # Beyond the purposes of the mandate there is nothing: not in a list, and not by its number.
    other = made.story["asked"]
    assert helper.get(f"/nl/mijn/uitwisselingen/{other}").status_code == 404
    assert f"/nl/mijn/uitwisselingen/{other}" not in helper.get("/nl/mijn/uitwisselingen").text
    assert helper.get(f"/nl/mijn/uitwisselingen/{made.story['shared']}").status_code == 200


def test_staff_without_a_case(made):
    """At the desk nothing of a resident is there before a case is opened; residents' pages are not there at all."""
    settings = ViewerSettings(DESK, demo=True, desk=True)
    app = desk_app(settings, made.portal, DemoStaff({"mia": "Mia"}), MemoryStore(), made.portal.clock)
    stranger, mia = (TestClient(app, base_url=DESK, follow_redirects=False) for _ in range(2))
    entered = mia.post("/nl/balie/inloggen", data={"wie": "mia"}, headers={"Origin": DESK})
    assert entered.status_code == 303
    before, tried = len(made.portal.calls), 0
    for route in app.routes:
        path = getattr(route, "path", "")
        if not path.startswith("/nl/") or "inloggen" in path:
            continue
        filled = re.sub(r"\{\w+(?::\w+)?\}", str(made.story["shared_by"]), path)
        for method in route.methods - {"HEAD"}:
            tried += 1
            headers = {"Origin": DESK}
            unknown = stranger.request(method, filled, headers=headers, data={} if method == "POST" else None)
            assert unknown.status_code == 303, route.name
            assert unknown.headers["location"].startswith("/nl/balie"), route.name
            if "/zaak" in path and "sluiten" not in path:
                answer = mia.request(method, filled, headers=headers, data={} if method == "POST" else None)
                assert answer.status_code == 303, route.name
                assert answer.headers["location"].startswith("/nl/balie"), route.name
    assert tried > 8
    assert set(made.portal.calls[before:]) <= {"registry"}
    assert mia.get("/nl/mijn").status_code == 404
    assert mia.get("/nl/mijn/uitwisselingen").status_code == 404
