"""A form that is sent twice: a double click, a reload, two browsers at once; and one that is meant anew."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from starlette.testclient import TestClient

from consent_ledger.clock import DAY_MS
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.v1 import events_pb2
from consent_ledger.viewer.once import FIELD, new_form
from tests.support.ledger import ARREARS, CITY, SUPPLIER
from tests.support.places import INVITED, MINE, PUBLIC, town
from tests.support.portal import ANNA, BY_WEB, MemoryPortal, grant
from tests.support.viewer import ORIGIN, log_in, post, viewer_client

YES = {"doel": ARREARS, "van": SUPPLIER, "naar": CITY, "antwoord": "ja", "maanden": "6", "vanaf": "0"}
ASKED = {"aan": f"{SUPPLIER}/{ARREARS}", "tekst": "Wie belt mij?"}
HELPER = {"relatie": "2", "mag": "1", "maanden": "3"}


def kinds(portal: MemoryPortal) -> list[str]:
    found = [str(event.WhichOneof("body")) for _, event, _ in portal.ledger.events()]
    return [kind for kind in found if kind != "record_viewed"]


def twice(client: TestClient, path: str, fields: dict[str, str]) -> tuple[Any, Any]:
    sent = {FIELD: new_form(), **fields}
    return post(client, path, sent), post(client, path, sent)


def test_a_choice_is_recorded_once_and_both_end_at_it(anna: TestClient, portal: MemoryPortal):
    first, second = twice(anna, "/nl/mijn/toestemmingen/nieuw", YES)
    assert kinds(portal) == ["consent_granted"]
    assert (first.status_code, first.headers["location"]) == (second.status_code, second.headers["location"])
    assert 'role="status"' in anna.get(second.headers["location"]).text, "the page says it the second time too"


async def test_two_at_once_are_one(portal: MemoryPortal):
    """The answer to the first is not there yet: the ledger knows the form by what it was made of."""
    client = viewer_client(portal)
    log_in(client)
    anna = dict(client.cookies)
    clients = [viewer_client(portal, store=client.app.state.viewer.sessions._store) for _ in range(2)]
    for each in clients:
        each.cookies.update(anna)
    sent = {FIELD: new_form(), "doe": "pauze"}
    answers = await asyncio.gather(*(asyncio.to_thread(post, each, "/nl/mijn/pauze", sent) for each in clients))
    assert [answer.status_code for answer in answers] == [303, 303]
    assert kinds(portal) == ["sharing_paused"]


def test_a_form_that_was_changed_before_it_was_sent_again_counts(anna: TestClient, portal: MemoryPortal):
    form = new_form()
    post(anna, "/nl/mijn/toestemmingen/nieuw", {**YES, FIELD: form})
    post(anna, "/nl/mijn/toestemmingen/nieuw", {**YES, "maanden": "3", FIELD: form})
    assert kinds(portal) == ["consent_granted"] * 2


def test_pausing_again_after_resuming_pauses(anna: TestClient, portal: MemoryPortal):
    page = {FIELD: new_form(), "doe": "pauze"}
    post(anna, "/nl/mijn/pauze", page)
    post(anna, "/nl/mijn/pauze", {"doe": "hervat"})
    post(anna, "/nl/mijn/pauze", page)
    assert kinds(portal) == ["sharing_paused", "sharing_resumed", "sharing_paused"]


def test_the_same_form_long_after_is_meant_anew(anna: TestClient, portal: MemoryPortal):
    page = {FIELD: new_form(), "doe": "pauze"}
    post(anna, "/nl/mijn/pauze", page)
    portal.clock.forward(ms=11 * 60_000)
    post(anna, "/nl/mijn/pauze", page)
    assert kinds(portal) == ["sharing_paused"] * 2


async def test_a_question_is_asked_once(anna: TestClient, portal: MemoryPortal):
    await portal.change(await portal.rows(ANNA), BY_WEB, grant())
    first, second = twice(anna, "/nl/mijn/vragen/nieuw", ASKED)
    assert kinds(portal).count("question_asked") == 1, first.text
    assert first.headers["location"] == second.headers["location"]


async def test_a_helper_is_invited_once_and_the_code_is_the_same(anna: TestClient, portal: MemoryPortal):
    first, second = twice(anna, "/nl/mijn/machtigingen/nieuw", HELPER)
    assert kinds(portal) == ["representative_added"], first.text
    codes = [re.search(r"ABCD ?\d{4}", answer.text) for answer in (first, second)]
    assert codes[0]
    assert codes[1]
    assert codes[0][0] == codes[1][0]


async def test_everything_is_erased_once(anna: TestClient, portal: MemoryPortal):
    await portal.change(await portal.rows(ANNA), BY_WEB, grant())
    first, second = twice(anna, "/nl/mijn/wissen", {"zeker": "ja"})
    assert (first.status_code, second.status_code) == (200, 200)
    assert kinds(portal).count("record_erased") == len(await portal.rows(ANNA))


async def test_the_same_change_under_the_same_id_has_the_same_answer(portal: MemoryPortal):
    rows, name = await portal.rows(ANNA), [b"n" * 16]
    (first,) = await portal.change(rows, BY_WEB, grant(), change_ids=name)
    portal.clock.forward(ms=DAY_MS)
    assert await portal.change(rows, BY_WEB, grant(), change_ids=name) == [first]
    (other,) = await portal.change(rows, BY_WEB, pb.Pause(), change_ids=name)
    assert other.reason == "NONCE_REUSED"
    by_letter = events_pb2.Capture(via=events_pb2.CAPTURED_VIA_PAPER, by="x", language="nl")
    (other,) = await portal.change(rows, by_letter, grant(), change_ids=name)
    assert other.reason in ("NONCE_REUSED", "PRESENCE_REQUIRED")


def test_what_no_page_of_ours_made_is_refused(anna: TestClient, portal: MemoryPortal):
    assert post(anna, "/nl/mijn/pauze", {"doe": "pauze", FIELD: "../x"}).status_code == 400
    assert kinds(portal) == []
    old = anna.post("/nl/mijn/pauze", data={"doe": "pauze"}, headers={"Origin": ORIGIN})
    assert old.status_code == 303, "whoever wants to stop can, also from a page of before"


async def test_every_form_that_does_something_can_be_sent_twice():
    made = await town()
    client = viewer_client(made.portal)
    log_in(client)
    for place in made.places(PUBLIC | MINE | INVITED):
        page = client.get(f"/nl{place}").text
        for form in re.findall(r'<form[^>]*method="post" action="/nl/mijn.*?</form>', page, re.DOTALL):
            assert f'name="{FIELD}"' in form, place
    values = re.findall(f'name="{FIELD}" value="([^"]+)"', client.get("/nl/mijn/pauze").text)
    assert len(values) == len(set(values)) > 1
    made.portal.close()
