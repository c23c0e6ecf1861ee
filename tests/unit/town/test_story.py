"""The scenes are told against a stage that answers as the residents' requirements say; and against one that does not."""

import datetime as dt
import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from gateway.town import generator, participants
from gateway.town.arrears_scenes import ARREARS_SCENES, TWO_WEEKS_LATER
from gateway.town.count import Count, coarse
from gateway.town.income_scenes import INCOME_SCENES
from gateway.town.petra_scenes import THIS_WEEK, TWO_MONTHS_AGO
from gateway.town.story import NAMES, Person, Received, Seen, Words
from gateway.town.tell import Teller

PROHIBITED = {"gerichte-advertentie", "handhaving", "fraudeopsporing", "incasso", "profilering"}
FORBIDDEN = (
    *(
        "schuldenaar",
        "wanbetaler",
        "wanbetaling",
        "probleemgeval",
        "problematische schulden",
        "in gebreke",
        "verwijtbaar",
    ),
    *("fraude", "risicoburger", "doelgroep", "dient te", "middels", "indien", "reeds"),
)
TOWN = generator.make_town(dt.date(2026, 11, 23))


class FakeStage:
    """Keeps one choice per resident and sender, and the little of the rules that the scenes need."""

    def __init__(self):
        self.choices, self.paused, self.preferences, self.exchanges = {}, set(), {}, {}
        self.waiting, self.asked, self.window, self.days = [], {}, {}, 0
        self.size = 40
        self.questions, self.helpers = [], []

    def person(self, name):
        return Person(name, TOWN.cast[NAMES.index(name)])

    def reason(self, person, report):
        key = (person.name, report.sender.oin, report.purpose)
        choice = self.choices.get(key)
        if report.purpose in PROHIBITED or report.inferred:
            return "PURPOSE_PROHIBITED"
        if person.name in self.paused:
            return "PAUSED"
        if choice in {None, "NEE", "STOPPED"}:
            return {None: "NO_CONSENT", "NEE": "REFUSED", "STOPPED": "WITHDRAWN"}[choice]
        if len(report.items) > 1:
            return "SCOPE_EXCEEDED"
        if self.preferences.get(person.name, {}).get("general_only"):
            return "GENERAL_ONLY"
        if choice == "EERST_ZELF" and self.days < self.window.setdefault(key, self.days + 14):
            return "SELF_FIRST_WINDOW"
        if choice == "VRAAG_MIJ_EERST" and not self.asked.get(key):
            return "REFUSED" if self.days > 14 else "AWAITING_RESIDENT"
        return "ALLOWED"

    async def report_arrears(self, person, report):
        reason = self.reason(person, report)
        self.exchanges.setdefault((person.name, report.purpose), []).append(Seen(reason, Words("nl", "en"), self.size))
        self.size += 1
        if reason == "ALLOWED":
            self.waiting.append((person, report))
        return coarse(reason)

    report_income = report_arrears

    async def newest(self, person, purpose):
        return self.exchanges[person.name, purpose][-1]

    async def collect(self, municipality):
        released = []
        for person, report in self.waiting:
            seen = self.exchanges[person.name, report.purpose][-1]
            reason = self.reason(person, report)
            late = Seen(
                seen.reason, seen.words, seen.log_index, reason == "ALLOWED", "" if reason == "ALLOWED" else reason
            )
            self.exchanges[person.name, report.purpose][-1] = late
            if reason == "ALLOWED":
                signal = dict.fromkeys(("type", "drop_band", "period"))
                preferences = self.preferences.get(person.name, {})
                words = Words("nl", "en")
                released.append(Received(person.resident.ref, "", report.purpose, signal, preferences, words, ""))
        self.waiting = []
        return released

    async def say_what_was_done(self, municipality, one, offer, channel):
        (key,) = [key for key in self.exchanges if key[0] == "Petra" and key[1] == one.purpose]
        wishes = self.preferences.get("Petra", {})
        deviates = channel in wishes.get("never", ())
        self.exchanges[key][-1] = replace(self.exchanges[key][-1], deviates=deviates)

    async def stop_using(self, municipality):
        return 1

    async def ask(self, person, report, text):
        self.questions.append(text)

    async def answer_questions(self, municipality, text):
        found, self.questions = len(self.questions), []
        return found

    async def invite_helper(self, person, login):
        self.helpers.append(login)

    async def choose(self, person, report, answer, months="6"):
        if report.purpose in PROHIBITED:
            return "PURPOSE_PROHIBITED"
        self.choices[person.name, report.sender.oin, report.purpose] = answer
        self.size += 1
        return ""

    async def withdraw(self, person, report):
        self.choices[person.name, report.sender.oin, report.purpose] = "STOPPED"

    async def answer_question(self, person, report, *, yes):
        self.asked[person.name, report.sender.oin, report.purpose] = yes

    async def prefer(self, person, purpose, preferences):
        self.preferences[person.name] = preferences

    async def pause(self, person, purpose):
        self.paused.add(person.name)

    async def log_size(self):
        return self.size


async def tell_all(stage):
    scenes = [await play(stage) for play in (*TWO_MONTHS_AGO, *INCOME_SCENES, *ARREARS_SCENES)]
    stage.days = 15
    scenes += [await play(stage) for play in TWO_WEEKS_LATER]
    stage.days = 0  # a question of this week is not an old one
    return scenes + [await play(stage) for play in THIS_WEEK]


async def test_every_scenario_is_told_and_holds():
    scenes = await tell_all(FakeStage())
    assert [scene.code for scene in scenes if not scene.holds] == []
    codes = {f"AS1{x}" for x in "abc"} | {f"AS2{x}" for x in "ab"} | {"AS3a", "AS3b"} | {f"AS4{x}" for x in "abcdefgh"}
    assert codes <= {scene.code for scene in scenes}


class Permissive(FakeStage):
    """Shares everything, whatever the resident chose."""

    def reason(self, person, report):
        return "ALLOWED"


class Forgetful(FakeStage):
    """Delivers without looking again, and loses preferences."""

    async def collect(self, municipality):
        released = await super().collect(municipality)
        nothing = Received("ZV-0001", "", "", {}, {}, Words("", ""), "")
        return released or [nothing]


@pytest.mark.parametrize(
    ("stage", "wrong"),
    [
        (Permissive, {"AS1a", "AS1c", "AS2a", "AS3a", "AS4a", "AS4c", "AS4d", "AS4e", "AS4f", "AS4g", "R7", "R28"}),
        (Forgetful, {"AS1c", "AS4d", "AS4e"}),
    ],
)
async def test_another_outcome_is_seen(stage, wrong):
    scenes = await tell_all(stage())
    assert wrong <= {scene.code for scene in scenes if not scene.holds}


def count():
    return Count(
        answers=Counter(accepted=3, geen_toestemming=2),
        reasons=Counter(ALLOWED=3, NO_CONSENT=1, REFUSED=1),
        withheld=Counter(WITHDRAWN=1),
        delivered=2,
        log_size=50,
        log_verified=True,
        log_witnessed=True,
        receipts_verified=2,
        scenes=20,
        seconds=12.34,
    )


def test_summary_is_the_one_of_the_issue():
    assert count().holds
    assert count().as_json() == {
        "sent": 5,
        "accepted": 3,
        "refused": {"NO_CONSENT": 1, "REFUSED": 1},
        "delivered": 2,
        "log_size": 50,
        "log_verified": True,
        "proofs_verified": 2,
        "seconds": 12.3,
    }


@pytest.mark.parametrize(
    "change",
    [
        {"log_verified": False},
        {"log_witnessed": False},
        {"receipts_verified": 1},
        {"delivered": 3},
        {"scenes_wrong": 1},
        {"reasons": Counter(ALLOWED=3, NO_CONSENT=1)},
        {"reasons": Counter(ALLOWED=3, NO_CONSENT=1, AWAITING_RESIDENT=1)},
        {"withheld": Counter()},
    ],
)
def test_whatever_does_not_agree_is_a_failure(change):
    wrong = count()
    for name, value in change.items():
        setattr(wrong, name, value)
    assert not wrong.holds


async def test_told_in_two_languages_without_words_that_blame():
    out = io.StringIO()
    teller = Teller(Console(file=out, width=110, color_system=None))
    teller.opening(participants.TOWN, 2_000)
    for scene in await tell_all(FakeStage()):
        teller.scene(scene)
    teller.closing(count(), Path("town"), serving=True)
    text = out.getvalue().lower()
    assert not [word for word in FORBIDDEN if word in text]
    assert "klopt niet" not in text
    assert "er is niets gedeeld" in text
    assert "regie send" in text


async def test_a_scene_that_went_wrong_says_what():
    out = io.StringIO()
    teller = Teller(Console(file=out, width=200, color_system=None))
    for play in INCOME_SCENES[:1]:
        teller.scene(await play(Permissive()))
    assert "expected NO_CONSENT" in out.getvalue()
    assert "ALLOWED" in out.getvalue()
