"""The residents' pages served with everything behind them: rows through both evaluators, a choice, and a withdrawal."""

from __future__ import annotations

import re
from datetime import date

import httpx2
import pytest

from consent_ledger.clock import system_clock
from gateway.home import HomeError
from gateway.server import serving
from gateway.settings import Settings
from gateway.town.generator import make_town
from gateway.town.logins import write_logins
from tests.support.servers import make_home

FAST = Settings(directory_seconds=0.2, publish_seconds=0.2, grace_seconds=0.5)


@pytest.fixture
def home(tmp_path):
    made = make_home(tmp_path / "home")
    (made.folder / "town").mkdir()
    write_logins(make_town(date(2026, 3, 1)), made.folder / "town", played=False)
    return made


async def test_a_resident_logs_in_and_sees_their_own_pages(home):
    origin = f"http://{home.addresses['viewer']}"
    async with serving(home, ["witness", "ledger", "pseudonyms", "gateway", "viewer"], settings=FAST) as served:
        await served.ready()
        async with httpx2.AsyncClient(base_url=origin, headers={"Origin": origin}) as browser:
            for path in ("/nl", "/en/organisaties", "/nl/logboek", "/nl/cijfers", "/nl/privacy"):
                assert (await browser.get(path)).status_code == 200
            assert (await browser.get("/nl/mijn")).headers["location"].startswith("/nl/inloggen?naar=")
            entered = await browser.post("/nl/inloggen", data={"wie": "fatima"})
            assert (entered.status_code, entered.headers["location"]) == (303, "/nl/mijn")
            mine = await browser.get("/nl/mijn")
            assert mine.status_code == 200
            assert "Er wordt niets over u gedeeld" in mine.text
            assert (await browser.get("/nl/mijn/ingezien")).status_code == 200
            left = await browser.post("/nl/uitloggen")
            assert left.headers["location"] == "/nl/uitgelogd"
            assert (await browser.get("/nl/mijn")).status_code == 303
            desk = await browser.get(f"http://{home.addresses['desk']}/nl/balie")
            assert desk.status_code == 303, "the desk is there, for who logs in there"
    town = (home.folder / "town" / "logins.csv").read_text()
    bsn = next(line for line in town.splitlines() if line.startswith("fatima,")).split(",")[5]
    assert re.fullmatch(r"\d{9}", bsn)
    found = [path for path in home.folder.glob("orgs/*/data/*") if path.is_file() and bsn.encode() in path.read_bytes()]
    assert found == [], "the identifier is forgotten after the login"


async def test_without_the_others_the_pages_say_that_it_does_not_work_now(home):
    origin = f"http://{home.addresses['viewer']}"
    async with serving(home, ["viewer"], system_clock, settings=FAST) as served:
        await served.ready()
        async with httpx2.AsyncClient(base_url=origin, timeout=30) as browser:
            assert (await browser.get("/nl")).status_code == 200
            response = await browser.get("/nl/organisaties")
            assert response.status_code == 503
            assert "Het lukt nu even niet" in response.text


async def test_a_home_that_is_no_demo_does_not_start_without_a_login(tmp_path):
    made = make_home(tmp_path / "home", demo=False)
    with pytest.raises(HomeError, match=r"viewer\.login"):
        async with serving(made, ["viewer"], settings=FAST):
            pass
