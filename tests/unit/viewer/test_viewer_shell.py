"""What every page has: headers, protection, languages, errors that tell nothing, files."""

from __future__ import annotations

import re

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from consent_ledger.errors import RegieError
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.v1 import events_pb2
from consent_ledger.viewer.app import shell
from consent_ledger.viewer.context import preferred
from consent_ledger.viewer.forms import Form, read_form
from consent_ledger.viewer.middleware import MOST_BODY
from consent_ledger.viewer.port import AllRows
from consent_ledger.viewer.rendering import done, page
from consent_ledger.viewer.routing import in_languages, needs
from consent_ledger.viewer.session import MemoryStore, Resident, Right, SessionStore, rights_up_to
from consent_ledger.viewer.settings import SettingsError, ViewerSettings
from consent_ledger.viewer.static import FOLDER, Static
from tests.support.portal import ANNA, BY_WEB, MemoryPortal
from tests.support.viewer import ORIGIN, log_in, post, viewer_client

SECRET = "999990019 achternaam"


@pytest.fixture
def portal() -> MemoryPortal:
    return MemoryPortal()


@pytest.fixture
def client(portal: MemoryPortal) -> TestClient:
    return viewer_client(portal)


async def _show(request: Request) -> Response:
    return page(request, "left.html", service_logout="", ended=False)


async def _broken(_: Request) -> Response:
    raise ValueError(SECRET)


async def _refused(request: Request) -> Response:
    raise RegieError(request.path_params["reason"], SECRET)


async def _sent(request: Request) -> Response:
    form = await read_form(request)
    form.one_of("antwoord", ["ja", "nee"])
    return done(request, "/mijn/iets", "layout.errors", n=len(form.errors))


def _client(portal: MemoryPortal, store: SessionStore | None = None, resident: Resident | None = None) -> TestClient:
    """Return a client of an application with pages that fail."""

    async def enter(request: Request) -> Response:
        request.state.session.log_in(resident, portal.clock())
        return Response()

    routes = [
        Route("/stuk", _broken),
        Route("/geweigerd/{reason}", _refused),
        Route("/mijn/iets", _show),
        Route("/mijn/iets", _sent, methods=["POST"]),
        Route("/mijn/stoppen", needs("stop")(_sent), methods=["POST"]),
        Route("/mijn/alles", needs("own")(_show)),
        Route("/inloggen", _show),
        Route("/binnen", enter),
    ]
    app = shell(ViewerSettings(ORIGIN), portal, store or MemoryStore(), portal.clock, list(in_languages(routes)))
    client = TestClient(app, base_url=ORIGIN, follow_redirects=False)
    if resident:
        client.get("/nl/binnen")
    return client


def test_every_answer_has_the_headers(client: TestClient):
    style = re.search(r"/static/[^\"]+css", client.get("/nl").text)
    assert style
    for path, status in ((("/nl"), 200), ("/", 302), ("/nl/nergens", 404), (style[0], 200), ("/nl/mijn", 303)):
        response = client.get(path)
        assert response.status_code == status
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "same-origin"
        assert "strict-transport-security" not in response.headers, "this site is not over TLS"


def test_over_tls_the_cookie_is_bound_to_host_and_tls(portal: MemoryPortal):
    client = viewer_client(portal, settings=ViewerSettings("https://regie.example", demo=True))
    headers = {"Origin": "https://regie.example"}
    response = client.post("/nl/inloggen", data={"wie": "anna"}, headers=headers)
    cookie = response.headers["set-cookie"]
    assert cookie.startswith("__Host-regie=")
    assert "; Secure" in cookie
    assert "HttpOnly" in cookie
    assert "Domain" not in cookie
    assert "max-age" in response.headers["strict-transport-security"]


def test_nobody_gets_a_cookie_for_reading(client: TestClient):
    for path in ("/nl", "/en/uitleg", "/nl/inloggen", "/nl/nergens"):
        assert "set-cookie" not in client.get(path).headers


def test_a_residents_page_is_kept_by_no_cache(client: TestClient):
    log_in(client)
    assert client.get("/nl").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Origin": ORIGIN}, 303),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:8001"}, 403),
        ({"Origin": f"{ORIGIN}.example"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN}, 303),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": ORIGIN}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
    ],
)
def test_forms_come_from_our_own_pages(client: TestClient, headers: dict[str, str], status: int):
    response = client.post("/nl/inloggen", data={"wie": "anna"}, headers=headers)
    assert response.status_code == status
    assert ("set-cookie" in response.headers) == (status == 303)


def test_a_form_that_is_too_long_or_of_unknown_length_is_refused(client: TestClient):
    log_in(client)
    assert post(client, "/nl/uitloggen", {"x": "x" * MOST_BODY}).status_code == 413
    unknown = client.post("/nl/uitloggen", content=iter([b"x=1"]), headers={"Origin": ORIGIN})
    assert unknown.status_code == 413


def test_what_breaks_tells_nobody_anything(portal: MemoryPortal, capsys: pytest.CaptureFixture[str]):
    response = _client(portal).get("/en/stuk")
    assert response.status_code == 500
    assert "Something went wrong on our side" in response.text
    assert "content-security-policy" in response.headers
    code = re.search(r"mention this code: ([0-9a-f]{8})", response.text)
    assert code
    out = "".join(capsys.readouterr())
    assert code[1] in out, "the operator finds it again by its code"
    assert SECRET not in response.text + out


def test_a_store_that_fails_is_a_failure_of_ours_and_no_login(portal: MemoryPortal):
    class Failing(MemoryStore):
        async def read(self, key: bytes) -> bytes | None:
            raise OSError(SECRET)

    client = _client(portal, Failing())
    response = client.get("/nl/mijn/iets", headers={"Cookie": f"regie={'A' * 43}"})
    assert response.status_code == 500
    assert SECRET not in response.text


@pytest.mark.parametrize(
    ("reason", "status", "says"),
    [
        ("LEDGER_UNAVAILABLE", 503, "Het lukt nu even niet"),
        ("OVERLOADED", 503, "Het lukt nu even niet"),
        ("ENTRY_UNKNOWN", 404, "Niet gevonden"),
        ("FIELD_INVALID", 404, "Niet gevonden"),
        ("BEYOND_MANDATE", 404, "Niet gevonden"),
        ("WRITE_STALE", 409, "Dit kon niet"),
        ("PROOF_INVALID", 502, "Wij vertrouwen dit antwoord niet"),
        ("SIGNATURE_INVALID", 502, "Wij vertrouwen dit antwoord niet"),
        ("INTERNAL", 500, "Er ging bij ons iets mis"),
    ],
)
def test_what_the_ledger_answers_becomes_a_page_of_its_own(portal: MemoryPortal, reason: str, status: int, says: str):
    response = _client(portal).get(f"/nl/geweigerd/{reason}")
    assert response.status_code == status
    assert says in response.text
    assert SECRET not in response.text
    assert ("retry-after" in response.headers) == (status == 503)


def test_without_a_login_one_is_asked_to_log_in_and_comes_back(portal: MemoryPortal):
    response = _client(portal).get("/en/mijn/iets?blad=2")
    assert (response.status_code, response.headers["location"]) == (
        303,
        "/en/inloggen?naar=%2Fen%2Fmijn%2Fiets%3Fblad%3D2",
    )
    assert post(_client(portal), "/nl/mijn/iets", {"antwoord": "ja"}).headers["location"] == "/nl/inloggen?weg=1"


@pytest.mark.parametrize(
    ("mandate", "right", "allowed"),
    [
        (events_pb2.MANDATE_LOOK, "look", "look"),
        (events_pb2.MANDATE_STOP, "stop", "look stop"),
        (events_pb2.MANDATE_CHOOSE, "choose", "look stop choose"),
        (None, "own", "look stop choose own"),
    ],
)
async def test_each_page_asks_for_its_right(portal: MemoryPortal, mandate: int | None, right: Right, allowed: str):
    rows = await portal.rows(ANNA)
    resident = Resident(rows) if mandate is None else Resident(rows, *await _representing(portal, rows, mandate, right))
    client = _client(portal, resident=resident)
    done_by = {
        "look": client.get("/nl/mijn/iets"),
        "stop": post(client, "/nl/mijn/stoppen"),
        "choose": post(client, "/nl/mijn/iets"),
        "own": client.get("/nl/mijn/alles"),
    }
    assert {name for name, response in done_by.items() if response.status_code != 403} == set(allowed.split())


async def _representing(portal: MemoryPortal, rows: AllRows, mandate: int, right: Right):
    invited = await portal.invite(rows, BY_WEB, mandate=mandate, relation=events_pb2.RELATION_FRIEND, months=3)
    held = await portal.accept(rows, portal.login_hash("somebody"), invited.code)
    return "representative", rights_up_to(right), held.reference.hex()


async def test_a_representative_who_was_sent_away_sees_nothing_more(portal: MemoryPortal):
    rows = await portal.rows(ANNA)
    acting = await _representing(portal, rows, events_pb2.MANDATE_LOOK, "look")
    client = _client(portal, resident=Resident(rows, *acting))
    assert client.get("/nl/mijn/iets").status_code == 200
    (ended,) = await portal.change(rows, BY_WEB, pb.EndRepresentative(reference=bytes.fromhex(acting[2])))
    assert isinstance(ended, int)
    response = client.get("/nl/mijn/iets")
    assert (response.status_code, response.headers["location"]) == (303, "/nl/uitgelogd?einde=1")
    assert client.get("/nl/mijn/iets").headers["location"].startswith("/nl/inloggen"), "and is logged out"


async def test_who_looks_is_recorded_before_anything_is_shown(portal: MemoryPortal):
    rows = await portal.rows(ANNA)
    client = _client(portal, resident=Resident(rows))
    for _ in range(3):
        assert client.get("/nl/mijn/iets").status_code == 200
    assert portal.calls.count("view") == 1, "once per session and day"
    portal.clock.forward(days=1)
    client = _client(portal, resident=Resident(rows))
    portal.fails = "LEDGER_UNAVAILABLE"
    assert client.get("/nl/mijn/iets").status_code == 503
    portal.fails = ""
    assert client.get("/nl/mijn/iets").status_code == 200
    others = await portal.others(rows)
    assert [view.capture.by for view in others.views] == ["self", "self"]
    assert others.views[0].kind == events_pb2.VIEW_KIND_PAGES


async def test_a_form_ends_in_another_page_that_says_so_once(portal: MemoryPortal):
    client = _client(portal, resident=Resident(await portal.rows(ANNA)))
    response = post(client, "/nl/mijn/iets", {"antwoord": "misschien"})
    assert (response.status_code, response.headers["location"]) == (303, "/nl/mijn/iets")
    assert "Er is iets niet ingevuld" in client.get("/nl/mijn/iets").text
    assert "Er is iets niet ingevuld" not in client.get("/nl/mijn/iets").text


@pytest.mark.parametrize(
    ("sent", "found", "errors"),
    [
        ({"a": ["ja"]}, "ja", {}),
        ({"a": [" nee "]}, "nee", {}),
        ({"a": ["JA"]}, "", {"a": "layout.choose_one"}),
        ({}, "", {"a": "layout.choose_one"}),
    ],
)
def test_an_answer_is_one_of_those_offered(sent: dict[str, list[str]], found: str, errors: dict[str, str]):
    form = Form(sent)
    assert (form.one_of("a", ["ja", "nee"]), form.errors) == (found, errors)


def test_fields_of_a_form():
    form = Form({"x": ["b", "a"], "y": ["c"], "text": ["  hallo "], "long": ["12345"]})
    assert form.some_of("x", ["a", "b", "c"]) == ["a", "b"]
    assert form.needed("text", most=5) == "hallo"
    assert not form.errors
    assert form.some_of("y", ["a", "b"]) == []
    assert form.needed("long", most=4) == ""
    assert form.needed("absent", most=4) == ""
    assert form.some_of("none", ["a"], least=1) == []
    assert form.errors == {
        "y": "layout.choose_one",
        "long": "layout.too_long",
        "absent": "layout.fill_in",
        "none": "layout.choose_one",
    }


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("", "nl"), ("de,fr", "nl"), ("en-GB,en;q=0.9", "en"), ("fr, nl;q=0.8, en;q=0.5", "nl"), ("EN", "en")],
)
def test_the_first_language_the_browser_likes(accepted: str, language: str):
    assert preferred(accepted) == language


def test_the_first_page_goes_to_a_language(client: TestClient):
    response = client.get("/", headers={"Accept-Language": "en"})
    assert (response.status_code, response.headers["location"]) == (302, "/en")
    assert response.headers["vary"] == "Accept-Language"


def test_switching_language_stays_on_the_page(client: TestClient):
    text = client.get("/nl/organisaties?soort=a%22b").text
    assert 'href="/en/organisaties?soort=a%22b"' in text
    assert '<html lang="nl">' in text


def test_files_never_change_under_their_address(client: TestClient):
    url = Static().url("regie.css")
    response = client.get(url)
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["content-type"].startswith("text/css")
    assert client.get("/static/0000000000000000/regie.css").status_code == 404
    assert client.get("/static/0000000000000000/..%2Fapp.py").status_code == 404


def test_everything_above_the_page_is_in_its_header(portal: MemoryPortal):
    """axe, "region": what stands in no landmark is passed over by who goes from landmark to landmark."""
    client = viewer_client(portal)
    log_in(client)
    text = client.get("/nl/mijn").text
    between = text[text.index("</a>", text.index('class="skip"')) + 4 : text.index("<main")].strip()
    assert between.startswith("<header")
    assert between.endswith("</header>")
    assert 'class="demo"' in between


def test_the_style_sheet_fits_its_budget():
    assert (FOLDER / "regie.css").stat().st_size <= 25_000


def test_a_municipality_puts_its_theme_over_ours(portal: MemoryPortal):
    themed = ViewerSettings(ORIGIN, demo=True, theme=":root { --utrecht-link-color: #a00 }")
    client = viewer_client(portal, settings=themed)
    text = client.get("/nl").text
    url = re.search(r"/static/[0-9a-f]+/thema.css", text)
    assert url
    assert text.index("regie.css") < text.index(url[0]), "the later one wins"
    assert "#a00" in client.get(url[0]).text


@pytest.mark.parametrize(
    "origin", ["regie.example", "http://regie.example", "https://regie.example/", "https://a.b/c", "ftp://a.b", ""]
)
def test_an_address_that_would_not_work_is_refused(origin: str):
    with pytest.raises(SettingsError):
        ViewerSettings(origin)


def test_every_page_exists_in_both_languages(portal: MemoryPortal):
    app = viewer_client(portal).app
    assert isinstance(app, Starlette)
    paths = {route.path for route in app.routes if isinstance(route, Route)}
    nl = {path.removeprefix("/nl") for path in paths if path == "/nl" or path.startswith("/nl/")}
    en = {path.removeprefix("/en") for path in paths if path == "/en" or path.startswith("/en/")}
    assert nl == en
    assert "/mijn" in nl
