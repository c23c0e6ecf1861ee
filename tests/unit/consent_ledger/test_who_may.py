"""Who may do what (R36-R38, AS6, AS7): in the ledger before it writes, and in a replay of what stands in the log."""

from hashlib import sha256

import pytest

from consent_ledger.clock import DAY_MS
from consent_ledger.others import INVITED_MS, MOST_TRIES, invitation_hash, presence_hash
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.v1 import events_pb2
from consent_ledger.verify.fsck import fsck
from consent_ledger.verify.replay import replay
from tests.support.authority import (
    CASE,
    CODE,
    CODE_SENT,
    DESK,
    PAPER,
    PHONE,
    PROOF,
    PROVEN,
    REFERENCE,
    WEB,
    WHO,
    YES,
    acting,
    captured,
    erase,
    invite,
    kinds,
    made,
    recorded,
    write,
)
from tests.support.erasure import erased
from tests.support.ledger import (
    ARREARS,
    CITY,
    INCOME,
    NOW,
    SIGNER,
    TAX_OFFICE,
    Ledger,
    change,
    grant,
    reason_of,
    record_work,
    results,
    scope,
)
from tests.support.lively import check_fake_signature


@pytest.fixture
def ledger(tmp_path):
    opened = Ledger(tmp_path / "ledger.db")
    yield opened
    opened.close()


@pytest.mark.parametrize("capture", [DESK, PAPER])
@pytest.mark.parametrize(
    "what",
    [
        {"grant": YES},
        {"resume": pb.Resume()},
        {"answer": pb.Answer(scope=scope(), yes=True)},
        {"preferences": events_pb2.Preferences(language="nl")},
        {"add_representative": invite(events_pb2.MANDATE_CHOOSE)},
        {"confirm": pb.Confirm(scope=scope(), granted_index=1)},
    ],
    ids=lambda what: next(iter(what)),
)
def test_what_lets_more_happen_needs_the_resident_and_the_attempt_is_shown(ledger, capture, what):
    assert write(ledger, capture, **what) == "PRESENCE_REQUIRED"
    (only,) = ledger.events()
    attempt = only[1].attempt_refused
    assert (attempt.what, attempt.reason, attempt.capture.by) == (next(iter(what)), "PRESENCE_REQUIRED", "balie-7")


@pytest.mark.parametrize("capture", [DESK, PAPER])
def test_staff_may_protect_alone(ledger, capture):
    write(ledger, WEB, grant=YES)
    assert write(ledger, capture, withdraw=pb.Withdraw(scope=scope())) > 0
    assert write(ledger, capture, refuse=pb.Refuse(scope=scope())) > 0
    assert write(ledger, capture, pause=pb.Pause()) > 0
    assert "attempt_refused" not in kinds(ledger)


def test_by_telephone_a_resident_only_stops(ledger):
    write(ledger, WEB, grant=YES)
    write(ledger, DESK, issue_code=CODE_SENT)
    with_code = captured(events_pb2.CAPTURED_VIA_PHONE, proof=PROOF)
    assert write(ledger, with_code, grant=YES) == "PRESENCE_REQUIRED"
    assert write(ledger, PHONE, resume=pb.Resume()) == "PRESENCE_REQUIRED"
    assert write(ledger, PHONE, withdraw=pb.Withdraw(scope=scope())) > 0
    assert write(ledger, PHONE, pause=pb.Pause()) > 0


def test_a_desks_yes_holds_after_seven_days_and_for_six_months(ledger):
    write(ledger, DESK, issue_code=CODE_SENT)
    assert write(ledger, PROVEN, grant=grant(months=12)) == "BEYOND_PURPOSE"
    assert write(ledger, PROVEN, grant=YES) > 0
    ledger.decide(["anna"], 1)
    ledger.clock.forward(days=6.9)
    ledger.decide(["anna"], 2)
    ledger.clock.forward(days=0.2)
    ledger.decide(["anna"], 3)
    assert ledger.reasons() == ["NOT_YET_VALID", "NOT_YET_VALID", "ALLOWED"]
    granted = next(event.consent_granted for _, event, _ in ledger.events() if event.HasField("consent_granted"))
    assert granted.valid_until_ms < NOW + 185 * DAY_MS
    assert CODE.encode() not in granted.SerializeToString()
    assert granted.capture.presence_proof == sha256(b"regie/presence/v1" + PROOF).digest()


def test_a_desks_yes_holds_at_once_when_the_resident_confirms_it(ledger):
    write(ledger, DESK, issue_code=CODE_SENT)
    index = write(ledger, PROVEN, grant=YES)
    confirm = pb.Confirm(scope=scope(), granted_index=index)
    assert write(ledger, WEB, "bert", confirm=confirm) == "FIELD_INVALID"
    assert write(ledger, WEB, confirm=pb.Confirm(scope=scope(), granted_index=index + 1)) == "FIELD_INVALID"
    assert write(ledger, WEB, confirm=confirm) > index
    assert write(ledger, WEB, confirm=confirm) == "FIELD_INVALID", "once"
    ledger.decide(["anna"], 1)
    assert ledger.reasons() == ["ALLOWED"]


def test_what_was_stopped_is_not_confirmed(ledger):
    write(ledger, DESK, issue_code=CODE_SENT)
    index = write(ledger, PROVEN, grant=YES)
    write(ledger, DESK, withdraw=pb.Withdraw(scope=scope()))
    assert write(ledger, WEB, confirm=pb.Confirm(scope=scope(), granted_index=index)) == "FIELD_INVALID"


def test_a_code_is_of_one_case_one_resident_and_one_hour(ledger):
    write(ledger, DESK, issue_code=CODE_SENT)
    write(ledger, WEB, "bert", pause=pb.Pause())
    other_case = captured(events_pb2.CAPTURED_VIA_DESK, proof=b"d" * 16 + CODE.encode())
    assert write(ledger, PROVEN, "bert", grant=YES) == "PRESENCE_REQUIRED"
    assert write(ledger, other_case, grant=YES) == "PRESENCE_REQUIRED"
    ledger.clock.forward(ms=3_600_000)
    assert write(ledger, PROVEN, grant=YES) == "PRESENCE_REQUIRED"


def test_a_code_proves_one_change_the_first(ledger, tmp_path):
    write(ledger, DESK, issue_code=CODE_SENT)
    assert write(ledger, PROVEN, grant=grant(months=12)) == "BEYOND_PURPOSE", "what is not recorded uses nothing up"
    first = made(ledger, PROVEN, grant=YES)
    index = recorded(ledger, first)
    assert index > 0
    assert write(ledger, PROVEN, grant=YES) == "PRESENCE_REQUIRED"
    assert write(ledger, PROVEN, resume=pb.Resume()) == "PRESENCE_REQUIRED"
    assert reason_of(lambda: erase(ledger, PROVEN)) == "PRESENCE_REQUIRED"
    assert write(ledger, PROVEN, withdraw=pb.Withdraw(scope=scope())) > index, "staff stops alone"
    assert recorded(ledger, first) == index, "the same change, sent again"
    ledger.close()
    assert replay(tmp_path / "ledger.db", SIGNER.verifier.format()).broken == 0
    fsck(tmp_path / "ledger.db", SIGNER.verifier.format(), check_signature=check_fake_signature)


def test_a_code_that_was_used_for_one_purpose_is_used_for_all(ledger):
    write(ledger, DESK, purposes=(ARREARS, INCOME), issue_code=CODE_SENT)
    elsewhere = grant(where=scope(TAX_OFFICE, CITY, INCOME), months=3)
    assert write(ledger, PROVEN, grant=YES) > 0
    assert write(ledger, PROVEN, purposes=(INCOME,), grant=elsewhere) == "PRESENCE_REQUIRED"
    write(
        ledger,
        DESK,
        purposes=(ARREARS, INCOME),
        issue_code=pb.IssueCode(
            case_id=b"d" * 16, code_hash=presence_hash(b"d" * 16 + CODE.encode()), channel=events_pb2.CODE_CHANNEL_PHONE
        ),
    )
    another = captured(events_pb2.CAPTURED_VIA_DESK, proof=b"d" * 16 + CODE.encode())
    assert write(ledger, another, purposes=(INCOME,), grant=elsewhere) > 0


def test_a_code_that_is_guessed_at_is_of_no_use_any_more(ledger):
    write(ledger, DESK, issue_code=CODE_SENT)
    for number in range(MOST_TRIES):
        guess = captured(events_pb2.CAPTURED_VIA_DESK, proof=CASE + f"WRONG{number:03}".encode())
        assert write(ledger, guess, grant=YES) == "PRESENCE_REQUIRED"
    assert write(ledger, PROVEN, grant=YES) == "PRESENCE_REQUIRED"


def test_attempts_do_not_fill_the_record(ledger):
    for _ in range(40):
        assert write(ledger, DESK, grant=YES) == "PRESENCE_REQUIRED"
    assert kinds(ledger) == ["attempt_refused"] * 10


def test_each_mandate_includes_the_one_before_it(ledger):
    tries = {
        "withdraw": pb.Withdraw(scope=scope()),
        "pause": pb.Pause(),
        "resume": pb.Resume(),
        "grant": YES,
        "preferences": events_pb2.Preferences(language="en"),
        "add_representative": invite(events_pb2.MANDATE_CHOOSE),
        "issue_code": CODE_SENT,
    }
    allowed = {}
    for number, mandate in enumerate((events_pb2.MANDATE_LOOK, events_pb2.MANDATE_STOP, events_pb2.MANDATE_CHOOSE)):
        name = f"resident {number}"
        write(ledger, WEB, name, add_representative=invite(mandate))
        write(ledger, captured(5, ""), name, accept_representative=pb.AcceptRepresentative(who=WHO, code=CODE))
        by = captured(events_pb2.CAPTURED_VIA_REPRESENTATIVE, REFERENCE.hex())
        allowed[number] = {
            what for what, body in tries.items() if isinstance(write(ledger, by, name, **{what: body}), int)
        }
    assert allowed == {
        0: set(),
        1: {"withdraw", "pause"},
        2: {"withdraw", "pause", "resume", "grant", "preferences"},
    }


def test_a_mandate_ends_and_is_of_one_resident(ledger):
    by = acting(ledger, events_pb2.MANDATE_STOP)
    assert write(ledger, by, "bert", pause=pb.Pause()) == "BEYOND_MANDATE"
    assert write(ledger, by, pause=pb.Pause()) > 0
    ledger.clock.forward(days=93)
    assert write(ledger, by, pause=pb.Pause()) == "BEYOND_MANDATE"


def test_a_representative_ends_only_their_own_part(ledger):
    by = acting(ledger, events_pb2.MANDATE_LOOK)
    assert write(ledger, by, end_representative=pb.EndRepresentative(reference=b"x" * 16)) == "BEYOND_MANDATE"
    assert write(ledger, by, end_representative=pb.EndRepresentative(reference=REFERENCE)) > 0
    assert write(ledger, by, end_representative=pb.EndRepresentative(reference=REFERENCE)) == "BEYOND_MANDATE"


def test_an_invitation_waits_for_two_weeks_and_one_person(ledger):
    write(ledger, WEB, add_representative=invite(events_pb2.MANDATE_LOOK))
    nobody = captured(events_pb2.CAPTURED_VIA_REPRESENTATIVE, "")
    wrong = pb.AcceptRepresentative(who=WHO, code="00000000")
    right = pb.AcceptRepresentative(who=WHO, code=CODE)
    assert write(ledger, nobody, accept_representative=wrong) == "BEYOND_MANDATE"
    assert write(ledger, nobody, "bert", accept_representative=right) == "BEYOND_MANDATE"
    assert write(ledger, nobody, accept_representative=right) > 0
    assert write(ledger, nobody, accept_representative=right) == "BEYOND_MANDATE"
    late = pb.AddRepresentative()
    late.CopyFrom(invite(events_pb2.MANDATE_LOOK))
    late.reference, late.code_hash = b"s" * 16, invitation_hash(b"s" * 16, CODE)
    write(ledger, WEB, add_representative=late)
    ledger.clock.forward(ms=INVITED_MS)
    assert write(ledger, nobody, accept_representative=right) == "BEYOND_MANDATE"


def test_a_mandate_for_one_purpose_is_for_that_one(ledger):
    write(ledger, WEB, add_representative=invite(events_pb2.MANDATE_CHOOSE, "vroegsignalering-energie"))
    write(ledger, captured(5, ""), accept_representative=pb.AcceptRepresentative(who=WHO, code=CODE))
    by = captured(events_pb2.CAPTURED_VIA_REPRESENTATIVE, REFERENCE.hex())
    assert write(ledger, by, grant=YES) > 0
    made = change(900, "anna", ledger.clock() + 900, pause=pb.Pause())
    made.rows.add(purpose="regelingen-bij-inkomensdaling", elements=made.rows[0].elements)
    made.capture.CopyFrom(by)
    assert results(ledger.sequencer.submit(record_work(made)).result(10))[0].error.reason == "BEYOND_MANDATE"


def test_nobody_takes_a_record_away_for_somebody_else(ledger):
    write(ledger, WEB, grant=YES)
    write(ledger, DESK, issue_code=CODE_SENT)
    by = acting(ledger, events_pb2.MANDATE_CHOOSE)
    assert [reason_of(lambda capture=each: erase(ledger, capture)) for each in (DESK, PAPER, PHONE, by)] == [
        "PRESENCE_REQUIRED",
        "PRESENCE_REQUIRED",
        "PRESENCE_REQUIRED",
        "BEYOND_MANDATE",
    ]
    assert erased(erase(ledger, PROVEN)).entries > 0


def test_views_once_a_day_and_they_make_no_choice_stale(ledger):
    look = {"view": pb.View(kind=events_pb2.VIEW_KIND_PAGES)}
    first = write(ledger, WEB, **look)
    assert write(ledger, WEB, **look) == first
    assert write(ledger, DESK, **look) > first
    later = change(500, "anna", ledger.clock() + 1, grant=YES)  # created before the views were
    assert results(ledger.sequencer.submit(record_work(later)).result(10))[0].log_index
    ledger.clock.forward(days=1)
    assert write(ledger, WEB, **look) > first
    assert kinds(ledger).count("record_viewed") == 3
