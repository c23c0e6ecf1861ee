"""Everything that is said to residents: plain (B1), short, and without a word that blames (R39, R40)."""

from __future__ import annotations

import asyncio
import html
import re

import pytest
import textstat

from consent_ledger import texts
from consent_ledger.lifeevents import LIFE_EVENTS
from consent_ledger.purposes import CATALOGUE as PURPOSES
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.viewer.catalogue import load_catalogue
from tests.support.places import DESK, INVITED, MINE, PUBLIC, town
from tests.support.portal import ANNA
from tests.support.viewer import at_the_desk, desk_client, log_in, post, viewer_client

FORBIDDEN = (
    *("schuldenaar", "wanbetaler", "wanbetaling", "probleemgeval", "problematische schulden", "in gebreke"),
    *("verwijtbaar", "risicoburger", "doelgroep", "dient te", "middels", "indien", "reeds"),
)
FORBIDDEN_EN = ("debtor", "defaulter", "problem case", "problematic debt", "in default", "culpable", "target group")
FRAUD = re.compile(r"\b(fraude|fraud)\b", re.IGNORECASE)
LONGEST = 20
EASY = 60
WORDS = re.compile(r"[\w'’-]+")
_TAG = re.compile(r"<[^>]+>")
_CLOSING = re.compile(r"</(p|li|dt|dd|h\d|td|th|label|legend|summary|button|a|caption|title|option)>|<br>")


def has(word: str, text: str) -> bool:
    # Also in the plural; "indienen" is another word.
    return re.search(rf"\b{word}(s|n)?\b", text, re.IGNORECASE) is not None


def blocks(page: str) -> list[str]:
    """The texts of a page, one for each paragraph, item, heading and cell."""
    page = re.sub(r"<(script|style|svg|code|pre)\b.*?</\1>", "", page, flags=re.DOTALL)
    found = (html.unescape(_TAG.sub("", part)).split() for part in _CLOSING.sub("\0", page).split("\0"))
    return [" ".join(words) for words in found if words]


def sentences(text: str) -> list[str]:
    return [each for each in re.split(r"(?<=[.?!:])\s+", text) if each]


@pytest.fixture(scope="module")
def seen():
    """Every page as people read it, by language and address."""
    made = asyncio.run(town())
    found = {}
    for language in ("nl", "en"):
        stranger, anna, helper = (viewer_client(made.portal) for _ in range(3))
        log_in(anna, "anna", language)
        post(anna, f"/{language}/mijn/verandering", {"wat": LIFE_EVENTS[0].id})  # the page after it needs it
        log_in(helper, "helper", language)
        front, desk = desk_client(made.portal), desk_client(made.portal)
        at_the_desk(front, None, language)
        at_the_desk(desk, ANNA, language)
        staff = ((front, {"desk": DESK["desk"]}), (desk, {name: DESK[name] for name in DESK if name != "desk"}))
        for client, templates in ((stranger, PUBLIC), (anna, MINE), (helper, INVITED), *staff):
            for path in made.places(templates):
                answer = client.get(f"/{language}{path}".rstrip("/"))
                assert answer.status_code == 200, path
                found[language, path] = answer.text
    made.portal.close()
    return found


@pytest.mark.parametrize("language", ["nl", "en"])
def test_no_word_that_blames(seen, language):
    """Fraud is a word of the purposes that are forbidden, on the pages that say so, and of no other."""
    found = {}
    for (spoken, path), page in seen.items():
        said = " ".join(blocks(page))
        bad = [word for word in (FORBIDDEN if language == "nl" else FORBIDDEN_EN) if has(word, said)]
        if spoken == language and bad:
            found[path] = bad
    assert found == {}
    catalogue = load_catalogue()[language]
    assert [
        key
        for key in catalogue.keys()  # noqa: SIM118  (no mapping)
        if FRAUD.search(" ".join(catalogue.forms(key)))
    ] == []
    assert [each.id for each in PURPOSES if not each.prohibited and FRAUD.search(str(each))] == []


def test_titles_are_neutral(seen):
    """What stands in a window's title or a browser's history says nothing of money troubles (R40)."""
    titles = {page.partition("<title>")[2].partition("</title>")[0].lower() for page in seen.values()}
    assert [each for each in titles if re.search(r"schuld|achterstand|armoede|debt|arrears|poverty", each)] == []


def test_sentences_are_short(seen):
    found = set()
    for (language, _), page in seen.items():
        for block in blocks(page):
            found |= {each for each in sentences(block) if language == "nl" and len(WORDS.findall(each)) > LONGEST}
    assert found == set()


def test_blocks_are_easy():
    """Flesch-Douma of each text of three sentences or more is 60 at least; shorter ones say too little to measure."""
    textstat.textstat.set_lang("nl")
    catalogue = load_catalogue()["nl"]
    hard = {}
    for key in catalogue.keys():  # noqa: SIM118  (no mapping)
        text = re.sub(r"\{\w+\}", "twee", _TAG.sub("", catalogue.forms(key)[-1]))
        if len(re.findall(r"[.?!](\s|$)", text)) >= 3:
            score = textstat.textstat.flesch_reading_ease(text)
            if score < EASY:
                hard[key] = round(score)
    assert hard == {}


def test_what_the_ledger_says_is_easy_too():
    said = [texts.sentence(reason, 1_767_225_600_000, "Lampje").nl for reason in pb.Reason.values() if reason]
    textstat.textstat.set_lang("nl")
    assert textstat.textstat.flesch_reading_ease(" ".join(said)) >= EASY
    assert [each for text in said for each in sentences(text) if len(WORDS.findall(each)) > LONGEST] == []
    assert [word for word in FORBIDDEN if has(word, " ".join(said))] == []


def test_the_instruments_find_what_they_look_for():
    hard = (
        "Indien betrokkene niet tijdig voldoet aan de betalingsverplichting, wordt de inningsprocedure geïntensiveerd."
    )
    textstat.textstat.set_lang("nl")
    assert textstat.textstat.flesch_reading_ease(hard) < EASY
    assert has("indien", hard)
    assert blocks("<p>Een <b>twee</b></p><script>drie</script><li>vier</li>") == ["Een twee", "vier"]
    assert sentences("Een. Twee? Drie") == ["Een.", "Twee?", "Drie"]
