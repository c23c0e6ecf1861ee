"""Contact preferences in words: part by part for the resident, and as a whole for paper and preview."""

from __future__ import annotations

from collections.abc import Iterable

from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.viewer.catalogue import Words

Told = list[tuple[str, str]]
"""What it is about, and what was chosen."""


def tell(words: Words, preferences: pb.Preferences, *, chosen: bool) -> dict[str, Told]:
    """Return every preference in words, by part; one that nobody chose says so."""
    t = words.text
    return {
        "kanalen": [
            *((t(f"wishes.{rank}"), channels(words, [channel])) for rank, channel in _ranked(preferences)),
            (t("wishes.never"), channels(words, preferences.never) or t("wishes.nothing_chosen")),
        ],
        "tijd": [
            (t("wishes.quiet"), _quiet(words, preferences.quiet) or t("wishes.nothing_chosen")),
            (t("wishes.answer"), days(words, preferences.answer_days)),
        ],
        "vaak": [
            (t("wishes.general"), t("wishes.general_now") if preferences.general_only else t("wishes.no")),
            (t("wishes.cap"), cap(words, preferences.most_per_30_days)),
            (t("wishes.offer"), _yes_no(words, preferences.one_offer, chosen)),
        ],
        "wie": [
            (t("wishes.person"), _yes_no(words, preferences.same_person, chosen)),
            (t("wishes.companion"), _yes_no(words, preferences.companion, chosen)),
        ],
        "toon": [
            (t("wishes.speak"), t(f"wishes.speak_{preferences.language or 'nl'}")),
            (t("wishes.address"), t(f"wishes.address_{preferences.form_of_address or 'u'}")),
            (t("wishes.detail"), t(f"wishes.detail_{preferences.detail}")),
            (t("wishes.envelope"), _yes_no(words, preferences.neutral_envelope, chosen)),
        ],
    }


def lines(words: Words, preferences: pb.Preferences) -> list[str]:
    """Return what travels with a signal, in words: a line per wish, and none for what nobody wished."""
    t = words.text
    first, *rest = [t(f"delen.channel_{number}") for number in preferences.channels] or [""]
    ways = t("wishes.say_then", first=first, rest=words.listed(rest)) if rest else first
    never = [t(f"delen.channel_{number}") for number in preferences.never]
    found = (
        (ways, t("wishes.say_channels", channels=ways)),
        (preferences.never, t("wishes.say_never", channels=words.listed(never))),
        (preferences.general_only, t("wishes.say_general")),
        (preferences.quiet, t("wishes.say_quiet", times=_quiet(words, preferences.quiet).lower())),
        (preferences.answer_days, t("wishes.say_answer", days=days(words, preferences.answer_days).lower())),
        (preferences.most_per_30_days, t("wishes.say_cap", cap=cap(words, preferences.most_per_30_days))),
        (preferences.one_offer, t("wishes.say_offer")),
        (preferences.same_person, t("wishes.say_person")),
        (preferences.companion, t("wishes.say_companion")),
        (preferences.language, t("wishes.say_speak", language=t(f"wishes.speak_{preferences.language or 'nl'}"))),
        (
            preferences.form_of_address,
            t("wishes.say_address", address=_of(words, "address", preferences.form_of_address)),
        ),
        (preferences.detail, t("wishes.say_detail", detail=_of(words, "detail", preferences.detail))),
        (preferences.neutral_envelope, t("wishes.say_envelope")),
    )
    return [line for wished, line in found if wished]


def channels(words: Words, numbers: Iterable[int]) -> str:
    """Return ways to reach somebody, with commas."""
    return ", ".join(words.text(f"wishes.channel_{number}") for number in numbers)


def days(words: Words, number: int) -> str:
    """Return how much time to answer."""
    key = f"wishes.answer_{number}"
    return words.text(key) if key in words else words.text("wishes.answer_days", n=number)


def cap(words: Words, number: int) -> str:
    """Return how often."""
    key = f"wishes.cap_{number}"
    return words.text(key) if key in words else words.text("wishes.cap_other", n=number)


def _ranked(preferences: pb.Preferences) -> Iterable[tuple[str, int]]:
    ranks = ["first", "second", *("third" for _ in preferences.channels[2:])]
    return zip(ranks, preferences.channels, strict=False)


def _of(words: Words, kind: str, value: str | int) -> str:
    key = f"wishes.{kind}_{value}"
    return words.text(key).lower() if key in words else ""


def _quiet(words: Words, times: Iterable[int]) -> str:
    return ", ".join(words.text(f"wishes.quiet_{time}") for time in times)


def _yes_no(words: Words, value: bool, chosen: bool) -> str:  # noqa: FBT001  (two flags of one message)
    if value:
        return words.text("wishes.yes")
    return words.text("wishes.no" if chosen else "wishes.nothing_chosen")
