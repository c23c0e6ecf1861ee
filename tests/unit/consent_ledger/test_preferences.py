"""Contact preferences keep every field on their way: event, state, stored state, record, delivery (R26-R32)."""

from __future__ import annotations

import pytest

from consent_ledger import texts
from consent_ledger.errors import RegieError
from consent_ledger.state import EMPTY, contact
from consent_ledger.statecodec import decode, encode
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.release import RELEASE_SLOT
from gateway.sdk import choices
from gateway.sdk.describe import preference_values

EVERY = pb.Preferences(
    channels=[number for number in pb.Channel.values() if number],
    never=[number for number in pb.Channel.values() if number],
    language="en",
    same_person=True,
    general_only=True,
    most_per_30_days=5,
    form_of_address="je",
    answer_days=56,
    quiet=[number for number in pb.QuietTime.values() if number],
    companion=True,
    detail=pb.DETAIL_FULL,
    neutral_envelope=True,
    one_offer=True,
)


def test_this_test_knows_every_field() -> None:
    assert {field.name for field, _ in EVERY.ListFields()} == set(pb.Preferences.DESCRIPTOR.fields_by_name)


def test_a_state_keeps_every_wish() -> None:
    state = EMPTY._replace(contact=contact(EVERY, 7))
    assert state.contact is not None
    assert state.contact.to_proto() == EVERY
    assert decode(encode(state)) == state


def test_a_state_of_before_these_wishes_is_read_as_having_none() -> None:
    before = b'[1,0,[],null,[7,[1],[],"nl",false,false,0,"u"],[]]'
    found = decode(before).contact
    assert found is not None
    assert found.to_proto() == pb.Preferences(channels=[pb.CHANNEL_BRIEF], language="nl", form_of_address="u")


def test_all_wishes_fit_beside_the_longest_explanation() -> None:
    assert EVERY.ByteSize() + 2 * texts.EXPLANATION_BYTES < RELEASE_SLOT // 2


def test_a_recipient_reads_every_wish_in_words() -> None:
    values = preference_values(EVERY)
    assert values["quiet"] == ["ochtend", "middag", "avond", "weekend"]
    assert (values["detail"], values["answer_days"]) == ("full", 56)
    assert (values["companion"], values["neutral_envelope"], values["one_offer"]) == (True, True, True)
    assert preference_values(pb.Preferences())["detail"] == ""


def test_quiet_times_are_named_and_others_refused() -> None:
    assert choices.quiet_list([" Avond", "", "weekend"]) == [pb.QUIET_TIME_AVOND, pb.QUIET_TIME_WEEKEND]
    with pytest.raises(RegieError, match="ochtend, middag, avond, weekend"):
        choices.quiet_list(["nacht"])
