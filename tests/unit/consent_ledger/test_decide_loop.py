"""What the loop between residents and agencies adds to the decision, folded from events as the log has them."""

import pytest

from consent_ledger.clock import DAY_MS
from consent_ledger.decide import ExchangeRequest, decide, judge_of
from consent_ledger.state import EMPTY, SubjectState, fold
from consent_ledger.statecodec import decode, encode
from consent_ledger.stopuse import notices_due
from consent_ledger.upcoming import ends_within_days, quiet_until_ms, solved_window
from consent_ledger.v1 import events_pb2 as pb
from tests.support.ledger import ARREARS, CITY, ITEM, NOW, OTHER_SUPPLIER, SUPPLIER
from tests.unit.consent_ledger.test_decide import REGISTRY

PARTY = (SUPPLIER, CITY)
ASK = ExchangeRequest(SUPPLIER, CITY, ARREARS, 1, (ITEM[ARREARS],))
SCOPE = pb.Scope(sender=SUPPLIER, recipient=CITY, purpose=ARREARS, purpose_version=1)


class Life:
    """One subject's events, in the order of a log of its own."""

    def __init__(self, mode: int = pb.MODE_JA, threshold: int = 0, days: int = 365) -> None:
        self.state, self.now, self.next = EMPTY, NOW, 1
        self.add(
            consent_granted=pb.ConsentGranted(
                scope=SCOPE,
                items=ASK.items,
                mode=mode,
                threshold=threshold,
                valid_from_ms=NOW,
                valid_until_ms=NOW + days * DAY_MS,
            )
        )

    def add(self, *, reason: int = 0, decided_by: tuple[int, ...] = (), severity: int = 0, **body: object) -> int:
        event = pb.Event(time_ms=self.now, **body)
        private = pb.PrivatePart(reason=reason, decided_by=decided_by, severity=severity)
        self.state = fold(self.state, self.next, event, private)
        assert decode(encode(self.state)) == self.state
        self.next += 1
        return self.next - 1

    def signal(self, severity: int = 0, *, days: float = 0) -> str:
        """A signal comes: it is decided, and released at once when it may."""
        self.now += int(days * DAY_MS)
        decision = judge_of(REGISTRY, ASK, self.now)(self.state, None, severity)
        said = pb.ExchangeDecided(sender=SUPPLIER, recipient=CITY, purpose=ARREARS, permitted=decision.permitted)
        index = self.add(
            reason=decision.reason, decided_by=decision.decided_by, severity=severity, exchange_decided=said
        )
        if decision.permitted:
            self.release(index)
        return pb.Reason.Name(decision.reason).removeprefix("REASON_")

    def release(self, decided: int) -> int:
        body = pb.ExchangeReleased(sender=SUPPLIER, recipient=CITY, purpose=ARREARS, decided_index=decided)
        return self.add(exchange_released=body)

    def solved(self, opener: int) -> bool:
        purpose = REGISTRY.purpose(ARREARS)
        return solved_window(self.state, self.state.choices.get(PARTY), purpose, opener, self.now)


@pytest.mark.parametrize("threshold", range(5))
@pytest.mark.parametrize("severity", range(5))
def test_a_threshold_is_reached_by_each_signal_for_itself(threshold, severity):
    expected = "ALLOWED" if severity >= threshold else "BELOW_THRESHOLD"
    assert Life(threshold=threshold).signal(severity) == expected


def test_a_release_is_judged_by_the_severity_that_was_permitted():
    life = Life(threshold=3)
    said = pb.ExchangeDecided(sender=SUPPLIER, recipient=CITY, purpose=ARREARS, permitted=True)
    first = life.add(reason=pb.REASON_ALLOWED, decided_by=(1,), severity=3, exchange_decided=said)
    judge = judge_of(REGISTRY, ASK, NOW)
    assert judge(life.state, first, 0).reason == pb.REASON_ALLOWED
    assert judge(life.state, None, 2).reason == pb.REASON_BELOW_THRESHOLD
    raised = life.state.choices[PARTY]._replace(threshold=4)
    stricter = life.state._replace(choices={PARTY: raised})
    assert judge(stricter, first, 4).reason == pb.REASON_BELOW_THRESHOLD, "the resident's newest word counts"


def test_self_first_without_a_second_report_is_solved_by_the_resident():
    """AS4d: the days to try it alone and the days to report it again pass, and nothing comes."""
    life = Life(pb.MODE_EERST_ZELF)
    assert life.signal() == "SELF_FIRST_WINDOW"
    opener = life.next - 1
    life.now += 28 * DAY_MS
    assert not life.solved(opener), "until then the sender may still come"
    life.now += 1
    assert life.solved(opener)
    assert life.signal() == "SELF_FIRST_WINDOW", "a later signal opens another window"
    assert life.state.solved == (opener,)
    assert life.solved(opener)
    assert not life.solved(life.next - 1)


def test_a_report_within_the_first_days_does_not_hinder_the_resident():
    life = Life(pb.MODE_EERST_ZELF)
    life.signal()
    opener = life.next - 1
    assert life.signal(days=3) == "SELF_FIRST_WINDOW"
    life.now += 40 * DAY_MS
    assert life.solved(opener)


@pytest.mark.parametrize("blocked", ["delivered", "paused"])
def test_a_second_report_is_never_called_solved(blocked):
    """Not even when it was stopped for another reason: the sender says that it is not solved."""
    life = Life(pb.MODE_EERST_ZELF)
    life.signal()
    opener = life.next - 1
    if blocked == "paused":
        life.add(sharing_paused=pb.SharingPaused(until_ms=life.now + 20 * DAY_MS))
    assert life.signal(days=15) == {"delivered": "ALLOWED", "paused": "PAUSED"}[blocked]
    life.now += 90 * DAY_MS
    assert not life.solved(opener)
    life.signal()
    assert life.state.solved == ()


def test_no_question_is_put_to_who_refused():
    """R9: a no is not followed by a question, however often and however long the organisation asks."""
    life = Life()
    life.add(consent_refused=pb.ConsentRefused(scope=SCOPE))
    for days in (1, 30, 100, 500):
        assert life.signal(days=days) == "REFUSED"
        assert life.state.choices[PARTY].question is None
        assert life.state.choices[PARTY].window is None


def test_quiet_for_twelve_calendar_months_after_a_no():
    life = Life()
    assert quiet_until_ms(life.state.choices[PARTY], NOW) == 0
    life.add(consent_refused=pb.ConsentRefused(scope=SCOPE))
    choice = life.state.choices[PARTY]
    until = quiet_until_ms(choice, NOW)
    assert until == NOW + 365 * DAY_MS  # 1 January 2026 to 1 January 2027
    assert quiet_until_ms(choice, until - 1) == until
    assert quiet_until_ms(choice, until) == 0


@pytest.mark.parametrize(
    ("left_ms", "days"),
    [(31 * DAY_MS, 0), (30 * DAY_MS + 1, 0), (30 * DAY_MS, 30), (7 * DAY_MS + 1, 30), (7 * DAY_MS, 7), (1, 7), (0, 0)],
)
def test_notice_of_the_end_thirty_and_seven_days_before(left_ms, days):
    choice = Life(days=90).state.choices[PARTY]
    now = choice.valid_until_ms - left_ms
    assert ends_within_days(choice, now) == days
    assert ends_within_days(choice._replace(withdrawn_ms=NOW), now) == 0, "what was stopped does not end"


def released(life: Life) -> int:
    assert life.signal() == "ALLOWED"
    return life.next - 1


def stop(life: Life, **body: object) -> list[pb.StopUseNoticed]:
    life.add(**body)
    return notices_due(REGISTRY, life.state, pb.Event(time_ms=life.now, **body))


STOPS = [
    {"consent_withdrawn": pb.ConsentWithdrawn(scope=SCOPE)},
    {"consent_refused": pb.ConsentRefused(scope=SCOPE)},
    {"sharing_paused": pb.SharingPaused()},
]


@pytest.mark.parametrize("body", STOPS)
def test_a_stop_after_delivery_is_told_to_the_recipient_once(body):
    life = Life()
    indices = [released(life), released(life)]
    (notice,) = stop(life, **body)
    assert (notice.sender, notice.recipient, notice.purpose) == (SUPPLIER, CITY, ARREARS)
    assert list(notice.released) == indices
    assert notice.due_ms == life.now + 7 * DAY_MS
    life.add(stop_use_noticed=notice)
    assert life.state.delivered == ()
    assert stop(life, **body) == []


@pytest.mark.parametrize("body", STOPS)
def test_a_stop_before_delivery_has_nothing_to_tell(body):
    assert stop(Life(), **body) == []


def test_a_stop_for_one_sender_does_not_concern_another():
    life = Life()
    released(life)
    other = pb.Scope(sender=OTHER_SUPPLIER, recipient=CITY, purpose=ARREARS, purpose_version=1)
    assert stop(life, consent_withdrawn=pb.ConsentWithdrawn(scope=other)) == []
    assert len(stop(life, sharing_paused=pb.SharingPaused())) == 1


def test_what_a_recipient_may_keep_no_longer_needs_no_notice():
    life = Life()
    released(life)
    life.now += REGISTRY.purpose(ARREARS).retention_days * DAY_MS
    assert stop(life, **STOPS[0]) == []


def test_a_new_yes_does_not_make_the_old_delivery_be_forgotten():
    """Yes, delivered, yes again for other data, stopped: the first delivery is in use all the same."""
    life = Life()
    index = released(life)
    life.add(consent_granted=pb.ConsentGranted(scope=SCOPE, items=ASK.items, mode=pb.MODE_JA, valid_until_ms=2 * NOW))
    (notice,) = stop(life, **STOPS[0])
    assert list(notice.released) == [index]


def test_tasks_are_remembered_until_done_and_the_newest_thirty_two_after():
    life = Life()
    for number in range(40):
        asked = life.add(question_asked=pb.QuestionAsked(organisation=CITY, due_ms=life.now + number))
        assert life.state.tasks[-1].done_idx is None
        life.add(question_answered=pb.QuestionAnswered(asked_index=asked, organisation=CITY))
    waiting = life.add(question_asked=pb.QuestionAsked(organisation=CITY, due_ms=life.now))
    assert len(life.state.tasks) == 33
    assert [task.idx for task in life.state.tasks if task.done_idx is None] == [waiting]


def test_a_question_decides_nothing():
    life = Life()
    before = decide(REGISTRY, life.state, ASK, life.now)
    life.add(question_asked=pb.QuestionAsked(organisation=CITY, due_ms=life.now, created_ms=5))
    assert decide(REGISTRY, life.state, ASK, life.now) == before


def test_an_erasure_on_request_leaves_no_task_and_no_delivery():
    life = Life()
    released(life)
    life.add(question_asked=pb.QuestionAsked(organisation=CITY, due_ms=life.now))
    life.add(record_erased=pb.RecordErased(ground=pb.ERASURE_GROUND_RESIDENT_REQUEST, created_ms=9))
    assert life.state == SubjectState(written_ms=9)
