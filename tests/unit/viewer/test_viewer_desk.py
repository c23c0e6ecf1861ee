"""The desk on its own origin (R36, R37, AS6, AS7): a case per resident, and no yes without the resident."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from consent_ledger.v1 import consents_pb2, events_pb2
from consent_ledger.viewer.capture import text_hash
from consent_ledger.viewer.desk.app import desk_app
from consent_ledger.viewer.desk.login import DemoStaff, OidcStaff
from consent_ledger.viewer.session import MemoryStore
from consent_ledger.viewer.settings import SettingsError, ViewerSettings
from tests.support.ledger import ARREARS, CITY, SUPPLIER
from tests.support.oidc import ISSUER, SUBSTANTIAL, LoginService
from tests.support.portal import ANNA, BEN, BY_WEB, MemoryPortal, grant
from tests.support.viewer import ORIGIN, log_in, viewer_client

DESK = "http://127.0.0.1:8001"
SETTINGS = ViewerSettings(DESK, demo=True, operator="Gemeente Voorbeeld", desk=True)
STAFF = DemoStaff({"mia": "Mia van de balie", "ali": "Ali van de balie"})
BSN = {"bsn": ANNA.bsn}
CHOICE = {"doel": ARREARS, "van": SUPPLIER, "aan": CITY, "antwoord": "ja", "maanden": "6"}
Fields = Mapping[str, str | Sequence[str]]


@pytest.fixture
def desk(portal: MemoryPortal) -> TestClient:
    app = desk_app(SETTINGS, portal, STAFF, MemoryStore(), portal.clock)
    client = TestClient(app, base_url=DESK, follow_redirects=False)
    assert send(client, "/inloggen", {"wie": "mia"}).headers["location"] == "/nl/balie"
    return client


def send(client: TestClient, path: str, fields: Fields | None = None) -> httpx2.Response:
    return client.post(f"/nl/balie{path}", data=dict(fields or {}), headers={"Origin": DESK})


def open_case(client: TestClient, way: str = "balie", person: Fields = BSN) -> None:
    opened = send(client, "", {"via": way, "gecontroleerd": "ja", **person})
    assert (opened.status_code, opened.headers.get("location")) == (303, "/nl/balie/zaak"), opened.text


def with_code(client: TestClient, portal: MemoryPortal, channel: str = "1") -> str:
    sent = send(client, "/zaak/code", {**CHOICE, "kanaal": channel, **BSN})
    assert sent.status_code == 303, sent.text
    return portal.codes[-1][1]


async def choices(portal: MemoryPortal) -> list[consents_pb2.ChoiceRecord]:
    return list((await portal.record(await portal.rows(ANNA))).choices)


async def attempts(portal: MemoryPortal) -> list[str]:
    return [each.attempt.reason for each in (await portal.others(await portal.rows(ANNA))).attempts]


async def test_as6_no_yes_without_the_code_and_the_resident_sees_who_tried(
    portal: MemoryPortal, desk: TestClient
) -> None:
    open_case(desk)
    page = desk.get("/nl/balie/zaak/keuze", params=CHOICE).text
    assert 'name="code"' not in page  # nothing to fill in before the resident was sent a code
    refused = send(desk, "/zaak/keuze", CHOICE)
    assert refused.status_code == 422
    assert "Zonder de goede code kan dit niet." in refused.text
    assert await choices(portal) == []
    assert await attempts(portal) == ["PRESENCE_REQUIRED"]
    anna = viewer_client(portal)
    log_in(anna)
    assert "Toestemming geven. U was er niet bij" in anna.get("/nl/mijn/ingezien").text


async def test_as6_a_wrong_code_records_nothing(portal: MemoryPortal, desk: TestClient) -> None:
    open_case(desk)
    with_code(desk, portal)
    assert send(desk, "/zaak/keuze", {**CHOICE, "code": "0000 0000"}).status_code == 422
    assert await choices(portal) == []
    assert await attempts(portal) == ["PRESENCE_REQUIRED"]


async def test_as7_with_the_code_it_holds_after_seven_days_and_at_most_six_months(
    portal: MemoryPortal, desk: TestClient
) -> None:
    open_case(desk)
    code = with_code(desk, portal)
    recorded = send(desk, "/zaak/keuze", {**CHOICE, "code": f" {code[:4]}-{code[4:].lower()} "})
    assert recorded.status_code == 303, recorded.text
    (choice,) = await choices(portal)
    assert choice.awaits_confirmation
    assert choice.captured_via == events_pb2.CAPTURED_VIA_DESK
    portal.send(ANNA)
    assert (await portal.record(await portal.rows(ANNA))).exchanges[0].reason == events_pb2.REASON_NOT_YET_VALID
    portal.clock.forward(days=8)
    portal.send(ANNA)
    assert (await portal.record(await portal.rows(ANNA))).exchanges[0].reason == events_pb2.REASON_ALLOWED
    assert choice.valid_until_ms - choice.valid_from_ms <= 184 * 86_400_000


async def test_as7_the_letter_says_when_it_starts_and_how_to_stop(portal: MemoryPortal, desk: TestClient) -> None:
    open_case(desk)
    recorded = send(desk, "/zaak/keuze", {**CHOICE, "code": with_code(desk, portal)})
    letter = desk.get(recorded.headers["location"]).text
    for expected in (
        "Dat gebeurde aan de balie.",
        "Het geldt vanaf 8 januari 2026. Of eerder, als u inlogt en zegt dat het klopt.",
        "Het stopt vanzelf op 1 juli 2026.",
        "Knip dit uit",
        "Ik wil dit stoppen: nummer",
        "Gemeente Voorbeeld",
    ):
        assert expected in letter
    shown = re.search(r'<blockquote class="quote"><p>(.*?)</p>', letter)
    entry = await portal.entry(await portal.rows(ANNA), (await choices(portal))[0].log_index)
    assert shown
    assert entry.entry.event.consent_granted.capture.text_hash == text_hash(shown[1])  # the words that were recorded


async def test_twelve_months_cannot_be_chosen_here(portal: MemoryPortal, desk: TestClient) -> None:
    open_case(desk)
    steps = {name: value for name, value in CHOICE.items() if name != "maanden"}
    asked = desk.get("/nl/balie/zaak/keuze", params=steps).text
    assert re.findall(r'name="maanden" value="(\d+)"', asked) == ["3", "6"]
    code = with_code(desk, portal)
    assert send(desk, "/zaak/keuze", {**CHOICE, "maanden": "12", "code": code}).status_code == 404
    assert await choices(portal) == []


async def test_staff_stops_and_pauses_alone(portal: MemoryPortal, desk: TestClient) -> None:
    await portal.change(await portal.rows(ANNA), BY_WEB, grant())
    open_case(desk, "telefoon")
    (choice,) = await choices(portal)
    assert send(desk, f"/zaak/stop/{choice.log_index}").status_code == 303
    assert "Het is gestopt." in desk.get("/nl/balie/zaak").text
    assert (await choices(portal))[0].withdrawn_ms
    send(desk, "/zaak/pauze")
    assert (await portal.record(await portal.rows(ANNA))).paused_since_ms
    assert "Alles staat op pauze." in desk.get("/nl/balie/zaak").text


async def test_no_is_recorded_without_a_code(portal: MemoryPortal, desk: TestClient) -> None:
    open_case(desk)
    refused = {**CHOICE, "antwoord": "nee", "maanden": ""}
    assert "Leg nee vast" in desk.get("/nl/balie/zaak/keuze", params=refused).text
    send(desk, "/zaak/keuze", refused)
    assert [each.mode for each in await choices(portal)] == [events_pb2.MODE_NEE]


async def test_by_telephone_nothing_can_be_granted(portal: MemoryPortal, desk: TestClient) -> None:
    open_case(desk, "telefoon")
    assert "Leg een keuze vast" not in desk.get("/nl/balie/zaak").text
    assert desk.get("/nl/balie/zaak/keuze").headers["location"] == "/nl/balie/zaak"
    send(desk, "/zaak/keuze", CHOICE)
    assert await choices(portal) == []
    assert await attempts(portal) == ["PRESENCE_REQUIRED"]


async def test_one_question_per_screen_and_nothing_chosen_beforehand(desk: TestClient) -> None:
    open_case(desk)
    given: dict[str, str] = {}
    for step in ("doel", "van", "aan", "antwoord", "maanden"):
        page = desk.get("/nl/balie/zaak/keuze", params=given).text
        assert set(re.findall(r'type="radio" id="[^"]*" name="(\w+)"', page)) == {step}
        assert " checked" not in page
        given[step] = CHOICE[step]
    assert "gerichte-advertentie" not in desk.get("/nl/balie/zaak/keuze").text  # I8: no control anywhere


async def test_a_code_goes_only_to_the_resident_of_the_case(portal: MemoryPortal, desk: TestClient) -> None:
    open_case(desk)
    refused = send(desk, "/zaak/code", {**CHOICE, "kanaal": "1", "bsn": BEN.bsn})
    assert refused.status_code == 422
    assert "Dit is een ander nummer dan van deze zaak." in refused.text
    assert portal.codes == []
    sent = send(desk, "/zaak/code", {**CHOICE, "kanaal": "1", **BSN})
    (code,) = portal.codes
    assert code[1] not in desk.get(sent.headers["location"]).text  # staff never sees it


async def test_a_case_sees_choices_and_nothing_that_was_shared(portal: MemoryPortal, desk: TestClient) -> None:
    await portal.change(await portal.rows(ANNA), BY_WEB, grant())
    portal.collect(portal.send(ANNA))
    open_case(desk)
    page = desk.get("/nl/balie/zaak").text
    assert "Hulp bij een energierekening" in page
    assert "Gedeeld. U gaf hiervoor" not in page
    assert ANNA.bsn not in page


async def test_that_staff_looked_is_recorded_before_anything_is_shown(portal: MemoryPortal, desk: TestClient) -> None:
    open_case(desk, "papier")
    (view,) = (await portal.others(await portal.rows(ANNA))).views
    assert view.capture.via == events_pb2.CAPTURED_VIA_PAPER
    assert re.fullmatch("[0-9a-f]{8}", view.capture.by)


async def test_a_case_is_of_one_resident(portal: MemoryPortal, desk: TestClient) -> None:
    await portal.change(await portal.rows(BEN), BY_WEB, grant())
    (of_ben,) = (await portal.record(await portal.rows(BEN))).choices
    open_case(desk)
    assert desk.get(f"/nl/balie/zaak/brief/{of_ben.log_index}").status_code == 404
    assert send(desk, f"/zaak/stop/{of_ben.log_index}").status_code == 404
    assert not (await portal.record(await portal.rows(BEN))).choices[0].withdrawn_ms


async def test_without_staff_or_without_a_case_every_route_leads_back(portal: MemoryPortal, desk: TestClient) -> None:
    app = desk.app
    nobody = TestClient(app, base_url=DESK, follow_redirects=False)
    routes = [each for each in app.routes if isinstance(each, Route) and "/balie" in each.path]  # type: ignore[attr-defined]
    assert len(routes) > 20
    for route in routes:
        path = route.path.replace("{index:int}", "7")
        if path.endswith(("/inloggen", "/uitloggen")):
            continue
        method = "POST" if "POST" in (route.methods or ()) else "GET"
        calls = portal.calls.copy()
        for client in (nobody, desk):
            answer = client.request(method, path, headers={"Origin": DESK}, data={} if method == "POST" else None)
            if client is desk and not path.split("/balie")[1].startswith("/zaak"):
                continue
            assert answer.status_code == 303, (path, answer.status_code)
            assert answer.headers["location"].rstrip("/").endswith(("/balie", "/balie/inloggen")), path
        assert portal.calls == calls, path


async def test_closing_a_case_forgets_it(desk: TestClient) -> None:
    open_case(desk)
    cookie = desk.cookies["regie-balie"]
    assert send(desk, "/zaak/sluiten").status_code == 303
    assert desk.cookies["regie-balie"] != cookie
    assert desk.get("/nl/balie/zaak").headers["location"] == "/nl/balie"
    stale = TestClient(desk.app, base_url=DESK, follow_redirects=False, cookies={"regie-balie": cookie})
    assert stale.get("/nl/balie/zaak").headers["location"] == "/nl/balie"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"via": "balie", "gecontroleerd": "ja"}, "bsn"),
        ({"via": "balie", "gecontroleerd": "ja", "postcode": "1234AB", "huisnummer": "1"}, "bsn"),
        ({"via": "balie", **BSN}, "gecontroleerd"),
        ({"gecontroleerd": "ja", **BSN}, "via"),
    ],
)
async def test_a_case_needs_somebody_a_way_and_a_check(desk: TestClient, fields: Fields, field: str) -> None:
    refused = send(desk, "", fields)
    assert refused.status_code == 422
    assert f'href="#veld-{field}"' in refused.text
    assert ANNA.bsn not in refused.text or "bsn" not in fields  # what was typed is not sent back


async def test_the_desk_and_the_residents_pages_are_apart(portal: MemoryPortal, desk: TestClient) -> None:
    open_case(desk)
    assert desk.get("/nl/mijn").status_code == 404
    assert viewer_client(portal).get("/nl/balie").status_code == 404
    assert "regie-balie" in desk.cookies
    from_there = desk.post("/nl/balie/zaak/pauze", headers={"Origin": ORIGIN})
    assert from_there.status_code == 403
    assert desk.get("/").headers["location"] == "/nl/balie"


async def test_a_cookie_of_the_desk_opens_no_pages_of_the_resident(portal: MemoryPortal) -> None:
    store = MemoryStore()  # shared, as one viewer process does
    app = desk_app(SETTINGS, portal, STAFF, store, portal.clock)
    desk = TestClient(app, base_url=DESK, follow_redirects=False)
    send(desk, "/inloggen", {"wie": "mia"})
    open_case(desk)
    stolen = viewer_client(portal, store=store)
    stolen.cookies.set("regie", desk.cookies["regie-balie"])
    assert stolen.get("/nl/mijn/download").status_code == 303
    resident = viewer_client(portal, store=store)
    log_in(resident)
    assert resident.get("/nl/mijn/download").status_code == 200
    other = TestClient(app, base_url=DESK, follow_redirects=False)
    other.cookies.set("regie-balie", resident.cookies["regie"])
    assert other.get("/nl/balie/zaak").headers["location"] == "/nl/balie"


@pytest.mark.parametrize(
    ("claims", "inside"),
    [
        ({"roles": ["regie-balie", "other"]}, True),
        ({"roles": "regie-balie"}, True),
        ({"roles": ["other"]}, False),
        ({}, False),
    ],
)
def test_staff_of_the_municipality_needs_the_role(
    portal: MemoryPortal, claims: dict[str, object], *, inside: bool
) -> None:
    service = LoginService({"sub": "mia", "acr": SUBSTANTIAL, **claims}, portal.clock)
    login = OidcStaff(service.settings(), transport=service.transport)
    app = desk_app(ViewerSettings(DESK, desk=True), portal, login, MemoryStore(), portal.clock)
    client = TestClient(app, base_url=DESK, follow_redirects=False)
    assert client.get("/nl/balie").headers["location"] == "/nl/balie/inloggen"
    assert "/nl/balie/inloggen/dienst" in client.get("/nl/balie/inloggen").text
    there = client.get("/nl/balie/inloggen/dienst").headers["location"]
    service.asked = {name: values[0] for name, values in parse_qs(urlsplit(there).query).items()}
    assert service.asked["redirect_uri"] == f"{DESK}/nl/balie/inloggen/terug"
    answer = {"code": "a code", "state": service.asked["state"], "iss": ISSUER}
    back = client.get("/nl/balie/inloggen/terug", params=answer)
    assert back.status_code == (303 if inside else 403)
    assert (client.get("/nl/balie").status_code == 200) is inside
    assert client.get("/nl/balie/inloggen/terug", params=answer).status_code == 403  # an answer counts once


def test_a_login_service_that_is_away_lets_nobody_in(portal: MemoryPortal) -> None:
    service = LoginService({}, portal.clock)
    service.reachable = False
    login = OidcStaff(service.settings(), transport=service.transport)
    app = desk_app(ViewerSettings(DESK, desk=True), portal, login, MemoryStore(), portal.clock)
    answer = TestClient(app, base_url=DESK, follow_redirects=False).get("/nl/balie/inloggen/dienst")
    assert answer.status_code == 503
    assert "Inloggen lukte niet." in answer.text


def test_only_the_settings_of_a_desk_make_a_desk(portal: MemoryPortal) -> None:
    with pytest.raises(SettingsError, match="desk=True"):
        desk_app(ViewerSettings(DESK, demo=True), portal, STAFF, MemoryStore(), portal.clock)
    with pytest.raises(SettingsError, match="demo"):
        desk_app(ViewerSettings(DESK, desk=True), portal, STAFF, MemoryStore(), portal.clock)
