"""Making a choice: one question per screen, nothing chosen beforehand, no and yes alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256

import pytest
from starlette.testclient import TestClient

from consent_ledger.v1 import events_pb2
from consent_ledger.viewer.once import FIELD
from tests.support.ledger import ARREARS, CITY, INCOME, ITEM, SUPPLIER, TAX_OFFICE
from tests.support.pages import Page
from tests.support.portal import ANNA, BEN, BY_WEB
from tests.support.portal_story import StoryPortal
from tests.support.viewer import log_in, post, viewer_client

NEW = "/nl/mijn/toestemmingen/nieuw"
PARTIES = {"doel": ARREARS, "van": SUPPLIER, "naar": CITY}
YES = {**PARTIES, "antwoord": "ja", "maanden": "6", "vanaf": "2"}


@pytest.fixture
def portal() -> StoryPortal:
    return StoryPortal()


@pytest.fixture
def client(portal: StoryPortal) -> Iterator[TestClient]:
    made = viewer_client(portal)
    log_in(made, "ben")
    yield made
    portal.close()


def _screen(client: TestClient, **answered: str) -> Page:
    answer = client.get(NEW, params=answered)
    assert answer.status_code == 200
    return Page(answer.text)


SCREENS = [
    ({}, "doel", {ARREARS, INCOME}),
    ({"doel": ARREARS}, "van", {SUPPLIER, "00000099000000000012"}),
    ({"doel": ARREARS, "van": SUPPLIER}, "naar", {CITY, "00000099000000000022"}),
    (PARTIES, "antwoord", {"ja", "nee", "vraag", "zelf"}),
    ({**PARTIES, "antwoord": "ja"}, "maanden", {"3", "6", "12"}),
    ({**PARTIES, "antwoord": "zelf", "maanden": "3"}, "vanaf", {"0", "2", "3", "4"}),
]


@pytest.mark.parametrize(("answered", "question", "offered"), SCREENS)
def test_each_screen_asks_one_thing_and_has_nothing_chosen(
    client: TestClient, answered: dict[str, str], question: str, offered: set[str]
):
    page = _screen(client, **answered)
    radios = page.fields(type="radio")
    assert {field["name"] for field in radios} == {question}
    assert {field["value"] for field in radios} == offered
    assert not any("checked" in field for field in radios)
    assert page.sent() == {**answered, "stap": question}, "what was answered goes along"


def test_walking_the_screens_needs_no_javascript(client: TestClient, portal: StoryPortal):
    """A browser only sends the fields of each form; the last is recorded."""
    fields: dict[str, str] = {}
    for _, question, _ in SCREENS:
        page = Page(client.get(NEW, params=fields).text)
        fields = {**page.sent(), question: {**YES, "maanden": "6"}[question]}
    last = Page(client.get(NEW, params=fields).text)
    assert "Klopt dit?" in last.words
    answer = post(client, NEW, last.sent())
    assert re.fullmatch(r"/nl/mijn/toestemmingen/\d+", answer.headers["location"])
    assert "Uw keuze is vastgelegd: ja." in Page(client.get(answer.headers["location"]).text).words


@pytest.mark.parametrize(("answered", "question", "_offered"), SCREENS)
def test_going_on_without_an_answer_says_so(
    client: TestClient, answered: dict[str, str], question: str, _offered: set[str]
):
    answer = client.get(NEW, params={**answered, "stap": question})
    assert answer.status_code == 422
    assert "Kies een van de antwoorden." in answer.text
    assert f'href="#veld-{question}"' in answer.text
    assert "<title>Fout: " in answer.text


def test_before_choosing_one_reads_everything_in_the_order_of_r15(client: TestClient):
    page = _screen(client, **PARTIES)
    headings = ("Wie stuurt het", "Wie ontvangt het", "Wat wordt er gedeeld", "Wat niet", "Waarom", "Sinds wanneer",
                "Tot wanneer", "Wat gebeurt er daarna", "Hoe stopt u het", "Uw antwoord")  # fmt: skip
    at = [page.words.index(heading) for heading in headings]
    assert at == sorted(at)
    assert "Nee is ook goed. Er verandert niets aan uw uitkering, toeslag of energiecontract." in page.words


def test_yes_and_no_are_alike(client: TestClient):
    """The same element with the same classes, beside each other, in one group: one tab stop for both."""
    html = client.get(NEW, params=PARTIES).text
    blocks = re.findall(r'<div class="choice">.*?</div>', html, re.DOTALL)
    assert ['value="ja"' in blocks[0], 'value="nee"' in blocks[1], len(blocks)] == [True, True, 4]
    plain = [re.sub(r'id="[^"]*"|for="[^"]*"|aria-[a-z]+="[^"]*"|value="[^"]*"|>[^<]*<', "", block) for block in blocks]
    assert len(set(plain)) == 1


def test_no_takes_fewer_screens_than_yes(client: TestClient):
    page = _screen(client, **PARTIES, antwoord="nee")
    assert "U kiest: nee." in page.words
    assert "vraagt het 12 maanden niet opnieuw" in page.words
    assert set(page.sent()) - {FIELD} == {*PARTIES, "antwoord"}


async def test_what_is_recorded_is_what_was_shown(client: TestClient, portal: StoryPortal):
    page = _screen(client, **YES)
    shown = re.search(r"U kiest: ja\..*?U kunt altijd eerder stoppen\.", page.words)
    assert shown
    index = int(post(client, NEW, page.sent()).headers["location"].rpartition("/")[2])
    entry = (await portal.entry(await portal.rows(BEN), index)).entry.event.consent_granted
    assert entry.capture.text_hash == sha256(shown[0].encode()).digest()
    assert (entry.capture.via, entry.capture.language) == (events_pb2.CAPTURED_VIA_WEB, "nl")
    assert (entry.mode, entry.threshold, list(entry.items)) == (events_pb2.MODE_JA, 2, [ITEM[ARREARS]])


@pytest.mark.parametrize(
    ("answer", "mode"), [("vraag", events_pb2.MODE_VRAAG_MIJ_EERST), ("zelf", events_pb2.MODE_EERST_ZELF)]
)
async def test_the_answers_in_between_are_recorded(client: TestClient, portal: StoryPortal, answer: str, mode: int):
    post(client, NEW, {**YES, "antwoord": answer, "vanaf": "0"})
    (choice,) = (await portal.record(await portal.rows(BEN))).choices
    assert (choice.mode, choice.threshold) == (mode, 0)


@pytest.mark.parametrize("left_out", ["doel", "van", "naar", "antwoord", "maanden", "vanaf"])
async def test_half_a_choice_is_not_recorded(client: TestClient, portal: StoryPortal, left_out: str):
    answer = post(client, NEW, {name: value for name, value in YES.items() if name != left_out})
    assert answer.headers["location"].startswith(NEW)
    assert not (await portal.record(await portal.rows(BEN))).choices


def test_a_prohibited_purpose_cannot_be_chosen(client: TestClient):
    """I8: there is no control for it, and sending one anyway records nothing."""
    page = _screen(client)
    assert "handhaving" not in {field["value"] for field in page.fields(type="radio")}
    answer = post(client, NEW, {**YES, "doel": "handhaving"})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(NEW)


@pytest.mark.parametrize(
    ("name", "value"), [("van", TAX_OFFICE), ("naar", SUPPLIER), ("maanden", "24"), ("vanaf", "1"), ("antwoord", "JA")]
)
def test_what_is_not_offered_counts_as_not_answered(client: TestClient, name: str, value: str):
    page = _screen(client, **{**YES, name: value})
    assert {field["name"] for field in page.fields(type="radio")} == {name}


def test_what_holds_now_is_said_but_not_ticked(client: TestClient):
    post(client, NEW, {**PARTIES, "antwoord": "nee"})
    page = _screen(client, **PARTIES)
    assert "Nu geldt: nee." in page.words
    assert not any("checked" in field for field in page.fields(type="radio"))


def test_one_can_always_go_back_a_screen(client: TestClient):
    page = _screen(client, **YES)
    steps = 0
    while (back := page.links()[0]) != "/nl/mijn/toestemmingen":
        page = Page(client.get(back).text)
        steps += 1
    assert steps == 6


HELP = [
    ({"wil": "nee"}, "Nee"),
    ({"wil": "weetniet"}, "Vraag mij eerst"),
    ({"wil": "ja", "zelf": "ja"}, "Eerst zelf"),
    ({"wil": "ja", "zelf": "nee", "beslissen": "ja"}, "Vraag mij eerst"),
    ({"wil": "ja", "zelf": "nee", "beslissen": "nee"}, "Ja"),
]


@pytest.mark.parametrize(("said", "advice"), HELP)
def test_help_proposes_and_ticks_nothing(client: TestClient, said: dict[str, str], advice: str):
    page = Page(client.get(f"{NEW}/hulp", params={**PARTIES, **said}).text)
    assert f"Dit past misschien bij u {advice} " in page.words
    (to_answers,) = {link for link in page.links() if link.startswith(f"{NEW}?")}
    answers = Page(client.get(to_answers).text)
    assert {field["name"] for field in answers.fields(type="radio")} == {"antwoord"}
    assert not any("checked" in field for field in answers.fields())


@pytest.mark.parametrize("said", [{}, {"wil": "ja"}, {"wil": "ja", "zelf": "nee"}])
def test_help_asks_one_thing_at_a_time(client: TestClient, said: dict[str, str]):
    page = Page(client.get(f"{NEW}/hulp", params={**PARTIES, **said}).text)
    assert len({field["name"] for field in page.fields(type="radio")}) == 1
    assert client.get(f"{NEW}/hulp", params={**PARTIES, **page.sent()}).status_code == 422


def test_help_first_needs_to_know_what_about(client: TestClient):
    assert client.get(f"{NEW}/hulp", params={"doel": ARREARS}).headers["location"] == f"{NEW}?doel={ARREARS}"


async def test_who_may_only_stop_for_somebody_can_say_no_and_not_yes(client: TestClient, portal: StoryPortal):
    """R38: a mandate to stop includes saying no."""
    rows = await portal.rows(ANNA)
    invited = await portal.invite(
        rows, BY_WEB, mandate=events_pb2.MANDATE_STOP, relation=events_pb2.RELATION_FAMILY, months=3
    )
    helper = viewer_client(portal)
    log_in(helper, "helper")
    post(helper, "/nl/inloggen/uitnodiging", {"code": invited.code})
    page = _screen(helper, **PARTIES)
    assert [field["value"] for field in page.fields(type="radio")] == ["nee"]
    assert post(helper, NEW, YES).status_code == 403
    assert post(helper, NEW, {**PARTIES, "antwoord": "nee"}).status_code == 303
    (choice,) = (await portal.record(rows)).choices
    assert choice.mode == events_pb2.MODE_NEE
    assert choice.captured_via == events_pb2.CAPTURED_VIA_REPRESENTATIVE


def test_what_the_ledger_refuses_is_not_called_recorded(client: TestClient, portal: StoryPortal):
    portal.fails = "LEDGER_UNAVAILABLE"
    answer = post(client, NEW, YES)
    assert answer.status_code == 503
    assert "vastgelegd" not in Page(answer.text).words
