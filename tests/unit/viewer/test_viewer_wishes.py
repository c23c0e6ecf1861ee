"""Contact preferences: /mijn/contact, one screen per part, and exactly what a recipient gets (R26-R35)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import unescape

import pytest
from starlette.testclient import TestClient

from consent_ledger.purpose import Text
from consent_ledger.v1 import consents_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.viewer import wishes
from consent_ledger.viewer.forms import Form
from consent_ledger.viewer.parties import Party
from consent_ledger.viewer.telling import Choice
from tests.support.portal import ANNA, BY_WEB, MemoryPortal, grant
from tests.support.viewer import post

FILLED: dict[str, dict[str, str | Sequence[str]]] = {
    "kanalen": {"eerst": "2", "daarna": "1", "laatst": "", "nooit": ["3", "8"]},
    "tijd": {"rust": ["3", "4"], "antwoordtijd": "14"},
    "vaak": {"persoonlijk": "ja", "vaak": "2", "aanbod": "ja"},
    "wie": {"persoon": "ja", "samen": "nee"},
    "toon": {"taal": "en", "aanspreken": "je", "lengte": "1", "envelop": "ja"},
}
EXPECTED = pb.Preferences(
    channels=[pb.CHANNEL_EMAIL, pb.CHANNEL_BRIEF],
    never=[pb.CHANNEL_TELEFOON, pb.CHANNEL_HUISBEZOEK],
    quiet=[pb.QUIET_TIME_AVOND, pb.QUIET_TIME_WEEKEND],
    answer_days=14,
    most_per_30_days=2,
    one_offer=True,
    same_person=True,
    language="en",
    form_of_address="je",
    detail=pb.DETAIL_SHORT,
    neutral_envelope=True,
)


async def preferences(portal: MemoryPortal) -> pb.Preferences:
    return (await portal.record(await portal.rows(ANNA))).preferences


def message_on(page: str) -> dict[str, object]:
    found = re.search(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL)
    assert found
    shown: dict[str, object] = json.loads(unescape(found[1]))
    return shown


async def test_until_one_chooses_it_is_a_letter_and_nothing_is_ticked(anna: TestClient) -> None:
    shown = anna.get("/nl/mijn/contact").text
    assert "Tot u kiest, mag een organisatie u alleen een brief sturen." in shown
    assert message_on(shown) == {"channels": ["CHANNEL_BRIEF"]}
    for part in ("tijd", "vaak", "wie", "toon"):
        assert " checked" not in anna.get(f"/nl/mijn/contact/{part}").text, part


async def test_every_part_is_recorded_and_the_rest_stays(portal: MemoryPortal, anna: TestClient) -> None:
    for part, fields in FILLED.items():
        answered = post(anna, f"/nl/mijn/contact/{part}", fields)
        assert (answered.status_code, answered.headers.get("location")) == (303, "/nl/mijn/contact"), answered.text
    assert await preferences(portal) == EXPECTED
    for part in FILLED:  # what was chosen is filled in, so that sending it again changes nothing
        page = anna.get(f"/nl/mijn/contact/{part}").text
        chosen = re.findall(r'name="(\w+)" value="(\w*)" checked', page)
        chosen += [
            (name, value)
            for name, options in re.findall(r'<select id="[^"]*" name="(\w+)"[^>]*>(.*?)</select>', page, re.DOTALL)
            for value in re.findall(r'value="(\w*)" selected', options)
        ]
        again: dict[str, list[str]] = {}
        for name, value in chosen:
            again.setdefault(name, []).append(value)
        assert post(anna, f"/nl/mijn/contact/{part}", again).status_code == 303
    assert await preferences(portal) == EXPECTED


async def test_the_preview_is_what_travels_with_a_signal(portal: MemoryPortal, anna: TestClient) -> None:
    rows = await portal.rows(ANNA)
    await portal.change(rows, BY_WEB, grant(), EXPECTED)
    shown = anna.get("/nl/mijn/contact").text
    assert message_on(shown) == json.loads(wishes.as_message(await preferences(portal)))
    assert "U gaf op 1 januari 2026 toestemming:" in shown
    assert "Er gaat geen telefoonnummer, e-mailadres of naam mee." in shown
    for hidden in ("elements", "999990019"):
        assert hidden not in shown


async def test_without_a_consent_the_preview_says_that_nobody_gets_it(anna: TestClient) -> None:
    assert "U gaf nog niemand toestemming." in anna.get("/nl/mijn/contact").text


async def test_general_only_stops_the_next_signal(portal: MemoryPortal, anna: TestClient) -> None:
    await portal.change(await portal.rows(ANNA), BY_WEB, grant())
    post(anna, "/nl/mijn/contact/vaak", {**FILLED["vaak"], "persoonlijk": "nee"})
    portal.send(ANNA)
    (newest,) = (await portal.record(await portal.rows(ANNA))).exchanges
    assert newest.reason == pb.REASON_GENERAL_ONLY
    assert "Daarom wordt er nu niets over u gedeeld." in anna.get("/nl/mijn/contact").text


async def test_it_says_honestly_what_is_enforced_and_what_is_asked(anna: TestClient) -> None:
    shown = anna.get("/en/mijn/contact").text
    assert "This we stop ourselves" in shown
    assert "This we ask of the organisation" in shown
    assert "We are not there then." in shown


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"eerst": "", "daarna": "", "laatst": ""}, {"eerst": "wishes.first_needed"}),
        ({"eerst": "1", "daarna": "1", "laatst": ""}, {"daarna": "wishes.twice"}),
        ({"eerst": "1", "daarna": "", "laatst": "2"}, {"laatst": "wishes.gap"}),
        ({"eerst": "3", "daarna": "", "laatst": "", "nooit": ["3"]}, {"eerst": "wishes.never_clash"}),
        ({"eerst": "99", "daarna": "", "laatst": ""}, {"eerst": "wishes.first_needed"}),
    ],
)
async def test_what_contradicts_itself_is_asked_again(
    portal: MemoryPortal, anna: TestClient, fields: Mapping[str, str], wrong: Mapping[str, str]
) -> None:
    sent = {name: value if isinstance(value, list) else [value] for name, value in fields.items()}
    form = Form({name: list(value) for name, value in sent.items()})
    wishes.PARTS["kanalen"](form, pb.Preferences())
    assert form.errors == wrong
    refused = post(anna, "/nl/mijn/contact/kanalen", fields)
    assert refused.status_code == 422
    assert 'href="#veld-' in refused.text
    assert not (await portal.record(await portal.rows(ANNA))).HasField("preferences")


@pytest.mark.parametrize("part", ["tijd", "vaak", "wie", "toon"])
async def test_an_empty_form_is_asked_again(anna: TestClient, part: str) -> None:
    assert post(anna, f"/nl/mijn/contact/{part}").status_code == 422


async def test_a_part_that_is_none_is_not_found(anna: TestClient) -> None:
    assert anna.get("/nl/mijn/contact/kleur").status_code == 404
    assert post(anna, "/nl/mijn/contact/kleur").status_code == 404


async def test_a_value_set_elsewhere_stays_choosable(portal: MemoryPortal, anna: TestClient) -> None:
    await portal.change(await portal.rows(ANNA), BY_WEB, pb.Preferences(most_per_30_days=3, answer_days=21))
    assert "Hooguit 3 keer in 30 dagen" in anna.get("/nl/mijn/contact/vaak").text
    assert "21 dagen" in anna.get("/nl/mijn/contact").text


def test_a_recipient_that_has_none_of_these_ways_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consent_ledger.texts.explanation", lambda *_: Text("", ""))
    city = Party("2", "Stad", private=False, channels=(pb.CHANNEL_TELEFOON,))
    record = consents_pb2.ChoiceRecord(log_index=5)
    choice = Choice(record, "active", city, city, object(), ())  # type: ignore[arg-type]  # only its presence counts
    assert [each.unreachable for each in wishes.previews([choice], pb.Preferences(channels=[pb.CHANNEL_BRIEF]))] == [
        True
    ]
    both = pb.Preferences(channels=[pb.CHANNEL_BRIEF, pb.CHANNEL_TELEFOON])
    assert [each.unreachable for each in wishes.previews([choice], both)] == [False]
    both.never.append(pb.CHANNEL_TELEFOON)
    assert [each.unreachable for each in wishes.previews([choice], both)] == [True]
