"""The first page of a resident, and the picture on it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from starlette.testclient import TestClient

from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.viewer.charts import HEIGHT, last_months, months_chart
from tests.support.ledger import ARREARS, CITY, NOW
from tests.support.pages import Page
from tests.support.portal import ANNA, BY_WEB
from tests.support.portal_story import StoryPortal, lively
from tests.support.viewer import log_in, post, viewer_client


@pytest.fixture
async def portal() -> StoryPortal:
    return await lively()


@pytest.fixture
def client(portal: StoryPortal) -> Iterator[TestClient]:
    yield viewer_client(portal)
    portal.close()


def test_the_first_visit_says_that_nothing_is_shared(client: TestClient):
    log_in(client, "ben")
    page = Page(client.get("/nl/mijn").text)
    assert "Er wordt niets over u gedeeld. U hoeft niets te doen." in page.words
    assert "Nee is ook goed" in page.words
    assert "Dit vraagt uw aandacht" not in page.words
    assert "/nl/mijn/toestemmingen/nieuw" in page.links()
    english = Page(client.get("/en/mijn").text)
    assert "Nothing is shared about you. You need do nothing." in english.words


def test_what_waits_what_holds_and_what_happened(portal: StoryPortal, client: TestClient):
    log_in(client)
    page = Page(client.get("/nl/mijn").text)
    assert "U staat 3 dingen toe." in page.words
    assert "Belastingkantoor Voorbeeldland wil iets laten weten aan Gemeente Zonneveen. U beslist, tot" in page.words
    assert "U lost het eerst zelf op." in page.words
    assert page.links().index("/nl/mijn/vragen") < page.links().index(
        f"/nl/mijn/uitwisselingen/{portal.story['waiting']}"
    )
    assert "/nl/mijn/organisaties/00000099000000000021" in page.links()


def test_it_asks_the_ledger_twice(portal: StoryPortal, client: TestClient):
    log_in(client)
    client.get("/nl/mijn")
    portal.calls.clear()
    client.get("/nl/mijn")
    assert sorted(portal.calls) == ["record", "registry", "summary"]


async def test_a_deviation_and_an_end_are_told(portal: StoryPortal, client: TestClient):
    """R6 and R34: an exchange went otherwise than chosen; a consent ends within 30 days."""
    log_in(client)
    assert "Gemeente Zonneveen gebruikte telefoon. Dat is anders dan u koos." in Page(client.get("/nl/mijn").text).words
    portal.clock.forward(days=20)
    log_in(client)
    page = Page(client.get("/nl/mijn").text)
    assert "Uw keuze voor Lampje Energie B.V. en Gemeente Zonneveen stopt op 10 januari 2026." in page.words
    assert f"/nl/mijn/toestemmingen/{portal.story['shared_by']}" in page.links()
    assert "Gemeente Zonneveen gebruikte telefoon" not in page.words, "that was long ago"


async def test_a_question_that_nobody_answers_is_told(portal: StoryPortal, client: TestClient):
    rows = await portal.rows(ANNA)
    await portal.ask(rows, BY_WEB, organisation=CITY, purpose=ARREARS, text="Wat deed u hiermee?")
    portal.clock.forward(days=60)
    log_in(client)
    page = Page(client.get("/nl/mijn").text)
    assert "Gemeente Zonneveen gaf nog geen antwoord op uw vraag." in page.words


def test_a_pause_comes_before_everything(client: TestClient):
    log_in(client)
    post(client, "/nl/mijn/pauze", {"doe": "pauze"})
    client.get("/nl/mijn/pauze")
    page = Page(client.get("/nl/mijn").text)
    assert "Alles staat op pauze" in page.words
    assert "U staat 3 dingen toe" not in page.words


def test_a_failure_says_so_instead_of_nothing(portal: StoryPortal, client: TestClient):
    log_in(client)
    client.get("/nl/mijn")
    portal.fails = "LEDGER_UNAVAILABLE"
    answer = client.get("/nl/mijn")
    assert answer.status_code == 503
    assert "Er wordt niets over u gedeeld" not in answer.text


def _month(month: str, **counts: int) -> pb.MonthCount:
    return pb.MonthCount(month=month, count=pb.Count(**counts))


def test_a_chart_has_every_month_and_the_highest_bar_is_full():
    bars = months_chart([_month("2025-12", shared=1, blocked=3), _month("2025-10", waiting=2)], NOW)
    assert [bar.month for bar in bars] == ["2025-08", "2025-09", "2025-10", "2025-11", "2025-12", "2026-01"]
    assert [bar.total for bar in bars] == [0, 0, 2, 0, 4, 0]
    assert bars[4].top == 0
    assert bars[2].top == HEIGHT / 2
    assert bars[0].top == HEIGHT
    assert sum(height for _, _, height in bars[4].parts) == HEIGHT
    assert all(a.x + a.width < b.x for a, b in pairwise(bars))


def test_without_anything_there_is_no_chart():
    assert months_chart([_month("2024-01", shared=5)], NOW) == ()


def test_months_go_over_the_new_year():
    assert last_months(NOW, 3) == ["2025-11", "2025-12", "2026-01"]


def test_the_chart_stands_beside_a_table(client: TestClient):
    log_in(client)
    text = client.get("/nl/mijn").text
    assert 'role="img" aria-label="In zes maanden: 1 keer gedeeld, 4 keer tegengehouden."' in text
    assert "<caption>Hoe vaak per maand</caption>" in text
    assert "november 2025" in text
