"""Pausing everything with one button, resuming, and stopping everything at companies."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from starlette.testclient import TestClient

from consent_ledger.dates import local_time
from consent_ledger.viewer.pages.pauze import midnight_ms
from tests.support.pages import Page
from tests.support.portal import ANNA
from tests.support.portal_story import StoryPortal, lively
from tests.support.viewer import log_in, post, viewer_client

PATH = "/nl/mijn/pauze"
EVERY_PAGE = ("/nl/mijn", "/nl/mijn/toestemmingen", "/nl/mijn/toestemmingen/nieuw", "/nl/mijn/uitwisselingen", PATH)


@pytest.fixture
async def portal() -> StoryPortal:
    return await lively()


@pytest.mark.parametrize("path", EVERY_PAGE)
def test_the_button_is_on_every_page(client: TestClient, path: str):
    assert f'<form class="pause" method="post" action="{PATH}">' in client.get(path).text


def test_one_press_pauses_and_beats_every_consent(client: TestClient, portal: StoryPortal):
    """AS5: all three are refused, and resuming lists the three."""
    assert post(client, PATH, {"doe": "pauze"}).headers["location"] == PATH
    page = Page(client.get(PATH).text)
    assert "Alles staat op pauze. Niemand mag iets over u delen." in page.words
    assert "Deze 3 keuzes gelden dan weer:" in page.words
    refused = portal.happens("paused", severities=[4])
    assert (
        "Tegengehouden. U heeft alles op pauze gezet."
        in client.get(f"/nl/mijn/uitwisselingen/{refused.log_index}").text
    )


def test_resuming_says_what_holds_again(client: TestClient, portal: StoryPortal):
    post(client, PATH, {"doe": "pauze"})
    client.get(PATH)
    assert "U stopt de pauze. Uw keuzes van voor de pauze gelden weer." in Page(client.get(PATH).text).words
    post(client, PATH, {"doe": "hervat"})
    assert "De pauze is gestopt. Uw keuzes gelden weer." in Page(client.get(PATH).text).words
    sent = portal.happens("again", severities=[4])
    assert "Nog niet opgehaald" in client.get(f"/nl/mijn/uitwisselingen/{sent.log_index}").text


async def test_a_pause_can_end_by_itself(client: TestClient, portal: StoryPortal):
    post(client, PATH, {"doe": "pauze", "tot": "2026-01-05"})
    page = Page(client.get(PATH).text)
    assert "Alles staat op pauze tot 5 januari 2026." in page.words
    record = await portal.record(await portal.rows(ANNA))
    assert record.paused_until_ms == datetime(2026, 1, 4, 23, tzinfo=UTC).timestamp() * 1000
    portal.clock.forward(days=39)
    log_in(client)
    assert "Alles staat op pauze" not in Page(client.get(PATH).text).words


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("31-12-2026", "Vul een datum in"),
        ("2026-02-30", "Vul een datum in"),
        ("2020-01-01", "Kies een dag na vandaag"),
        ("2030-01-01", "binnen een jaar"),
    ],
)
async def test_another_date_pauses_nothing(client: TestClient, portal: StoryPortal, text: str, why: str):
    answer = post(client, PATH, {"doe": "pauze", "tot": text})
    assert answer.status_code == 422
    page = Page(answer.text)
    assert why in page.words
    assert page.fields(name="tot")[0]["aria-invalid"] == "true"
    assert not (await portal.record(await portal.rows(ANNA))).paused_since_ms


@pytest.mark.parametrize("day", [date(2026, 1, 1), date(2026, 3, 29), date(2026, 3, 30), date(2026, 7, 1),
                                 date(2026, 10, 25), date(2026, 10, 26)])  # fmt: skip
def test_a_day_begins_at_midnight_also_when_the_clock_changes(day: date):
    assert local_time(midnight_ms(day)) == datetime(day.year, day.month, day.day)  # noqa: DTZ001  (wall clock)


async def test_everything_at_companies_stops_and_nothing_else(client: TestClient, portal: StoryPortal):
    """R11."""
    page = Page(client.get(PATH).text)
    assert "Bij deze 2 keuzes doet een bedrijf mee." in page.words
    post(client, PATH, {"doe": "bedrijven"})
    after = Page(client.get(PATH).text)
    assert "U stopte 2 keuzes waar een bedrijf in meedoet." in after.words
    assert "Er doet nu geen bedrijf mee in uw keuzes." in after.words
    overview = Page(client.get("/nl/mijn").text)
    assert "U staat 1 ding toe." in overview.words, "the tax office is no company"


def test_who_has_no_choices_can_pause_as_well(portal: StoryPortal):
    ben = viewer_client(portal)
    log_in(ben, "ben")
    post(ben, PATH, {"doe": "pauze"})
    assert "U heeft geen keuzes die dan weer gelden." in Page(ben.get(PATH).text).words


def test_anything_else_is_not_done(client: TestClient):
    assert post(client, PATH, {"doe": "wissen"}).status_code == 404
    assert post(client, PATH).status_code == 404


def test_the_page_asks_the_ledger_once(client: TestClient, portal: StoryPortal):
    client.get(PATH)
    portal.calls.clear()
    client.get(PATH)
    assert sorted(portal.calls) == ["record", "registry"]
