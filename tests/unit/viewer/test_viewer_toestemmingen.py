"""The resident's choices: the list, one choice, stopping it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from consent_ledger.purpose import Text
from consent_ledger.v1 import events_pb2
from consent_ledger.writing.publish import PublishWork
from tests.support.ledger import ARREARS, SUPPLIER, scope
from tests.support.pages import Page
from tests.support.portal import ANNA, BEN, BY_WEB
from tests.support.portal_story import StoryPortal, lively, pb_registered, yes
from tests.support.viewer import log_in, post, viewer_client

LIST = "/nl/mijn/toestemmingen"


@pytest.fixture
async def portal() -> StoryPortal:
    return await lively()


def _choice(client: TestClient, portal: StoryPortal, name: str) -> Page:
    return Page(client.get(f"{LIST}/{portal.story[name]}").text)


def test_choices_are_shown_by_how_they_stand(client: TestClient):
    page = Page(client.get(LIST).text)
    groups = ("Dit staat u toe", "Hier zei u nee", "Voorbij")
    assert [page.words.index(group) for group in groups] == sorted(page.words.index(group) for group in groups)
    for said in ("Tot 10 januari 2026.", "U koos nee op 31 oktober 2025.", "U stopte dit op 10 september 2025.",
                 "Dit stopte vanzelf op 17 oktober 2025."):  # fmt: skip
        assert said in page.words


def test_who_chose_nothing_reads_that_this_is_fine(portal: StoryPortal, client: TestClient):
    ben = viewer_client(portal)
    log_in(ben, "ben")
    assert "U heeft nog niets gekozen. Dat is goed: er wordt dan niets gedeeld." in Page(ben.get(LIST).text).words


def test_a_choice_ends_soon(portal: StoryPortal, client: TestClient):
    """R6: 30 and 7 days before; nothing is renewed by itself."""
    portal.clock.forward(days=36)
    log_in(client)
    assert "Kijk hier even naar" in Page(client.get(LIST).text).words
    page = _choice(client, portal, "shared_by")
    assert "Loopt bijna af" in page.words
    assert "Op 10 januari 2026 stopt het vanzelf." in page.words
    portal.clock.forward(days=10)
    log_in(client)
    assert "Dit stopte vanzelf op 10 januari 2026." in _choice(client, portal, "shared_by").words


def test_one_choice_says_all_there_is_to_know(client: TestClient, portal: StoryPortal):
    page = _choice(client, portal, "shared_by")
    headings = ("Wie stuurt het", "Wie ontvangt het", "Wat wordt er gedeeld", "Wat niet", "Waarom", "Sinds wanneer",
                "Tot wanneer", "Wat gebeurt er daarna", "Hoe stopt u het")  # fmt: skip
    at = [page.words.index(heading) for heading in headings]
    assert at == sorted(at)
    assert "Er wordt pas iets gedeeld bij een rekening die 1 maand open staat." in page.words
    assert "U koos dit zelf op deze site." in page.words
    assert "Deze tekst zag u toen: U kiest: ja." in page.words
    assert {"mode", "from", "until", "wording", "sender", "recipient", "item"} <= {fact for _, fact, _ in page.facts}


def test_stopping_takes_one_button_and_no_more_screens(client: TestClient, portal: StoryPortal):
    """R5: list, choice, stopped. Granting took more screens (test_viewer_kiezen)."""
    path = f"{LIST}/{portal.story['shared_by']}"
    assert path in Page(client.get(LIST).text).links()
    page = Page(client.get(path).text)
    assert "Dan zeggen wij tegen Gemeente Zonneveen dat het daarmee moet stoppen." in page.words
    assert post(client, path, {**page.sent(), "doe": "stop"}).headers["location"] == path
    after = Page(client.get(path).text)
    assert "U stopte dit. Vanaf nu wordt er niets meer gedeeld." in after.words
    assert "Stop dit" not in after.words
    refused = portal.happens("after", severities=[4])
    assert "U stopte dit op" in Page(client.get(f"/nl/mijn/uitwisselingen/{refused.log_index}").text).words


def test_after_a_stop_the_notice_to_the_recipient_shows(client: TestClient, portal: StoryPortal):
    path = f"{LIST}/{portal.story['shared_by']}"
    post(client, path, {"doe": "stop"})
    client.get(path)
    assert "Gemeente Zonneveen moet het gebruik stoppen." in Page(client.get(path).text).words


def test_an_older_choice_is_shown_as_it_was(client: TestClient, portal: StoryPortal):
    page = _choice(client, portal, "refused_before")
    assert "Geldt niet meer" in page.words
    assert "Daarna koos u iets anders." in page.words
    assert f"{LIST}/{portal.story['shared_by']}" in page.links()
    assert "Stop dit" not in page.words


def test_a_withdrawal_has_the_page_of_what_it_stopped(client: TestClient, portal: StoryPortal):
    page = _choice(client, portal, "withdrawal")
    assert "U stopte dit op 10 september 2025." in page.words
    assert "Deze tekst zag u toen: U stopt dit." in page.words


def test_a_no_is_quiet_for_a_year(client: TestClient, portal: StoryPortal):
    """R9."""
    page = _choice(client, portal, "no")
    assert "Warmbron Gas en Licht B.V. vraagt dit niet opnieuw voor 31 oktober 2026." in page.words


async def test_words_that_are_not_ours_any_more_are_not_made_up(client: TestClient, portal: StoryPortal):
    capture = events_pb2.Capture(via=events_pb2.CAPTURED_VIA_WEB, by="self", text_hash=bytes(32), language="nl")
    (index,) = await portal.change(await portal.rows(ANNA), capture, yes(events_pb2.MODE_JA, scope()))
    page = Page(client.get(f"{LIST}/{index}").text)
    assert "De tekst van toen staat niet meer op deze site." in page.words
    assert "wording" not in {fact for _, fact, _ in page.facts}


async def test_nobody_stops_or_sees_the_choice_of_somebody_else(client: TestClient, portal: StoryPortal):
    (index,) = await portal.change(await portal.rows(BEN), BY_WEB, yes(events_pb2.MODE_JA, scope()))
    path = f"{LIST}/{index}"
    assert client.get(path).status_code == post(client, path, {"doe": "stop"}).status_code == 404
    (choice,) = (await portal.record(await portal.rows(BEN))).choices
    assert not choice.withdrawn_ms


@pytest.mark.parametrize("name", ["shared", "prohibited"])
def test_an_exchange_is_no_choice(client: TestClient, portal: StoryPortal, name: str):
    path = f"{LIST}/{portal.story[name]}"
    assert client.get(path).status_code == post(client, path, {"doe": "stop"}).status_code == 404
    assert post(client, f"{LIST}/{portal.story['shared_by']}", {"doe": "iets"}).status_code == 404


@pytest.mark.parametrize("number", [0, 200])
def test_the_list_asks_the_ledger_once(client: TestClient, portal: StoryPortal, number: int):
    for _ in range(number):
        portal.send(ANNA)
    client.get(LIST)
    portal.calls.clear()
    client.get(LIST)
    assert sorted(portal.calls) == ["record", "registry"]


@pytest.mark.parametrize("number", [0, 200])
def test_a_choice_asks_as_much_with_many_entries_as_with_few(client: TestClient, portal: StoryPortal, number: int):
    for _ in range(number):
        portal.send(ANNA)
    path = f"{LIST}/{portal.story['no']}"
    client.get(path)
    portal.calls.clear()
    client.get(path)
    asked = [call for call in portal.calls if call != "inclusion"]
    assert sorted(asked) == ["entry", "proof", "public_entries", "record", "registry"]
    assert portal.calls.count("inclusion") == 3, "two organisations and a purpose"


def test_choosing_again_starts_at_the_answers(client: TestClient, portal: StoryPortal):
    links = _choice(client, portal, "no").links()
    (again,) = [link for link in links if "nieuw" in link]
    assert "Wat wilt u?" in Page(client.get(again).text).words


async def test_the_words_of_then_are_shown_also_when_all_is_called_otherwise(client: TestClient, portal: StoryPortal):
    """The log keeps every version of a purpose: the words are made again, and the hash of the entry decides."""
    before = _choice(client, portal, "shared_by")
    said = [text for _, fact, text in before.facts if fact == "wording"]
    assert "Lampje Energie B.V." in said[0]
    old = (await portal.registry()).purpose(ARREARS)
    new = replace(old, version=old.version + 1, title=Text("Hulp bij betalen", "Help with paying"))
    published = events_pb2.PurposePublished(purpose=new.to_proto())
    events = [events_pb2.PublicEvent(purpose_published=published), pb_registered(SUPPLIER, "Anders B.V.", private=True)]
    portal.ledger.sequencer.submit(PublishWork(events)).result(10)
    after = _choice(client, portal, "shared_by")
    assert "Hulp bij betalen" in after.words, "what it is called now"
    assert [text for _, fact, text in after.facts if fact == "wording"] == said
    entry = Page(client.get(f"/nl/mijn/uitwisselingen/{portal.story['shared']}").text)
    assert said[0] in [text for _, fact, text in entry.facts if fact == "wording"]
