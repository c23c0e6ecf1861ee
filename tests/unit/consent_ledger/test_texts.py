"""What residents and recipients read."""

import re

import pytest

from consent_ledger import texts
from consent_ledger.dates import add_months, day_en, day_nl
from consent_ledger.purposes import CATALOGUE
from consent_ledger.v1 import events_pb2 as pb
from tests.support.ledger import NOW
from tests.unit.consent_ledger.test_registry import FORBIDDEN

MARCH = 1_772_535_600_000  # 3 March 2026, noon

EXACT = [
    ("ALLOWED", "Gedeeld. U gaf hiervoor toestemming op 3 maart 2026.", "Shared. You agreed to this on 3 March 2026."),
    (
        "NO_CONSENT",
        "Tegengehouden. U heeft hierover nog niets gekozen.",
        "Blocked. You have not made a choice about this.",
    ),
    ("REFUSED", "Tegengehouden. U koos 'nee' op 3 maart 2026.", "Blocked. You said no on 3 March 2026."),
    ("WITHDRAWN", "Tegengehouden. U stopte dit op 3 maart 2026.", "Blocked. You stopped this on 3 March 2026."),
    ("EXPIRED", "Tegengehouden. Uw toestemming liep tot 3 maart 2026.", "Blocked. Your consent ended on 3 March 2026."),
    (
        "AWAITING_RESIDENT",
        "Nog niet gedeeld. U beslist, tot 3 maart 2026. Geen reactie is nee.",
        "Not shared yet. You decide, until 3 March 2026. No answer means no.",
    ),
    (
        "SCOPE_EXCEEDED",
        "Tegengehouden. Lampje vroeg meer gegevens dan u toestaat.",
        "Blocked. Lampje asked for more data than you allow.",
    ),
    (
        "LEDGER_UNAVAILABLE",
        "Niet gedeeld. Wij konden uw keuze niet controleren.",
        "Not shared. We could not check your choice.",
    ),
]


@pytest.mark.parametrize(("reason", "nl", "en"), EXACT)
def test_sentences_of_the_specification(reason, nl, en):
    text = texts.sentence(pb.Reason.Value(f"REASON_{reason}"), MARCH, "Lampje")
    assert (text.nl, text.en) == (nl, en)


def test_a_pause_has_two_sentences():
    assert texts.sentence(pb.REASON_PAUSED, 0, "x").nl == "Tegengehouden. U heeft alles op pauze gezet."
    assert (
        texts.sentence(pb.REASON_PAUSED, MARCH, "x").nl
        == "Tegengehouden. U heeft alles op pauze gezet, tot 3 maart 2026."
    )


@pytest.mark.parametrize("reason", pb.Reason.values()[1:])
def test_every_reason_has_a_sentence_that_does_not_blame(reason):
    text = texts.sentence(reason, MARCH, "Lampje")
    assert text.nl
    assert text.en
    assert text.nl.endswith(".")
    assert text.en.endswith(".")
    assert not re.search(FORBIDDEN + "|fraude|fout", text.nl, re.IGNORECASE)
    assert all(len(each.split()) <= 20 for each in text.nl.split("."))
    stopped = texts.withheld(reason, MARCH, "Lampje")
    assert "Tegengehouden" not in stopped.nl
    assert "Blocked" not in stopped.en


def test_explanation_fits_its_slot_whatever_the_names():
    text = texts.explanation(CATALOGUE[0], "é" * 128, "ü" * 128, ["betalingsachterstand"] * 20, MARCH)
    assert len(text.nl.encode()) <= texts.EXPLANATION_BYTES
    assert text.nl.endswith("…")
    short = texts.explanation(CATALOGUE[1], "Belastingdienst", "Zonneveen", ["inkomen_gedaald"], MARCH)
    assert short.nl == (
        "U gaf op 3 maart 2026 toestemming: Belastingdienst mag Zonneveen laten weten dat uw inkomen is gedaald. "
        "Doel: Hulp als uw inkomen daalt. Niet gedeeld: hoe hoog uw inkomen is. U kunt dit altijd stoppen."
    )


@pytest.mark.parametrize(
    ("time_ms", "nl", "en"),
    [
        (NOW - 1, "1 januari 2026", "1 January 2026"),  # still December in UTC
        (NOW - 3_600_001, "31 december 2025", "31 December 2025"),
        (1_774_738_800_000 - 1, "28 maart 2026", "28 March 2026"),  # 23:59:59.999 before the clocks change
        (1_774_738_800_000, "29 maart 2026", "29 March 2026"),
        (1_774_821_600_000 - 1, "29 maart 2026", "29 March 2026"),  # summer time: midnight is an hour earlier
        (1_774_821_600_000, "30 maart 2026", "30 March 2026"),
        (1_792_879_200_000 - 1, "24 oktober 2026", "24 October 2026"),
        (1_792_969_200_000 - 1, "25 oktober 2026", "25 October 2026"),
        (1_792_969_200_000, "26 oktober 2026", "26 October 2026"),
    ],
)
def test_days_in_dutch_time(time_ms, nl, en):
    assert (day_nl(time_ms), day_en(time_ms)) == (nl, en)


def test_months_end_on_the_last_day_of_a_short_month():
    end_of_january = 1_769_860_800_000  # 31 January 2026, noon
    assert day_nl(add_months(end_of_january, 1)) == "28 februari 2026"
    assert day_nl(add_months(end_of_january, 12)) == "31 januari 2027"
    assert day_nl(add_months(end_of_january, 3)) == "30 april 2026"
    assert (add_months(end_of_january, 3) - end_of_january) % 86_400_000 == 0
