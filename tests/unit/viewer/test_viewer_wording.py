"""The words a resident chooses with: complete, hashed, and found again as they were."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from consent_ledger import severity
from consent_ledger.purposes import CATALOGUE
from consent_ledger.registry import Registry
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.viewer import wording
from consent_ledger.viewer.capture import text_hash
from consent_ledger.viewer.catalogue import LANGUAGES, Language, Words, load_catalogue
from tests.support.ledger import ARREARS, INCOME, NOW, TAX_OFFICE, scope
from tests.support.portal_story import StoryPortal

MODES = (pb.MODE_JA, pb.MODE_VRAAG_MIJ_EERST, pb.MODE_EERST_ZELF)


@pytest.fixture(scope="module")
def catalogue() -> dict[Language, Words]:
    return load_catalogue()


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    portal = StoryPortal()
    yield portal.ledger.sequencer.registry
    portal.close()


def _scopes() -> list[pb.Scope]:
    return [scope(), scope(TAX_OFFICE, purpose=INCOME)]


@pytest.mark.parametrize(("language", "mode", "months"), [*product(LANGUAGES, MODES, wording.MONTHS)])
def test_a_yes_names_everything_that_was_chosen(
    catalogue: dict[Language, Words], registry: Registry, language: Language, mode: int, months: int
):
    for where in _scopes():
        purpose = registry.purpose(where.purpose)
        text = wording.of_choice(catalogue[language], registry, wording.Terms(where, mode, (), months, 3))
        parties = [registry.participant(oin).name for oin in (where.sender, where.recipient)]
        said = [getattr(each, language) for each in (purpose.title, purpose.not_shared, purpose.items[0].label)]
        band = severity.words(purpose, 3)
        assert band
        for part in (*parties, *said, getattr(band, language), str(months)):
            assert part in text
        assert "  " not in text
        assert text == text.strip()


def _event(name: str, words: Words, registry: Registry) -> pb.Event:
    where = scope()
    captured: dict[str, str] = {
        "consent_refused": wording.of_choice(words, registry, wording.Terms(where, pb.MODE_NEE)),
        "consent_withdrawn": wording.of_stop(words, registry, where),
        "sharing_paused": wording.of_pause(words, NOW),
        "sharing_resumed": wording.of_resume(words),
    }
    capture = pb.Capture(text_hash=text_hash(captured[name]), language=words.language)
    fields = {"scope": where} if name.startswith("consent") else {}
    if name == "sharing_paused":
        fields = {"until_ms": NOW}
    event = pb.Event()
    getattr(event, name).MergeFrom(getattr(event, name).__class__(capture=capture, **fields))
    return event


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["consent_refused", "consent_withdrawn", "sharing_paused", "sharing_resumed"])
def test_what_was_shown_is_found_again(
    catalogue: dict[Language, Words], registry: Registry, language: Language, name: str
):
    event = _event(name, catalogue[language], registry)
    found = wording.shown_then(catalogue, registry, event)
    assert found
    assert found[0] == language
    assert text_hash(found[1]) == getattr(event, name).capture.text_hash


def test_a_consent_is_found_for_every_period_and_threshold(catalogue: dict[Language, Words], registry: Registry):
    for mode, months, threshold in product(MODES, wording.MONTHS, range(5)):
        terms = wording.Terms(scope(), mode, ("betalingsachterstand",), months, threshold)
        text = wording.of_choice(catalogue["en"], registry, terms)
        capture = pb.Capture(text_hash=text_hash(text), language="en")
        granted = pb.ConsentGranted(
            scope=scope(), mode=mode, items=["betalingsachterstand"], threshold=threshold, capture=capture
        )
        assert wording.shown_then(catalogue, registry, pb.Event(consent_granted=granted)) == ("en", text)


def test_other_words_are_never_passed_off_as_those_of_then(catalogue: dict[Language, Words], registry: Registry):
    event = _event("consent_refused", catalogue["nl"], registry)
    event.consent_refused.capture.text_hash = text_hash("U kiest: nee, maar anders.")
    assert wording.shown_then(catalogue, registry, event) is None
    event.consent_refused.capture.text_hash = b""
    assert wording.shown_then(catalogue, registry, event) is None


def test_a_no_says_that_nothing_else_changes(catalogue: dict[Language, Words], registry: Registry):
    text = wording.of_choice(catalogue["nl"], registry, wording.Terms(scope(), pb.MODE_NEE))
    assert "Er verandert niets aan uw uitkering, toeslag of energiecontract." in text


def test_sentences_are_short_with_the_longest_names_we_know(catalogue: dict[Language, Words], registry: Registry):
    """R39: at most 20 words, whichever purpose."""
    for purpose, mode in product([p for p in CATALOGUE if not p.prohibited], (*MODES, pb.MODE_NEE)):
        where = scope() if purpose.id == ARREARS else scope(TAX_OFFICE, purpose=INCOME)
        text = wording.of_choice(catalogue["nl"], registry, wording.Terms(where, mode, (), 6, 2))
        sentences = text.replace("B.V.", "BV").replace("? ", ". ").split(". ")
        assert [sentence for sentence in sentences if len(sentence.split()) > 20] == []
