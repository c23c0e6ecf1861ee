"""'Er is iets veranderd' (R33): an offer of three months that creates nothing by itself and keeps nothing."""

from __future__ import annotations

import re

from starlette.testclient import TestClient

from consent_ledger.lifeevents import LIFE_EVENTS
from consent_ledger.v1 import consents_pb2, events_pb2
from tests.support.ledger import ARREARS, CITY, OTHER_CITY, SUPPLIER
from tests.support.portal import ANNA, MemoryPortal
from tests.support.viewer import post

PATH = "/nl/mijn/verandering"
CHOICE = f"{PATH}/keuzes/{ARREARS}"
PARTIES = {"van": SUPPLIER, "aan": CITY}


async def choices(portal: MemoryPortal) -> list[consents_pb2.ChoiceRecord]:
    return list((await portal.record(await portal.rows(ANNA))).choices)


async def test_saying_what_changed_creates_and_records_nothing(portal: MemoryPortal, anna: TestClient) -> None:
    anna.get(PATH)
    before = len(portal.ledger.sequencer.registry.purposes), portal.calls.count("change")
    for event in LIFE_EVENTS:
        shown = post(anna, PATH, {"wat": event.id})
        assert shown.headers["location"] == f"{PATH}/keuzes"  # what it was stands in no address
        assert "Wat u kunt kiezen" in anna.get(f"{PATH}/keuzes").text
    assert (len(portal.ledger.sequencer.registry.purposes), portal.calls.count("change")) == before
    assert await choices(portal) == []


async def test_without_saying_what_changed_there_is_nothing_to_offer(anna: TestClient) -> None:
    assert anna.get(f"{PATH}/keuzes").headers["location"] == PATH
    assert post(anna, PATH, {"wat": "iets"}).status_code == 422


async def test_one_question_per_screen_and_nothing_chosen_beforehand(anna: TestClient) -> None:
    pages = [anna.get(CHOICE).text, anna.get(f"{CHOICE}?van={SUPPLIER}").text]
    assert "Wie mag iets laten weten?" in pages[0]
    assert "Aan welke gemeente?" in pages[1]
    assert not any(" checked" in page for page in pages)


async def test_yes_holds_three_months_and_says_what_led_to_it(portal: MemoryPortal, anna: TestClient) -> None:
    shown = anna.get(f"{CHOICE}?van={SUPPLIER}&aan={CITY}").text
    answers = re.findall(r'<button class="([^"]*)" type="submit" name="antwoord" value="(\w+)">', shown)
    assert [(kind.strip(), value) for kind, value in answers] == [("button", "ja"), ("button", "nee")]
    assert "1 april 2026" in shown
    assert post(anna, CHOICE, {**PARTIES, "antwoord": "ja"}).status_code == 303
    (choice,) = await choices(portal)
    assert choice.occasion == events_pb2.OCCASION_LIFE_EVENT
    assert choice.mode == events_pb2.MODE_JA
    ninety_days = 90 * 86_400_000
    assert choice.valid_until_ms - choice.valid_from_ms == ninety_days


async def test_no_is_recorded_as_easily(portal: MemoryPortal, anna: TestClient) -> None:
    post(anna, CHOICE, {**PARTIES, "antwoord": "nee"})
    (choice,) = await choices(portal)
    assert choice.mode == events_pb2.MODE_NEE
    again = anna.get(f"{CHOICE}?van={SUPPLIER}&aan={CITY}").text
    assert "U heeft hierover al iets gekozen op 1 januari 2026." in again


async def test_what_was_not_offered_is_not_recorded(portal: MemoryPortal, anna: TestClient) -> None:
    assert post(anna, CHOICE, {"van": CITY, "aan": SUPPLIER, "antwoord": "ja"}).status_code == 404
    assert post(anna, CHOICE, {**PARTIES, "antwoord": "altijd"}).status_code == 422
    assert post(anna, f"{PATH}/keuzes/gerichte-advertentie", {**PARTIES, "antwoord": "ja"}).status_code == 404
    assert await choices(portal) == []
    assert OTHER_CITY in anna.get(f"{CHOICE}?van={SUPPLIER}").text
