"""The decision: every reason, their order, and what never changes whatever the state."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_ledger.clock import DAY_MS
from consent_ledger.decide import RULES, ExchangeRequest, decide, judge_of, outcome_of
from consent_ledger.registry import Registry
from consent_ledger.state import Choice, Contact, Exchange, Pause, Question, SubjectState, Window
from consent_ledger.v1 import batch_pb2
from consent_ledger.v1 import events_pb2 as pb
from tests.support.ledger import ARREARS, CITY, INCOME, NOW, OTHER_SUPPLIER, SUPPLIER, TAX_OFFICE, first_events


def _registry() -> Registry:
    events = first_events()
    for sequence, event in enumerate(events, 1):
        event.sequence = sequence
    return Registry.fold(enumerate(events))


REGISTRY = _registry()
PARTY = (SUPPLIER, CITY)
ASK = ExchangeRequest(SUPPLIER, CITY, ARREARS, 1, ("betalingsachterstand",))
YES = Choice(pb.MODE_JA, 50, NOW - DAY_MS, 1, ("betalingsachterstand",), 0, NOW - DAY_MS, NOW + DAY_MS)
CONTACT = Contact(60, channels=(pb.CHANNEL_BRIEF, pb.CHANNEL_EMAIL))
ALL_AT_ONCE = SubjectState(
    choices={PARTY: YES._replace(mode=pb.MODE_NEE)},
    pause=Pause(70, NOW - 5, 0),
    contact=CONTACT._replace(general_only=True),
)


def state(choice: Choice | None = YES, **fields: object) -> SubjectState:
    return SubjectState(choices={PARTY: choice} if choice else {}, **fields)


def said(decision) -> str:
    return pb.Reason.Name(decision.reason).removeprefix("REASON_")


def question(**fields: object) -> Choice:
    return YES._replace(mode=pb.MODE_VRAAG_MIJ_EERST, question=Question(**{"idx": 80, "opened_ms": NOW, **fields}))


def window(**fields: object) -> Choice:
    return YES._replace(mode=pb.MODE_EERST_ZELF, window=Window(**{"idx": 81, "opened_ms": NOW, **fields}))


def exchanges(count: int, days_ago: float = 1) -> tuple[Exchange, ...]:
    return tuple(Exchange(90 + number, NOW - int(days_ago * DAY_MS)) for number in range(count))


TABLE = [
    # (reason, request, state, indices that decided, date)
    ("PURPOSE_PROHIBITED", replace(ASK, purpose="handhaving"), state(), (), 0),
    ("PURPOSE_PROHIBITED", replace(ASK, basis=batch_pb2.BASIS_INFERRED), state(), (), 0),
    ("PURPOSE_PROHIBITED", replace(ASK, basis=batch_pb2.BASIS_UNSPECIFIED), state(), (), 0),
    ("PURPOSE_PROHIBITED", replace(ASK, purpose="incasso", recipient="9" * 20, purpose_version=7), None, (), 0),
    ("PURPOSE_UNKNOWN", replace(ASK, purpose="anders"), state(), (), 0),
    ("PURPOSE_UNKNOWN", replace(ASK, purpose_version=2), state(), (), 0),
    ("PARTY_UNKNOWN", replace(ASK, sender="9" * 20), state(), (), 0),
    ("PARTY_UNKNOWN", replace(ASK, sender=TAX_OFFICE), state(), (), 0),
    ("PARTY_UNKNOWN", replace(ASK, recipient=OTHER_SUPPLIER), state(), (), 0),
    ("PAUSED", ASK, ALL_AT_ONCE, (70,), 0),
    ("PAUSED", ASK, SubjectState(pause=Pause(70, NOW, NOW + 1)), (70,), NOW + 1),
    ("NO_CONSENT", ASK, SubjectState(pause=Pause(70, NOW, NOW)), (), 0),  # this pause is over
    ("NO_CONSENT", ASK, None, (), 0),
    ("NO_CONSENT", replace(ASK, sender=OTHER_SUPPLIER), state(), (), 0),  # AS4f
    ("NO_CONSENT", ASK, state(YES._replace(purpose_version=0)), (), 0),
    ("REFUSED", ASK, state(Choice(pb.MODE_NEE, 50, NOW - 7, 1)), (50,), NOW - 7),
    ("REFUSED", ASK, state(question(yes=False, answered_ms=NOW - 3, answer_index=82)), (50, 82), NOW - 3),
    ("REFUSED", ASK, state(question(opened_ms=NOW - 14 * DAY_MS - 1)), (50, 80), NOW - 1),
    ("WITHDRAWN", ASK, state(YES._replace(withdrawn_ms=NOW - 2, withdrawn_index=51)), (50, 51), NOW - 2),
    ("WITHDRAWN", ASK, state(Choice(pb.MODE_UNSPECIFIED, 50, 1, withdrawn_ms=4, withdrawn_index=50)), (50,), 4),
    ("EXPIRED", ASK, state(YES._replace(valid_until_ms=NOW)), (50,), NOW),
    ("NOT_YET_VALID", ASK, state(YES._replace(valid_from_ms=NOW + 1)), (50,), NOW + 1),
    ("SCOPE_EXCEEDED", replace(ASK, items=("betalingsachterstand", "bedrag")), state(), (50,), NOW - DAY_MS),
    ("SCOPE_EXCEEDED", ASK, state(YES._replace(items=())), (50,), NOW - DAY_MS),
    ("SCOPE_EXCEEDED", replace(ASK, items=()), state(), (50,), NOW - DAY_MS),
    ("BELOW_THRESHOLD", ASK, state(YES._replace(threshold=1)), (50,), NOW - DAY_MS),
    ("BELOW_THRESHOLD", replace(ASK, severity=2), state(YES._replace(threshold=3)), (50,), NOW - DAY_MS),
    ("GENERAL_ONLY", ASK, state(contact=CONTACT._replace(general_only=True)), (50, 60), 0),
    ("RATE_CAP", ASK, state(exchanges=exchanges(5)), (50, 90, 91, 92, 93, 94), 0),
    ("RATE_CAP", ASK, state(contact=CONTACT._replace(most_per_30_days=1), exchanges=exchanges(1)), (50, 60, 90), 0),
    ("SELF_FIRST_WINDOW", ASK, state(YES._replace(mode=pb.MODE_EERST_ZELF)), (50,), NOW + 14 * DAY_MS),
    ("SELF_FIRST_WINDOW", ASK, state(window()), (50, 81), NOW + 14 * DAY_MS),
    ("SELF_FIRST_WINDOW", ASK, state(window(opened_ms=NOW - 14 * DAY_MS)), (50, 81), NOW),
    ("SELF_FIRST_WINDOW", ASK, state(window(opened_ms=NOW - 28 * DAY_MS - 1)), (50,), NOW + 14 * DAY_MS),
    ("SELF_FIRST_WINDOW", ASK, state(window(opened_ms=NOW - 20 * DAY_MS, used_by=9)), (50,), NOW + 14 * DAY_MS),
    ("AWAITING_RESIDENT", ASK, state(YES._replace(mode=pb.MODE_VRAAG_MIJ_EERST)), (50,), NOW + 14 * DAY_MS),
    ("AWAITING_RESIDENT", ASK, state(question(opened_ms=NOW - 14 * DAY_MS)), (50, 80), NOW),
    ("AWAITING_RESIDENT", ASK, state(question(yes=True, answered_ms=NOW, used_by=9)), (50,), NOW + 14 * DAY_MS),
    ("AWAITING_RESIDENT", ASK, state(question(yes=True, answered_ms=NOW - 14 * DAY_MS - 1)), (50,), NOW + 14 * DAY_MS),
    ("RECEIVER_CANNOT_HONOUR", ASK, state(contact=Contact(60, never=(pb.CHANNEL_BRIEF,))), (50, 60), 0),
    ("ALLOWED", ASK, state(), (50,), NOW - DAY_MS),
    ("ALLOWED", replace(ASK, severity=3), state(YES._replace(threshold=3)), (50,), NOW - DAY_MS),
    ("ALLOWED", ASK, state(contact=CONTACT), (50, 60), NOW - DAY_MS),
    ("ALLOWED", ASK, state(exchanges=exchanges(4) + exchanges(9, days_ago=30)), (50,), NOW - DAY_MS),
    ("ALLOWED", ASK, state(window(opened_ms=NOW - 14 * DAY_MS - 1)), (50, 81), NOW - DAY_MS),
    ("ALLOWED", ASK, state(window(opened_ms=NOW - 28 * DAY_MS)), (50, 81), NOW - DAY_MS),
    ("ALLOWED", ASK, state(question(yes=True, answered_ms=NOW - 14 * DAY_MS, answer_index=82)), (50, 82), NOW - DAY_MS),
]


@pytest.mark.parametrize(("reason", "request_", "before", "by", "date_ms"), TABLE)
def test_each_reason(reason, request_, before, by, date_ms):
    decision = decide(REGISTRY, before, request_, NOW)
    assert (said(decision), decision.decided_by, decision.date_ms) == (reason, by, date_ms)
    assert decision.permitted == (reason == "ALLOWED")


def test_every_reason_that_decide_can_give_is_in_the_table():
    """LEDGER_UNAVAILABLE is the only one that is never decided: who cannot decide says it."""
    never = {"UNSPECIFIED", "LEDGER_UNAVAILABLE"}
    assert {row[0] for row in TABLE} == {n.removeprefix("REASON_") for n in pb.Reason.keys()} - never  # noqa: SIM118  (no mapping)


def test_the_first_match_wins_in_the_order_of_the_codes():
    """Start with a state to which every personal reason applies, and lift them one by one: they come in order."""
    everything = Choice(
        mode=pb.MODE_NEE,
        idx=50,
        recorded_ms=NOW,
        purpose_version=1,
        items=(),
        threshold=9,
        valid_from_ms=NOW + 5,
        valid_until_ms=NOW,
        withdrawn_ms=NOW,
        withdrawn_index=51,
    )
    contact = Contact(60, never=(pb.CHANNEL_BRIEF,), general_only=True, most_per_30_days=1)
    worst = SubjectState(0, {PARTY: everything}, Pause(70, NOW, 0), contact, exchanges(9))
    choice = worst.choices[PARTY]
    steps = [worst, worst._replace(pause=None)]
    for lifted in (
        {"mode": pb.MODE_JA},
        {"withdrawn_ms": 0, "withdrawn_index": None},
        {"valid_until_ms": NOW + 9},
        {"valid_from_ms": NOW},
        {"items": ("betalingsachterstand",)},
        {"threshold": 0},
    ):
        choice = choice._replace(**lifted)
        steps.append(steps[-1]._replace(choices={PARTY: choice}))
    steps.append(steps[-1]._replace(contact=contact._replace(general_only=False)))
    steps.append(steps[-1]._replace(exchanges=(), choices={PARTY: choice._replace(mode=pb.MODE_EERST_ZELF)}))
    steps.append(steps[-1]._replace(choices={PARTY: choice._replace(mode=pb.MODE_VRAAG_MIJ_EERST)}))
    steps.append(steps[-1]._replace(choices={PARTY: choice}))
    steps.append(steps[-1]._replace(contact=None))
    reasons = [decide(REGISTRY, each, ASK, NOW).reason for each in steps]
    assert reasons == sorted(reasons)
    assert reasons == [4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18]
    assert len(RULES) == 12


def test_recheck_of_a_permit_ignores_itself_and_the_days_that_ran_while_it_waited():
    permit = Exchange(33, NOW, 0)
    late = NOW + 2 * DAY_MS
    recheck = replace(ASK, recheck=33)
    capped = state(
        contact=CONTACT._replace(most_per_30_days=1), exchanges=(permit,), choice=YES._replace(valid_until_ms=late + 1)
    )
    assert said(decide(REGISTRY, capped, ASK, late)) == "RATE_CAP"
    assert said(decide(REGISTRY, capped, recheck, late)) == "ALLOWED"
    answered = question(opened_ms=NOW - DAY_MS, yes=True, answered_ms=NOW - 14 * DAY_MS, used_by=33)
    answered = answered._replace(valid_until_ms=late + 1)
    assert said(decide(REGISTRY, state(answered, exchanges=(permit,)), recheck, late)) == "ALLOWED"
    assert said(decide(REGISTRY, state(answered, exchanges=(permit,)), ASK, late)) == "AWAITING_RESIDENT"
    solo = window(opened_ms=NOW - 28 * DAY_MS, used_by=33)._replace(valid_until_ms=late + 1)
    assert said(decide(REGISTRY, state(solo, exchanges=(permit,)), recheck, late)) == "ALLOWED"
    assert said(decide(REGISTRY, state(solo, exchanges=(permit,)), ASK, late)) == "SELF_FIRST_WINDOW"
    # what the resident did since counts, whatever was permitted
    stopped = solo._replace(withdrawn_ms=late, withdrawn_index=40)
    assert said(decide(REGISTRY, state(stopped, exchanges=(permit,)), recheck, late)) == "WITHDRAWN"
    assert said(decide(REGISTRY, state(YES, exchanges=(permit,)), recheck, late)) == "EXPIRED"


def test_suspended_party_and_retired_purpose_stop_everything():
    for body, reason in (
        ({"participant_suspended": pb.ParticipantSuspended(oin=SUPPLIER)}, "PARTY_UNKNOWN"),
        ({"participant_suspended": pb.ParticipantSuspended(oin=CITY)}, "PARTY_UNKNOWN"),
        ({"purpose_retired": pb.PurposeRetired(id=ARREARS, version=1)}, "PURPOSE_UNKNOWN"),
    ):
        changed = REGISTRY.apply(999, pb.PublicEvent(sequence=REGISTRY.sequence + 1, **body))
        assert said(decide(changed, state(), ASK, NOW)) == reason
    retired = REGISTRY.apply(
        999,
        pb.PublicEvent(sequence=REGISTRY.sequence + 1, purpose_retired=pb.PurposeRetired(id="handhaving", version=1)),
    )
    assert said(decide(retired, state(), replace(ASK, purpose="handhaving"), NOW)) == "PURPOSE_PROHIBITED"


def test_recipient_with_declared_channels_must_have_one_that_is_wanted():
    who = pb.ParticipantRegistered(
        oin=CITY, kind=pb.PARTICIPANT_KIND_MUNICIPALITY, name="Stad", channels=[pb.CHANNEL_TELEFOON]
    )
    changed = REGISTRY.apply(999, pb.PublicEvent(sequence=REGISTRY.sequence + 1, participant_registered=who))
    wants = lambda *channels: state(contact=Contact(60, channels=channels))  # noqa: E731  (one line)
    assert said(decide(changed, wants(pb.CHANNEL_EMAIL), ASK, NOW)) == "RECEIVER_CANNOT_HONOUR"
    assert said(decide(changed, state(), ASK, NOW)) == "RECEIVER_CANNOT_HONOUR"  # letter only, until chosen
    assert said(decide(changed, wants(pb.CHANNEL_EMAIL, pb.CHANNEL_TELEFOON), ASK, NOW)) == "ALLOWED"


@pytest.mark.parametrize("number", pb.Reason.values()[1:])
def test_agencies_are_told_one_coarse_word(number):
    coarse = {
        "ALLOWED": pb.OUTCOME_ACCEPTED,
        "PURPOSE_PROHIBITED": pb.OUTCOME_DOEL_VERBODEN,
        "SCOPE_EXCEEDED": pb.OUTCOME_GEGEVENS_NIET_TOEGESTAAN,
        "AWAITING_RESIDENT": pb.OUTCOME_LATER_OPNIEUW,
        "SELF_FIRST_WINDOW": pb.OUTCOME_LATER_OPNIEUW,
        "LEDGER_UNAVAILABLE": pb.OUTCOME_PROBEER_LATER,
    }
    purpose = REGISTRY.purpose(ARREARS)
    expected = coarse.get(pb.Reason.Name(number).removeprefix("REASON_"), pb.OUTCOME_GEEN_TOESTEMMING)
    assert outcome_of(number, purpose) == expected
    folded = pb.OUTCOME_GEEN_TOESTEMMING if expected == pb.OUTCOME_LATER_OPNIEUW else expected
    assert outcome_of(number, replace(purpose, fold_later=True)) == folded


# -- properties -----------------------------------------------------------------------------------------------------

times = st.integers(NOW - 40 * DAY_MS, NOW + 40 * DAY_MS)
maybe_index = st.none() | st.integers(1, 99)
channels = st.lists(st.sampled_from(pb.Channel.values()[1:]), max_size=3, unique=True).map(tuple)
choices = st.builds(
    Choice,
    mode=st.sampled_from(pb.Mode.values()),
    idx=st.integers(1, 99),
    recorded_ms=times,
    purpose_version=st.integers(0, 2),
    items=st.sampled_from([(), ("betalingsachterstand",), ("betalingsachterstand", "bedrag")]),
    threshold=st.integers(0, 2),
    valid_from_ms=times,
    valid_until_ms=times,
    withdrawn_ms=st.just(0) | times,
    withdrawn_index=maybe_index,
    question=st.none()
    | st.builds(Question, st.integers(1, 99), times, st.none() | st.booleans(), times, maybe_index, maybe_index),
    window=st.none() | st.builds(Window, st.integers(1, 99), times, maybe_index),
)
states = st.builds(
    SubjectState,
    written_ms=times,
    choices=st.dictionaries(st.sampled_from([PARTY, (OTHER_SUPPLIER, CITY), (TAX_OFFICE, CITY)]), choices),
    pause=st.none() | st.builds(Pause, st.integers(1, 99), times, st.just(0) | times),
    contact=st.none()
    | st.builds(
        Contact, st.integers(1, 99), channels, channels, st.just("nl"), st.booleans(), st.booleans(), st.integers(0, 3)
    ),
    exchanges=st.lists(st.builds(Exchange, st.integers(1, 99), times, st.just(0) | times), max_size=6).map(tuple),
)
requests = st.builds(
    ExchangeRequest,
    sender=st.sampled_from([SUPPLIER, OTHER_SUPPLIER, TAX_OFFICE, CITY, "9" * 20]),
    recipient=st.sampled_from([CITY, SUPPLIER, "9" * 20]),
    purpose=st.sampled_from([ARREARS, INCOME, "handhaving", "anders"]),
    purpose_version=st.integers(1, 2),
    items=st.sampled_from([("betalingsachterstand",), ("betalingsachterstand", "bedrag"), ()]),
    basis=st.sampled_from([0, 1, 1, 1, 2]),
    severity=st.integers(0, 2),
    recheck=maybe_index,
)


@given(states, requests, times)
def test_pure(before, request_, now_ms):
    """I3: the same question has the same answer, and asking changes nothing."""
    copy = before._replace(choices=dict(before.choices))
    first = decide(REGISTRY, before, request_, now_ms)
    assert (
        first
        == decide(REGISTRY, copy, request_, now_ms)
        == judge_of(REGISTRY, request_, now_ms)(before, request_.recheck, request_.severity)
    )
    assert before == copy


@given(states, requests, times)
def test_pause_beats_every_grant(before, request_, now_ms):
    paused = before._replace(pause=Pause(5, 0, 0))
    assert decide(REGISTRY, paused, request_, now_ms).reason <= pb.REASON_PAUSED


@given(states, requests, times)
def test_allowed_only_on_a_live_positive_choice_for_exactly_these_parties(before, request_, now_ms):
    """The default is no (R1), a choice is for one sender, recipient and purpose (R2), and it ends (R6)."""
    if not decide(REGISTRY, before, request_, now_ms).permitted:
        return
    choice = before.choices[request_.sender, request_.recipient]
    assert choice.mode in (pb.MODE_JA, pb.MODE_VRAAG_MIJ_EERST, pb.MODE_EERST_ZELF)
    assert choice.valid_from_ms <= now_ms < choice.valid_until_ms
    assert not choice.withdrawn_ms
    assert set(request_.items) <= set(choice.items)
    assert request_.basis == batch_pb2.BASIS_OBSERVED


@given(states, requests, times)
def test_prohibited_whatever_anybody_chose(before, request_, now_ms):
    """I8."""
    decision = decide(REGISTRY, before, replace(request_, purpose="gerichte-advertentie"), now_ms)
    assert decision.reason == pb.REASON_PURPOSE_PROHIBITED


@given(states, requests, times)
def test_without_the_choice_for_these_parties_nothing_is_allowed(before, request_, now_ms):
    rest = {party: each for party, each in before.choices.items() if party != (request_.sender, request_.recipient)}
    decision = decide(REGISTRY, before._replace(choices=rest), request_, now_ms)
    assert decision.reason <= pb.REASON_NO_CONSENT
