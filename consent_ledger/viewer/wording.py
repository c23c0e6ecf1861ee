"""The words a resident chooses with. Their SHA-256 goes into the event, so that later pages can show the same (R20).

The text of every version that was ever shown stays in texts/{nl,en}/wording.po, under ``wording.v<version>_...``: a
change of words is a new version, never a correction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import NamedTuple

from consent_ledger import severity
from consent_ledger.purpose import Purpose
from consent_ledger.registry import Registry
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.viewer.catalogue import LANGUAGES, Language, Words
from consent_ledger.viewer.parties import party

VERSION = 1
VERSIONS = (1,)
"""Newest first."""
MONTHS = (3, 6, 12)
_ANSWERS: dict[int, str] = {
    pb.MODE_JA: "ja",
    pb.MODE_VRAAG_MIJ_EERST: "vraag",
    pb.MODE_EERST_ZELF: "zelf",
    pb.MODE_NEE: "nee",
}


class Terms(NamedTuple):
    """What is chosen: for whom, which answer, which items (empty: all of the purpose), for how long, from when on."""

    scope: pb.Scope
    mode: int
    items: tuple[str, ...] = ()
    months: int = 0
    threshold: int = 0


def of_choice(words: Words, registry: Registry, terms: Terms, version: int = VERSION) -> str:
    """Return what a resident reads before choosing; raises RegieError PURPOSE_UNKNOWN."""
    purpose = registry.purpose(terms.scope.purpose)
    asked = terms.mode == pb.MODE_VRAAG_MIJ_EERST
    return words.text(
        f"wording.v{version}_{_ANSWERS[terms.mode]}",
        **_parties(words, registry, terms.scope, purpose),
        items=words.listed(_in(words, purpose.label(name)) for name in terms.items or [i.name for i in purpose.items]),
        not_shared=_in(words, purpose.not_shared),
        months=terms.months,
        days=purpose.ask_days if asked else purpose.self_first_days,
        threshold=_threshold(words, purpose, terms.threshold, version),
    )


def of_stop(words: Words, registry: Registry, scope: pb.Scope, version: int = VERSION) -> str:
    """Return what a resident reads before stopping a choice; raises RegieError PURPOSE_UNKNOWN."""
    purpose = registry.purpose(scope.purpose)
    return words.text(f"wording.v{version}_stop", **_parties(words, registry, scope, purpose))


def of_pause(words: Words, until_ms: int = 0, version: int = VERSION) -> str:
    """Return what a resident reads before pausing everything; ``until_ms`` 0 is until resumed."""
    if until_ms:
        return words.text(f"wording.v{version}_pauze_tot", day=words.day(until_ms))
    return words.text(f"wording.v{version}_pauze")


def of_resume(words: Words, version: int = VERSION) -> str:
    """Return what a resident reads before ending a pause."""
    return words.text(f"wording.v{version}_hervat")


def of_answer(words: Words, registry: Registry, scope: pb.Scope, version: int = VERSION) -> str:
    """Return what a resident reads before answering a question that a signal put (VRAAG_MIJ_EERST)."""
    purpose = registry.purpose(scope.purpose)
    return words.text(
        f"wording.v{version}_antwoord",
        **_parties(words, registry, scope, purpose),
        not_shared=_in(words, purpose.not_shared),
    )


def of_confirmation(words: Words, registry: Registry, scope: pb.Scope, version: int = VERSION) -> str:
    """Return what a resident reads before confirming what was recorded at a desk or on paper (R37)."""
    purpose = registry.purpose(scope.purpose)
    return words.text(f"wording.v{version}_bevestig", **_parties(words, registry, scope, purpose))


def shown_then(catalogue: Mapping[Language, Words], registry: Registry, event: pb.Event) -> tuple[Language, str] | None:
    """Return the words that were shown for this event and their language, or None when none of ours has its hash.

    The hash decides, so that what is shown is what was shown: a text of other words, or of a purpose or organisation
    that was called otherwise then, is not passed off as it.
    """
    capture: pb.Capture = getattr(getattr(event, str(event.WhichOneof("body"))), "capture", pb.Capture())
    for language in LANGUAGES:
        if capture.text_hash and capture.language in ("", language):
            for text in _candidates(catalogue[language], registry, event):
                if sha256(text.encode()).digest() == capture.text_hash:
                    return language, text
    return None


def _candidates(words: Words, registry: Registry, event: pb.Event) -> Iterator[str]:
    for version in VERSIONS:
        match event.WhichOneof("body"):
            case "consent_granted":
                grant = event.consent_granted
                for months in MONTHS:
                    terms = Terms(grant.scope, grant.mode, tuple(grant.items), months, grant.threshold)
                    yield of_choice(words, registry, terms, version)
            case "consent_refused":
                yield of_choice(words, registry, Terms(event.consent_refused.scope, pb.MODE_NEE), version)
            case "consent_withdrawn":
                yield of_stop(words, registry, event.consent_withdrawn.scope, version)
            case "ask_answered":
                yield of_answer(words, registry, event.ask_answered.scope, version)
            case "grant_confirmed":
                yield of_confirmation(words, registry, event.grant_confirmed.scope, version)
            case "sharing_paused":
                yield of_pause(words, event.sharing_paused.until_ms, version)
            case "sharing_resumed":
                yield of_resume(words, version)
            case _:
                return


def _parties(words: Words, registry: Registry, scope: pb.Scope, purpose: Purpose) -> dict[str, str]:
    return {
        "sender": party(registry, scope.sender).name,
        "recipient": party(registry, scope.recipient).name,
        "purpose": _in(words, purpose.title),
    }


def _threshold(words: Words, purpose: Purpose, threshold: int, version: int) -> str:
    band = severity.words(purpose, threshold)
    return words.text(f"wording.v{version}_drempel", severity=_in(words, band)) + " " if band else ""


def _in(words: Words, text: object) -> str:
    return str(getattr(text, words.language))
