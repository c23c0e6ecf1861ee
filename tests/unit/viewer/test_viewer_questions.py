"""What waits for the resident, and what the resident asks: /mijn/vragen and /mijn/vraag (AS4c, R8, R21, R37)."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from consent_ledger.v1 import consents_pb2, events_pb2
from consent_ledger.viewer.capture import text_hash
from consent_ledger.viewer.port import presence_proof
from tests.support.ledger import ARREARS, CITY, SUPPLIER
from tests.support.portal import ANNA, BEN, BY_DESK, BY_WEB, MemoryPortal, grant
from tests.support.viewer import log_in, post, viewer_client

YES = grant(events_pb2.MODE_JA)
ASK_ME = grant(events_pb2.MODE_VRAAG_MIJ_EERST)
ME_FIRST = grant(events_pb2.MODE_EERST_ZELF)


async def choose(portal: MemoryPortal, *what: consents_pb2.Grant) -> None:
    results = await portal.change(await portal.rows(ANNA), BY_WEB, *what)
    assert all(isinstance(result, int) for result in results), results


async def state(portal: MemoryPortal) -> consents_pb2.ChoiceRecord:
    return (await portal.record(await portal.rows(ANNA))).choices[0]


async def at_the_desk(portal: MemoryPortal) -> None:
    """A grant with a code, as staff records it."""
    rows = await portal.rows(ANNA)
    code = await portal.send_code(rows, BY_DESK, events_pb2.CODE_CHANNEL_PHONE, ANNA)
    capture = events_pb2.Capture()
    capture.CopyFrom(BY_DESK)
    capture.presence_proof = presence_proof(code.case_id, portal.codes[-1][1])
    results = await portal.change(rows, capture, grant(months=6))
    assert all(isinstance(result, int) for result in results), results


async def test_without_questions_there_is_nothing_to_do(anna: TestClient) -> None:
    shown = anna.get("/nl/mijn/vragen").text
    assert "Er wachten geen vragen op u" in shown
    assert "U hoeft niets te doen." in shown


async def test_a_question_is_on_a_screen_of_its_own_and_its_answers_look_alike(
    portal: MemoryPortal, anna: TestClient
) -> None:
    await choose(portal, ASK_ME)
    sent = portal.send(ANNA)
    place = f"/nl/mijn/vragen/antwoord/{sent.log_index}"
    assert place in anna.get("/nl/mijn/vragen").text
    shown = anna.get(place).text
    answers = re.findall(r'<button class="([^"]*)" type="submit" name="antwoord" value="(\w+)">', shown)
    assert {kind.strip() for kind, _ in answers} == {"button"}
    assert [value for _, value in answers] == ["ja", "nee"]
    assert "Geen antwoord is nee." in shown
    assert "Er verandert niets aan uw uitkering" in shown


async def test_the_order_of_what_one_has_to_know(portal: MemoryPortal, anna: TestClient) -> None:
    await choose(portal, ASK_ME)
    sent = portal.send(ANNA)
    shown = anna.get(f"/en/mijn/vragen/antwoord/{sent.log_index}").text
    terms = re.findall(r"<dt>(.*?)</dt>", shown)
    nl = re.findall(r"<dt>(.*?)</dt>", anna.get(f"/nl/mijn/vragen/antwoord/{sent.log_index}").text)
    assert len(terms) == len(nl) == 9
    assert nl[:5] == ["Wie stuurt het", "Wie ontvangt het", "Wat wordt er gedeeld", "Wat niet", "Waarom"]
    assert nl[-2:] == ["Wat gebeurt er daarna", "Hoe stopt u het"]


@pytest.mark.parametrize(("said", "shares"), [("ja", True), ("nee", False)])
async def test_the_answer_decides_the_next_signal(
    portal: MemoryPortal, anna: TestClient, said: str, *, shares: bool
) -> None:
    await choose(portal, ASK_ME)
    sent = portal.send(ANNA)
    answered = post(anna, f"/nl/mijn/vragen/antwoord/{sent.log_index}", {"antwoord": said})
    assert (answered.status_code, answered.headers["location"]) == (303, "/nl/mijn/vragen")
    asked = (await state(portal)).asked
    assert (asked.open, asked.yes) == (False, shares)
    again = portal.send(ANNA)
    portal.collect(again, acknowledge=shares)
    (newest, *_) = (await portal.record(await portal.rows(ANNA))).exchanges
    assert bool(newest.released_index) is shares
    assert "Er wachten geen vragen op u" in anna.get("/nl/mijn/vragen").text


async def test_an_answer_carries_the_words_that_were_shown(portal: MemoryPortal, anna: TestClient) -> None:
    await choose(portal, ASK_ME)
    sent = portal.send(ANNA)
    place = f"/nl/mijn/vragen/antwoord/{sent.log_index}"
    shown = re.search(r'<blockquote class="quote"><p>(.*?)</p>', anna.get(place).text)
    assert shown
    post(anna, place, {"antwoord": "nee"})
    newest = max(each.log_index for each in (await portal.preview_erasure(await portal.rows(ANNA))).entries)
    entry = (await portal.entry(await portal.rows(ANNA), newest)).entry
    assert entry.event.ask_answered.capture.text_hash == text_hash(shown[1])


async def test_no_answer_chosen_is_asked_again_and_changes_nothing(portal: MemoryPortal, anna: TestClient) -> None:
    await choose(portal, ASK_ME)
    sent = portal.send(ANNA)
    answered = post(anna, f"/nl/mijn/vragen/antwoord/{sent.log_index}", {"antwoord": "misschien"})
    assert answered.status_code == 422
    assert (await state(portal)).asked.open


async def test_a_question_of_somebody_else_does_not_exist(portal: MemoryPortal) -> None:
    await choose(portal, ASK_ME)
    sent = portal.send(ANNA)
    ben = viewer_client(portal)
    log_in(ben, "ben")
    place = f"/nl/mijn/vragen/antwoord/{sent.log_index}"
    assert ben.get(place).status_code == 404
    assert post(ben, place, {"antwoord": "ja"}).status_code == 404
    assert (await state(portal)).asked.open


async def test_an_answered_question_cannot_be_answered_again(portal: MemoryPortal, anna: TestClient) -> None:
    await choose(portal, ASK_ME)
    sent = portal.send(ANNA)
    place = f"/nl/mijn/vragen/antwoord/{sent.log_index}"
    post(anna, place, {"antwoord": "nee"})
    assert post(anna, place, {"antwoord": "ja"}).status_code == 404
    assert not (await state(portal)).asked.yes


async def test_what_one_tries_alone_is_shown_until_it_is_solved(portal: MemoryPortal, anna: TestClient) -> None:
    await choose(portal, ME_FIRST)
    portal.send(ANNA)
    assert "U probeert het zelf, tot 15 januari 2026" in anna.get("/nl/mijn/vragen").text
    portal.clock.forward(days=40)
    log_in(anna)
    assert "U loste het zelf op. Er is niets gedeeld." in anna.get("/nl/mijn/vragen").text


async def test_what_the_desk_recorded_is_confirmed_or_stopped_by_the_resident(
    portal: MemoryPortal, anna: TestClient
) -> None:
    await at_the_desk(portal)
    index = (await state(portal)).log_index
    place = f"/nl/mijn/vragen/bevestigen/{index}"
    assert "Vastgelegd aan de balie" in anna.get("/nl/mijn/vragen").text
    assert "8 januari 2026" in anna.get(place).text
    post(anna, place, {"antwoord": "ja"})
    assert not (await state(portal)).awaits_confirmation
    assert anna.get(place).status_code == 404


async def test_what_is_wrong_is_stopped_in_as_many_steps(portal: MemoryPortal, anna: TestClient) -> None:
    await at_the_desk(portal)
    index = (await state(portal)).log_index
    post(anna, f"/nl/mijn/vragen/bevestigen/{index}", {"antwoord": "nee"})
    assert (await state(portal)).withdrawn_ms


async def test_a_question_goes_to_who_took_part_and_can_be_read_again(portal: MemoryPortal, anna: TestClient) -> None:
    await choose(portal, YES)
    portal.collect(portal.send(ANNA))
    form = anna.get("/nl/mijn/vragen/nieuw").text
    assert f'value="{SUPPLIER}/{ARREARS}"' in form
    assert f'value="{CITY}/{ARREARS}"' in form
    assert "checked" not in form
    sent = post(anna, "/nl/mijn/vragen/nieuw", {"aan": f"{CITY}/{ARREARS}", "tekst": "Waarom <b>belde</b> u?"})
    assert sent.status_code == 303, sent.text
    shown = anna.get(sent.headers["location"])
    assert "Waarom &lt;b&gt;belde&lt;/b&gt; u?" in shown.text
    assert "Nog geen antwoord" in shown.text
    portal.clock.forward(days=60)
    log_in(anna)
    assert "Het antwoord is te laat" in anna.get(sent.headers["location"]).text


async def test_a_recipient_that_got_nothing_cannot_be_asked(portal: MemoryPortal, anna: TestClient) -> None:
    portal.send(ANNA)  # refused: the municipality must not learn of it
    form = anna.get("/nl/mijn/vragen/nieuw").text
    assert f'value="{SUPPLIER}/{ARREARS}"' in form
    assert f'value="{CITY}/{ARREARS}"' not in form
    refused = post(anna, "/nl/mijn/vragen/nieuw", {"aan": f"{CITY}/{ARREARS}", "tekst": "Hallo"})
    assert refused.status_code == 422
    assert not await portal.questions(await portal.rows(ANNA))


async def test_a_question_about_one_exchange_offers_who_was_in_it(portal: MemoryPortal, anna: TestClient) -> None:
    await choose(portal, YES)
    sent = portal.send(ANNA)
    portal.collect(sent)
    form = anna.get(f"/nl/mijn/vragen/nieuw?over={sent.log_index}").text
    assert "Uw vraag gaat over wat er gebeurde op 1 januari 2026." in form
    fields = {"over": str(sent.log_index), "aan": f"{CITY}/{ARREARS}", "tekst": "Waarom?"}
    asked = post(anna, "/nl/mijn/vragen/nieuw", fields)
    assert f"/nl/mijn/uitwisselingen/{sent.log_index}" in anna.get(asked.headers["location"]).text


@pytest.mark.parametrize("over", ["-1", "abc", "9" * 30, "999999"])
async def test_a_question_about_nothing_is_not_found(anna: TestClient, over: str) -> None:
    assert anna.get(f"/nl/mijn/vragen/nieuw?over={over}").status_code == 404


async def test_a_question_needs_words_and_not_too_many(portal: MemoryPortal, anna: TestClient) -> None:
    await choose(portal, YES)
    portal.collect(portal.send(ANNA))
    for text in ("  ", "x" * 1501):
        refused = post(anna, "/nl/mijn/vragen/nieuw", {"aan": f"{CITY}/{ARREARS}", "tekst": text})
        assert refused.status_code == 422
        assert 'aria-invalid="true"' in refused.text


async def test_nobody_reads_the_question_of_somebody_else(portal: MemoryPortal, anna: TestClient) -> None:
    await choose(portal, YES)
    portal.collect(portal.send(ANNA))
    sent = post(anna, "/nl/mijn/vragen/nieuw", {"aan": f"{CITY}/{ARREARS}", "tekst": "Waarom?"})
    ben = viewer_client(portal)
    log_in(ben, "ben")
    assert ben.get(sent.headers["location"]).status_code == 404
    assert await portal.questions(await portal.rows(BEN)) == []
