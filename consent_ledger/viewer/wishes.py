"""Contact preferences as a resident fills them in, part by part, and as a recipient gets them (R26-R35)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import NamedTuple

from google.protobuf.json_format import MessageToDict

from consent_ledger import texts
from consent_ledger.purpose import Text
from consent_ledger.v1 import consents_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.viewer.forms import Form
from consent_ledger.viewer.telling import HOLDING, Choice

CHANNELS = tuple(number for number in pb.Channel.values() if number)
QUIET = tuple(number for number in pb.QuietTime.values() if number)
DETAILS = tuple(pb.Detail.values())
RANKS = ("eerst", "daarna", "laatst")
ANSWER_DAYS = (0, 7, 14, 28)
CAPS = (0, 1, 2, 4)
YES_NO = ("ja", "nee")


def current(record: consents_pb2.GetRecordResponse) -> tuple[pb.Preferences, bool]:
    """Return the preferences that count now, and whether the resident chose them; until then: letter only (R26)."""
    chosen = record.HasField("preferences")
    return (record.preferences if chosen else pb.Preferences(channels=[pb.CHANNEL_BRIEF])), chosen


def _channels(form: Form, wanted: pb.Preferences) -> None:
    ranked = [form.one_of(name, ["", *map(str, CHANNELS)]) for name in RANKS]
    never = form.some_of("nooit", [str(channel) for channel in CHANNELS])
    if not ranked[0]:
        form.errors["eerst"] = "wishes.first_needed"
    for place, (name, value) in enumerate(zip(RANKS, ranked, strict=True)):
        if value and value in ranked[:place]:
            form.errors[name] = "wishes.twice"
        elif value and "" in ranked[1:place]:
            form.errors[name] = "wishes.gap"
        elif value and value in never:
            form.errors[name] = "wishes.never_clash"
    del wanted.channels[:], wanted.never[:]
    wanted.channels.extend(_number(value) for value in ranked if value)
    wanted.never.extend(_number(value) for value in never)


def _time(form: Form, wanted: pb.Preferences) -> None:
    quiet = form.some_of("rust", [str(time) for time in QUIET])
    del wanted.quiet[:]
    wanted.quiet.extend(pb.QuietTime.Value(pb.QuietTime.Name(int(time))) for time in quiet)  # type: ignore[arg-type]
    wanted.answer_days = int(form.one_of("antwoordtijd", _offered(ANSWER_DAYS, wanted.answer_days)) or 0)


def _amount(form: Form, wanted: pb.Preferences) -> None:
    wanted.general_only = form.one_of("persoonlijk", YES_NO) == "nee"
    wanted.most_per_30_days = int(form.one_of("vaak", _offered(CAPS, wanted.most_per_30_days)) or 0)
    wanted.one_offer = form.one_of("aanbod", YES_NO) == "ja"


def _person(form: Form, wanted: pb.Preferences) -> None:
    wanted.same_person = form.one_of("persoon", YES_NO) == "ja"
    wanted.companion = form.one_of("samen", YES_NO) == "ja"


def _tone(form: Form, wanted: pb.Preferences) -> None:
    wanted.language = form.one_of("taal", ["nl", "en"])
    wanted.form_of_address = form.one_of("aanspreken", ["u", "je"])
    detail = form.one_of("lengte", [str(number) for number in DETAILS])
    wanted.detail = pb.Detail.Value(pb.Detail.Name(int(detail or 0)))  # type: ignore[arg-type]  # one of its values
    wanted.neutral_envelope = form.one_of("envelop", YES_NO) == "ja"


PARTS: dict[str, Callable[[Form, pb.Preferences], None]] = {
    "kanalen": _channels,
    "tijd": _time,
    "vaak": _amount,
    "wie": _person,
    "toon": _tone,
}
"""One screen each (R39): what it reads from its form into the preferences; what is wrong goes into Form.errors."""


def fields(preferences: pb.Preferences, *, chosen: bool) -> Form:
    """Return a form filled with what this resident chose before; empty where they chose nothing."""
    ranks = [str(channel) for channel in preferences.channels][: len(RANKS)]
    values = dict(zip(RANKS, ([rank] for rank in ranks), strict=False))
    values["nooit"] = [str(channel) for channel in preferences.never]
    values["rust"] = [str(time) for time in preferences.quiet]
    if chosen:
        values |= {
            "antwoordtijd": [str(preferences.answer_days)],
            "persoonlijk": [_yes(not preferences.general_only)],
            "vaak": [str(preferences.most_per_30_days)],
            "aanbod": [_yes(preferences.one_offer)],
            "persoon": [_yes(preferences.same_person)],
            "samen": [_yes(preferences.companion)],
            "taal": [preferences.language],
            "aanspreken": [preferences.form_of_address],
            "lengte": [str(preferences.detail)],
            "envelop": [_yes(preferences.neutral_envelope)],
        }
    return Form(values)


def offered_days(preferences: pb.Preferences) -> list[str]:
    """Return the answer times to choose from; one set elsewhere (the command line) stays choosable."""
    return _offered(ANSWER_DAYS, preferences.answer_days)


def offered_caps(preferences: pb.Preferences) -> list[str]:
    """Return the caps to choose from; one set elsewhere stays choosable."""
    return _offered(CAPS, preferences.most_per_30_days)


class Preview(NamedTuple):
    """What travels with a signal of this choice: the sentence (R34), and whether the recipient can keep the wishes."""

    choice: Choice
    sentence: Text
    unreachable: bool

    @property
    def key(self) -> str:
        """How an address names it."""
        return str(self.choice.record.log_index)


def previews(choices: Iterable[Choice], preferences: pb.Preferences) -> list[Preview]:
    """Return what each choice that holds would send along."""
    usable = set(preferences.channels or (pb.CHANNEL_BRIEF,)) - set(preferences.never)
    found = []
    for choice in choices:
        if choice.state in HOLDING and choice.purpose:
            names, record = (choice.sender.name, choice.recipient.name), choice.record
            sentence = texts.explanation(choice.purpose, *names, record.items, record.recorded_ms)
            offered = choice.recipient.channels
            found.append(Preview(choice, sentence, bool(offered) and usable.isdisjoint(offered)))
    return found


def as_message(preferences: pb.Preferences) -> str:
    """Return the message's fields as JSON, as a recipient's program gets them; empty fields are left out."""
    return json.dumps(MessageToDict(preferences, preserving_proto_field_name=True), indent=2, ensure_ascii=False)


def _number(value: str) -> pb.Channel.ValueType:
    return pb.Channel.Value(pb.Channel.Name(int(value)))  # type: ignore[arg-type]  # offered, so one of its values


def _offered(values: tuple[int, ...], now: int) -> list[str]:
    return [str(value) for value in sorted({*values, now})]


def _yes(value: bool) -> str:  # noqa: FBT001  (a word for it)
    return "ja" if value else "nee"
