"""Recording a choice: what the ledger accepts, and the reason and field it names when it does not."""

import pytest

from consent_ledger.clock import DAY_MS
from consent_ledger.dates import add_months
from consent_ledger.purposes import CATALOGUE
from consent_ledger.v1 import consents_pb2 as consents
from consent_ledger.v1 import events_pb2 as pb
from tests.support.ledger import (
    ARREARS,
    CITY,
    INCOME,
    NOW,
    OTHER_SUPPLIER,
    SUPPLIER,
    TAX_OFFICE,
    Ledger,
    change,
    element,
    grant,
    record_work,
    results,
    scope,
    subject,
)


@pytest.fixture
def ledger(tmp_path):
    found = Ledger(tmp_path / "ledger.db")
    yield found
    found.close()


def test_a_grant_becomes_an_event_within_its_ceilings(ledger):
    result = ledger.record("anna", grant=grant(pb.MODE_EERST_ZELF, months=3, threshold=2))
    index, event, private = ledger.events()[-1]
    granted = event.consent_granted
    assert result.log_index == index
    assert (granted.scope.sender, granted.scope.recipient, granted.scope.purpose) == (SUPPLIER, CITY, ARREARS)
    assert granted.scope.purpose_version == 1  # filled in
    assert (granted.valid_from_ms, granted.valid_until_ms) == (NOW, add_months(NOW, 3))
    assert (granted.mode, granted.threshold, list(granted.items)) == (pb.MODE_EERST_ZELF, 2, ["betalingsachterstand"])
    assert granted.capture.via == pb.CAPTURED_VIA_WEB
    assert [(link.subject, link.subject_seq, link.previous) for link in private.links] == [(subject("anna"), 1, b"")]


def test_a_choice_cannot_have_held_before_it_was_recorded(ledger):
    ledger.record("anna", grant=grant(months=6, valid_from_ms=NOW - 90 * DAY_MS))
    granted = ledger.events()[-1][1].consent_granted
    assert (granted.valid_from_ms, granted.valid_until_ms) == (NOW, add_months(NOW, 6))


WRONG = [
    ({"grant": grant(items=["betalingsachterstand", "bedrag"])}, "BEYOND_PURPOSE", "grant.items"),
    ({"grant": grant(items=[])}, "BEYOND_PURPOSE", "grant.items"),
    ({"grant": grant(months=4)}, "FIELD_INVALID", "grant.months"),
    ({"grant": grant(mode=pb.MODE_NEE)}, "FIELD_INVALID", "grant.mode"),
    ({"grant": grant(valid_from_ms=NOW + 400 * DAY_MS)}, "BEYOND_PURPOSE", "grant.valid_from_ms"),
    ({"grant": grant(where=scope(sender=TAX_OFFICE))}, "PARTY_UNKNOWN", "grant.scope.sender"),
    ({"grant": grant(where=scope(recipient=OTHER_SUPPLIER))}, "PARTY_UNKNOWN", "grant.scope.recipient"),
    ({"grant": grant(where=scope(sender="9" * 20))}, "PARTY_UNKNOWN", "grant.scope.sender"),
    ({"refuse": consents.Refuse(scope=scope(recipient="9" * 20))}, "PARTY_UNKNOWN", "refuse.scope.recipient"),
    ({"withdraw": consents.Withdraw(scope=scope(purpose="anders"))}, "PURPOSE_UNKNOWN", "withdraw.scope.purpose"),
    ({"refuse": consents.Refuse(scope=pb.Scope(sender=SUPPLIER, recipient=CITY, purpose=ARREARS, purpose_version=2))}, "PURPOSE_UNKNOWN", "refuse.scope.purpose"),
    ({"answer": consents.Answer(scope=scope(), yes=True)}, "FIELD_INVALID", "answer.scope"),
    ({"pause": consents.Pause(until_ms=NOW)}, "FIELD_INVALID", "pause.until_ms"),
    ({"purpose": INCOME, "grant": grant()}, "FIELD_INVALID", "rows"),
    ({"purpose": "anders", "pause": consents.Pause()}, "PURPOSE_UNKNOWN", "rows.purpose"),
    ({}, "FIELD_INVALID", "what"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "reason", "field"), WRONG)
def test_what_is_wrong_is_named_and_leaves_nothing(ledger, what, reason, field):
    before = ledger.sequencer.head
    error = ledger.record("anna", **what).error
    assert (error.reason, error.field) == (reason, field)
    assert error.description
    assert ledger.sequencer.head == before


@pytest.mark.parametrize("purpose", [p.id for p in CATALOGUE if p.prohibited])
@pytest.mark.parametrize("what", ["grant", "refuse", "withdraw", "answer"])
def test_prohibited_purposes_have_no_control_at_all(ledger, purpose, what):
    """I8, AS2b."""
    where = scope(purpose=purpose)
    message = {
        "grant": consents.Grant(scope=where, items=["betalingsachterstand"], mode=pb.MODE_JA, months=3),
        "refuse": consents.Refuse(scope=where),
        "withdraw": consents.Withdraw(scope=where),
        "answer": consents.Answer(scope=where, yes=True),
    }[what]
    error = ledger.record("anna", purpose=purpose, **{what: message}).error
    assert (error.reason, error.field) == ("PURPOSE_PROHIBITED", f"{what}.scope.purpose")


def test_each_change_stands_alone(ledger):
    good, bad, also_good = (
        change(1, "anna", NOW, grant=grant()),
        change(2, "bert", NOW, grant=grant(items=["inkomen"])),
        change(3, "chris", NOW, refuse=consents.Refuse(scope=scope())),
    )
    first = ledger.sequencer.head.size
    found = results(ledger.sequencer.submit(record_work(good, bad, also_good)).result(10))
    assert [each.WhichOneof("result") for each in found] == ["log_index", "error", "log_index"]
    assert [found[0].log_index, found[2].log_index] == [first, first + 1]


def test_a_write_counts_only_if_newer_than_the_rows_last(ledger):
    """A delayed yes cannot undo a later no."""

    def write(number, created_ms, **what):
        return results(ledger.sequencer.submit(record_work(change(number, "anna", created_ms, **what))).result(10))[0]

    assert write(1, NOW + 10, refuse=consents.Refuse(scope=scope())).log_index
    for created_ms in (NOW + 10, NOW + 9):
        error = write(created_ms, created_ms, grant=grant()).error
        assert (error.reason, error.field) == ("WRITE_STALE", "created_ms")
    assert write(2, NOW + 11, grant=grant()).log_index
    error = write(3, NOW + 120_001, grant=grant()).error
    assert (error.reason, error.field) == ("NOT_FRESH", "created_ms")


def test_a_pause_spans_purposes_in_one_leaf_and_a_grant_does_not_lift_it(ledger):
    """R7, AS5."""
    ledger.record("anna", grant=grant())
    where = scope(sender=TAX_OFFICE, purpose=INCOME)
    ledger.record("anna", purpose=INCOME, grant=grant(where=where))
    rows = [consents.Rows(purpose=purpose, elements=[element("anna")]) for purpose in (ARREARS, INCOME)]
    made = change(99, "anna", NOW + 99, pause=consents.Pause())
    del made.rows[:]
    made.rows.extend(rows)
    assert results(ledger.sequencer.submit(record_work(made)).result(10))[0].log_index
    _, _, private = ledger.events()[-1]
    assert {link.subject for link in private.links} == {subject("anna", ARREARS), subject("anna", INCOME)}
    assert {link.subject_seq for link in private.links} == {2}
    assert ledger.record("anna", grant=grant()).error.reason == "WRITE_STALE"  # the pause was written later
    ledger.clock.writes = 100
    assert ledger.record("anna", grant=grant()).log_index
    ledger.decide(["anna"], 1)
    ledger.decide(["anna"], 2, sender=TAX_OFFICE, purpose=INCOME)
    ledger.record("anna", resume=consents.Resume())
    ledger.decide(["anna"], 3)
    ledger.decide(["anna"], 4, sender=TAX_OFFICE, purpose=INCOME)
    assert ledger.reasons() == ["PAUSED", "PAUSED", "ALLOWED", "PAUSED"]  # resumed for the row that said so


def test_a_resident_can_stop_whatever_became_of_the_organisation(ledger):
    ledger.record("anna", grant=grant())
    ledger.sequencer.publish(
        [
            pb.PublicEvent(participant_suspended=pb.ParticipantSuspended(oin=SUPPLIER)),
            pb.PublicEvent(purpose_retired=pb.PurposeRetired(id=ARREARS, version=1)),
        ]
    ).result(10)
    assert ledger.record("anna", withdraw=consents.Withdraw(scope=scope())).log_index
    assert ledger.record("bert", refuse=consents.Refuse(scope=scope())).log_index
    error = ledger.record("anna", grant=grant()).error
    assert (error.reason, error.field) == ("PURPOSE_UNKNOWN", "grant.scope.purpose")


def test_no_grant_for_a_suspended_participant_nor_beyond_the_longest_validity(ledger):
    short = CATALOGUE[1].to_proto()
    short.version, short.longest_validity_months = 2, 6
    ledger.sequencer.publish(
        [
            pb.PublicEvent(participant_suspended=pb.ParticipantSuspended(oin=CITY)),
            pb.PublicEvent(purpose_published=pb.PurposePublished(purpose=short)),
        ]
    ).result(10)
    error = ledger.record("anna", grant=grant()).error
    assert (error.reason, error.field) == ("PARTY_UNKNOWN", "grant.scope.recipient")
    where = scope(sender=TAX_OFFICE, recipient="00000099000000000022", purpose=INCOME)
    error = ledger.record("anna", purpose=INCOME, grant=grant(where=where)).error
    assert (error.reason, error.field) == ("BEYOND_PURPOSE", "grant.months")
    assert ledger.record("anna", purpose=INCOME, grant=grant(where=where, months=6)).log_index


def test_a_yes_to_an_older_version_is_none_to_the_new_one(ledger):
    ledger.record("anna", grant=grant())
    newer = CATALOGUE[0].to_proto()
    newer.version = 2
    ledger.sequencer.publish([pb.PublicEvent(purpose_published=pb.PurposePublished(purpose=newer))]).result(10)
    ledger.decide(["anna"], 1)
    ledger.decide(["anna"], 2, purpose_version=2)
    ledger.record("anna", grant=grant())
    ledger.decide(["anna"], 3, purpose_version=2)
    assert ledger.reasons() == ["PURPOSE_UNKNOWN", "NO_CONSENT", "ALLOWED"]
