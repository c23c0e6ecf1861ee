"""Questions to organisations and stop-use notices, through the sequencer, and what a replay says of them."""

import pytest

from consent_ledger import questions
from consent_ledger.clock import DAY_MS
from consent_ledger.rebuild import rebuild
from consent_ledger.v1 import consents_pb2 as consents
from consent_ledger.v1 import decisions_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify.fsck import LedgerDamaged, fsck
from consent_ledger.verify.replay import ReplayFailed, replay
from consent_ledger.writing import asking, notices
from consent_ledger.writing.afterwards import OutcomeWork
from consent_ledger.writing.announce import Announcing
from consent_ledger.writing.retention import Sweep, SweepWork
from tests.support.erasure import erase
from tests.support.ledger import (
    ARREARS,
    CITY,
    INCOME,
    LEDGER,
    OTHER_CITY,
    SIGNER,
    SUPPLIER,
    TAX_OFFICE,
    Ledger,
    ask,
    grant,
    reason_of,
    scope,
)
from tests.support.lively import check_fake_signature
from tests.support.tampering import opened

VKEY = SIGNER.verifier.format()
STOPS = {
    "withdraw": consents.Withdraw(scope=scope()),
    "refuse": consents.Refuse(scope=scope()),
    "pause": consents.Pause(),
}


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(tmp_path / "ledger.db")
    made.record("anna", grant=grant())
    yield made
    made.close()


def kinds(ledger: Ledger) -> list[str]:
    return [str(event.WhichOneof("body")) for _, event, _ in ledger.events()]


def delivered(ledger: Ledger, person: str = "anna", batch: int = 1) -> tuple[int, int]:
    """Decided and released; the index of each."""
    header_hash, decided = ledger.decide([person], batch)
    (signal,) = ledger.release(header_hash).signals
    return decided.log_indices[0], signal.log_index


def sound(ledger: Ledger) -> None:
    """Closed, the ledger is one that every verifier agrees with."""
    ledger.sequencer.reader.close()
    ledger.close()
    assert replay(ledger.path, VKEY).broken == 0
    fsck(ledger.path, VKEY, check_signature=check_fake_signature)
    assert rebuild(ledger.path, VKEY).written == 0


# -- notices -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", STOPS)
def test_a_stop_after_delivery_becomes_a_task_of_the_recipient(ledger, what):
    _, released = delivered(ledger)
    stopped = ledger.record("anna", **{what: STOPS[what]}).log_index
    (task,) = ledger.tasks(CITY)
    assert (task.idx, task.due_ms, task.done_idx) == (stopped + 1, ledger.clock() + 7 * DAY_MS, None)
    index, event, private = ledger.events()[-1]
    assert (index, list(event.stop_use_noticed.released), list(private.decided_by)) == (task.idx, [released], [stopped])
    assert ledger.tasks(OTHER_CITY) == ledger.tasks(SUPPLIER) == []
    done = ledger.report_task(task.idx, CITY, stop_use=pb.STOP_USE_DELETED)
    assert ledger.tasks(CITY) == []
    assert ledger.tasks(CITY, done=True) == [task._replace(done_idx=done)]
    sound(ledger)


def test_a_stop_without_delivery_asks_nobody_anything(ledger):
    ledger.decide(["anna"])
    ledger.record("anna", withdraw=STOPS["withdraw"])
    assert ledger.tasks(CITY) == []
    sound(ledger)


def test_a_notice_comes_once_and_again_for_what_is_delivered_after(ledger):
    delivered(ledger)
    ledger.record("anna", withdraw=STOPS["withdraw"])
    ledger.record("anna", pause=STOPS["pause"])
    assert len(ledger.tasks(CITY)) == 1
    ledger.record("anna", resume=consents.Resume())
    ledger.record("anna", grant=grant())
    delivered(ledger, batch=2)
    ledger.record("anna", pause=STOPS["pause"])
    assert len(ledger.tasks(CITY)) == 2
    sound(ledger)


def test_the_event_that_a_recipient_may_open_does_not_say_why(ledger):
    """R10: whether the resident stopped, refused or paused is in the private part only."""
    said = []
    for number, (what, body) in enumerate(STOPS.items()):
        person = f"person {number}"
        ledger.record(person, grant=grant())
        delivered(ledger, person, 10 + number)
        ledger.record(person, **{what: body})
        event = ledger.events()[-1][1]
        event.stop_use_noticed.ClearField("released")
        event.ClearField("private_digest")
        said.append(event.SerializeToString())
    assert len(set(said)) == 1


@pytest.mark.parametrize("missing", ["at the end", "before another event"])
def test_a_ledger_that_does_not_tell_the_recipient_fails_the_replay(ledger, monkeypatch, missing):
    delivered(ledger)
    monkeypatch.setattr(notices, "notices_due", lambda *_: [])
    ledger.record("anna", withdraw=STOPS["withdraw"])
    if missing == "before another event":
        ledger.decide(["anna"], 2)
    ledger.close()
    with pytest.raises(ReplayFailed, match="expected StopUseNoticed"):
        replay(ledger.path, VKEY)


def test_a_notice_that_no_choice_led_to_fails_the_replay(ledger, monkeypatch):
    _, released = delivered(ledger)
    made_up = pb.StopUseNoticed(recipient=CITY, sender=SUPPLIER, purpose=ARREARS, released=[released], due_ms=5)
    monkeypatch.setattr(notices, "notices_due", lambda *_: [made_up])
    ledger.record("anna", resume=consents.Resume())
    ledger.close()
    with pytest.raises(ReplayFailed, match="tells to stop what no choice stopped"):
        replay(ledger.path, VKEY)


# -- questions ---------------------------------------------------------------------------------------------------------


def test_a_question_is_a_task_of_whom_it_is_asked(ledger):
    decided, _ = delivered(ledger)
    for organisation in (CITY, SUPPLIER):
        index = ledger.ask("anna", organisation, decided).log_index
        (task,) = ledger.tasks(organisation)
        assert (task.idx, task.due_ms) == (index, ledger.clock() + questions.DAYS_TO_ANSWER * DAY_MS)
        done = ledger.report_task(index, organisation)
        assert ledger.report_task(index, organisation) == done, "the same report again gets the same answer"
    assert kinds(ledger)[-4:] == ["question_asked", "question_answered"] * 2
    sound(ledger)


def test_a_question_about_nothing_in_particular(ledger):
    assert ledger.ask("a stranger", TAX_OFFICE, purpose=INCOME).HasField("log_index")
    sound(ledger)


def refused(result: consents.ChangeResult) -> tuple[str, str]:
    return result.error.reason, result.error.field


def test_nobody_is_asked_about_what_they_must_not_know(ledger):
    """A recipient learns nothing of a signal that was refused, waits or was stopped; nor is another's entry told."""
    _, listed = ledger.decide(["anna", "bert"], 1)
    waits, blocked = listed.log_indices
    unknown = ("FIELD_INVALID", "ask.about_index")
    assert refused(ledger.ask("anna", CITY, waits)) == unknown
    assert refused(ledger.ask("bert", CITY, blocked)) == unknown
    assert refused(ledger.ask("anna", OTHER_CITY, waits)) == unknown
    anothers, none = ledger.ask("anna", SUPPLIER, blocked), ledger.ask("anna", SUPPLIER, 10**9)
    assert anothers.error == none.error
    assert ledger.ask("bert", SUPPLIER, blocked).HasField("log_index"), "its sender knows that it asked"
    assert ledger.tasks(CITY) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"organisation": LEDGER}, "PARTY_UNKNOWN"),
        ({"organisation": "9" * 20}, "PARTY_UNKNOWN"),
        ({"organisation_key_id": b"other   "}, "KEY_UNKNOWN"),
        ({"viewer_key_id": b"other   "}, "KEY_UNKNOWN"),
    ],
)
def test_a_question_that_nobody_could_read_or_answer_is_refused(ledger, changes, reason):
    wrong = ask()
    for name, value in changes.items():
        setattr(wrong, name, value)
    assert ledger.record("anna", ask=wrong).error.reason == reason


def test_only_so_many_questions_wait_at_once(ledger):
    for _ in range(questions.MOST_OPEN):
        first = ledger.ask("anna").log_index
    assert refused(ledger.ask("anna"))[0] == "QUOTA_EXCEEDED"
    ledger.report_task(first)
    assert ledger.ask("anna").HasField("log_index")


def test_a_task_is_reported_by_its_own_organisation_once_and_fittingly(ledger):
    delivered(ledger)
    question = ledger.ask("anna").log_index
    ledger.record("anna", withdraw=STOPS["withdraw"])
    notice = ledger.tasks(CITY)[-1].idx
    stop = {"stop_use": pb.STOP_USE_STOPPED}
    assert reason_of(lambda: ledger.report_task(question, OTHER_CITY)) == "ENTRY_UNKNOWN"
    assert reason_of(lambda: ledger.report_task(1, CITY)) == "ENTRY_UNKNOWN"
    assert reason_of(lambda: ledger.report_task(question, **stop)) == "FIELD_INVALID"
    assert reason_of(lambda: ledger.report_task(notice)) == "FIELD_INVALID"
    ledger.report_task(notice, **stop)
    assert reason_of(lambda: ledger.report_task(notice, stop_use=pb.STOP_USE_DELETED)) == "WRITE_STALE"
    sound(ledger)


@pytest.mark.parametrize(
    ("forgery", "what"),
    [
        ({"due_ms": 5}, "due: expected"),
        ({"position": 9}, "differs from the exchange"),
        ({"about_index": 1}, "does not know of"),
    ],
)
def test_a_forged_question_fails_the_replay(ledger, monkeypatch, forgery, what):
    decided, _ = delivered(ledger)
    about = asking._about

    def forged(tx, index, subjects, body):
        about(tx, index, subjects, body)
        for name, value in forgery.items():
            setattr(body, name, value)

    monkeypatch.setattr(asking, "_about", forged)
    if "due_ms" in forgery:
        monkeypatch.setattr(asking.questions, "due_ms", lambda _now: 5)
    ledger.ask("anna", CITY, decided)
    monkeypatch.undo()
    ledger.close()
    with pytest.raises(ReplayFailed, match=what):
        replay(ledger.path, VKEY)


def test_a_report_of_another_organisation_fails_the_replay(ledger, monkeypatch):
    question = ledger.ask("anna").log_index
    work = "consent_ledger.writing.tasks.TaskWork._event"
    forged = pb.QuestionAnswered(asked_index=question, organisation=OTHER_CITY)
    monkeypatch.setattr(work, lambda *_: pb.Event(question_answered=forged))
    ledger.report_task(question)
    ledger.close()
    with pytest.raises(ReplayFailed, match="differs from the question it names"):
        replay(ledger.path, VKEY)


# -- the table, erasure, retention -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE task SET done_idx = 3",
        "UPDATE task SET due_ms = due_ms + 1",
        "UPDATE task SET organisation = x'00'",
        "DELETE FROM task",
        "UPDATE task SET idx = 1",
    ],
)
def test_a_changed_task_is_found_and_rebuilt(ledger, statement):
    ledger.ask("anna")
    ledger.close()
    connection = opened(ledger.path)
    before = connection.execute("SELECT * FROM task").fetchall()
    connection.execute(statement)
    connection.close()
    with pytest.raises(LedgerDamaged, match="task"):
        fsck(ledger.path, VKEY, check_signature=check_fake_signature)
    assert rebuild(ledger.path, VKEY).written > 0
    connection = opened(ledger.path)
    assert connection.execute("SELECT * FROM task").fetchall() == before
    connection.close()


def test_after_an_erasure_nothing_is_asked_any_more(ledger):
    delivered(ledger)
    question = ledger.ask("anna").log_index
    ledger.record("anna", withdraw=STOPS["withdraw"])
    answered = ledger.ask("anna", SUPPLIER).log_index
    ledger.report_task(answered, SUPPLIER)
    assert len(ledger.tasks(CITY)) == 2
    erase(ledger, "anna", policy=Announcing(people=1))
    assert ledger.tasks(CITY, done=True) == ledger.tasks(SUPPLIER, done=True) == []
    assert reason_of(lambda: ledger.report_task(question)) == "ENTRY_UNKNOWN"
    sound(ledger)


def test_a_question_without_an_answer_outlives_the_retention_and_an_answered_one_does_not(ledger):
    for person in ("bert", "carla"):
        ledger.ask(person)
    ledger.report_task(ledger.tasks(CITY)[0].idx)
    ledger.clock.forward(days=2_000)
    where = Sweep()
    while ledger.sequencer.submit(SweepWork(where, Announcing(people=1))).result(20).more:
        pass
    (waits,) = ledger.tasks(CITY, done=True)
    assert waits.done_idx is None
    sound(ledger)


# -- grants, outcomes --------------------------------------------------------------------------------------------------


def test_a_life_event_offers_three_months_and_no_more(ledger):
    """R33: it creates nothing by itself, and what is chosen because of it is short."""
    life = pb.OCCASION_LIFE_EVENT
    assert refused(ledger.record("bert", grant=grant(occasion=life))) == ("BEYOND_PURPOSE", "grant.months")
    assert ledger.record("bert", grant=grant(occasion=life, months=3)).HasField("log_index")
    assert ledger.events()[-1][1].consent_granted.occasion == life


def test_a_threshold_is_one_that_signals_of_the_purpose_can_reach(ledger):
    assert refused(ledger.record("bert", grant=grant(threshold=5))) == ("BEYOND_PURPOSE", "grant.threshold")
    ledger.record("bert", grant=grant(threshold=3))
    hh, listed = ledger.decide(["bert", "bert", "bert"], 5, severities=[2, 3, 0])
    assert ledger.reasons()[-3:] == ["BELOW_THRESHOLD", "ALLOWED", "BELOW_THRESHOLD"]
    (signal,) = ledger.release(hh).signals
    assert pb.Event.FromString(signal.event).exchange_released.severity == 3
    assert [private.severity for index, _, private in ledger.events() if index in listed.log_indices] == [2, 3, 0]
    sound(ledger)


WISHED = pb.Preferences(
    channels=[pb.CHANNEL_BRIEF, pb.CHANNEL_EMAIL],
    never=[pb.CHANNEL_TELEFOON],
    language="en",
    form_of_address="je",
    same_person=True,
)


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ({"channel": pb.CHANNEL_BRIEF}, []),
        ({"channel": pb.CHANNEL_TELEFOON}, [pb.DEVIATION_NEVER_CHANNEL]),  # AS4h
        ({"channel": pb.CHANNEL_HUISBEZOEK}, [pb.DEVIATION_OTHER_CHANNEL]),
        ({"channel": pb.CHANNEL_EMAIL, "language": "en", "form_of_address": "je"}, []),
        (
            {"channel": pb.CHANNEL_EMAIL, "language": "nl", "form_of_address": "u", "other_person": True},
            [pb.DEVIATION_LANGUAGE, pb.DEVIATION_FORM_OF_ADDRESS, pb.DEVIATION_OTHER_PERSON],
        ),
    ],
)
def test_deviations_are_computed_from_what_was_delivered(ledger, report, expected):
    ledger.record("anna", preferences=WISHED)
    header_hash, _ = ledger.decide(["anna"])
    ledger.release(header_hash)
    ledger.record("anna", preferences=pb.Preferences())  # a later wish makes nothing a deviation, and excuses none
    said = decisions_pb2.OutcomeReport(position=0, offer="gesprek", when_ms=ledger.clock(), **report)
    ledger.sequencer.submit(OutcomeWork(header_hash, CITY, said, b"name".ljust(32))).result(10)
    body = ledger.events()[-1][1].outcome_reported
    assert list(body.deviations) == expected
    assert body.deviation is bool(expected)


def test_references_can_be_read_out_by_telephone():
    name = questions.reference(bytes(range(16)))
    assert name == "VR-000G-40R4"
    for spoken in ("vr-000g-40r4", "OOOG 4OR4", "VR OOO G40R4"):
        assert questions.same_reference(spoken, bytes(range(16)))
    assert not questions.same_reference("VR-000G-40R5", bytes(range(16)))
