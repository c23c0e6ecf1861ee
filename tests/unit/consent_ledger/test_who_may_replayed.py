"""Who may do what (R36-R38, AS6, AS7), found again in a replay of what stands in the log, and what was planted there."""

import pytest

from consent_ledger.clock import DAY_MS
from consent_ledger.others import presence_hash, proof_in
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.v1 import events_pb2
from consent_ledger.verify.authority import wrong_authority
from consent_ledger.verify.fsck import fsck
from consent_ledger.verify.replay import ReplayFailed, replay
from tests.support.authority import CODE_SENT, DESK, PROOF, PROVEN, REFERENCE, WEB, WHO, YES, acting, write
from tests.support.ledger import (
    ARREARS,
    CITY,
    INCOME,
    NOW,
    SIGNER,
    SUPPLIER,
    TAX_OFFICE,
    Ledger,
    grant,
    scope,
    subject,
)
from tests.support.lively import check_fake_signature


@pytest.fixture
def ledger(tmp_path):
    opened = Ledger(tmp_path / "ledger.db")
    yield opened
    opened.close()


def test_all_of_it_survives_a_replay_a_check_and_a_reload(ledger, tmp_path):
    write(ledger, DESK, grant=YES)
    write(ledger, DESK, issue_code=CODE_SENT)
    index = write(ledger, PROVEN, grant=YES)
    write(ledger, WEB, confirm=pb.Confirm(scope=scope(), granted_index=index))
    by = acting(ledger, events_pb2.MANDATE_STOP)
    write(ledger, by, pause=pb.Pause())
    write(ledger, by, view=pb.View(kind=events_pb2.VIEW_KIND_PAGES))
    write(ledger, WEB, end_representative=pb.EndRepresentative(reference=REFERENCE))
    ledger.decide(["anna"], 1)
    with ledger.sequencer.reader.snapshot() as snapshot:
        before = snapshot.subject(subject("anna"))
    ledger.close()
    assert replay(tmp_path / "ledger.db", SIGNER.verifier.format()).broken == 0
    fsck(tmp_path / "ledger.db", SIGNER.verifier.format(), check_signature=check_fake_signature)
    again = Ledger(tmp_path / "ledger.db")
    with again.sequencer.reader.snapshot() as snapshot:
        assert snapshot.subject(subject("anna")) == before
    again.close()


@pytest.mark.parametrize(
    ("change_event", "said"),
    [
        (lambda event: event.consent_granted.capture.ClearField("presence_proof"), "code"),
        (lambda event: setattr(event.consent_granted, "valid_from_ms", NOW), "waits for some days"),
        (lambda event: setattr(event.consent_granted, "confirmable_from_ms", 0), "waits for some days"),
        (lambda event: setattr(event.consent_granted.capture, "via", events_pb2.CAPTURED_VIA_PHONE), "telephone"),
        (lambda event: setattr(event.consent_granted.capture, "via", events_pb2.CAPTURED_VIA_REPRESENTATIVE), "nobody"),
        (lambda event: setattr(event.consent_granted, "valid_until_ms", NOW + 300 * DAY_MS), "longest time"),
    ],
)
def test_a_replay_finds_a_desks_yes_that_was_planted(ledger, change_event, said):
    write(ledger, DESK, issue_code=CODE_SENT)
    with ledger.sequencer.reader.snapshot() as snapshot:
        state = snapshot.subject(subject("anna")).state
    write(ledger, PROVEN, grant=YES)
    event = ledger.events()[-1][1]
    assert wrong_authority(event, [state]) is None
    change_event(event)
    assert said in (wrong_authority(event, [state]) or "")


def test_a_replay_finds_a_code_that_was_used_before(ledger):
    write(ledger, DESK, issue_code=CODE_SENT)
    with ledger.sequencer.reader.snapshot() as snapshot:
        state = snapshot.subject(subject("anna")).state
    write(ledger, PROVEN, grant=YES)
    event = ledger.events()[-1][1]
    assert proof_in(event) == presence_hash(PROOF)
    assert wrong_authority(event, [state]) is None
    assert "code" in (wrong_authority(event, [state], {presence_hash(PROOF)}) or "")
    write(ledger, PROVEN, grant=YES)
    assert proof_in(ledger.events()[-1][1]) == b"", "an attempt uses nothing up"


def test_a_replay_finds_it_also_when_it_was_used_for_other_rows(ledger, tmp_path, monkeypatch):
    write(ledger, DESK, purposes=(ARREARS, INCOME), issue_code=CODE_SENT)
    write(ledger, PROVEN, grant=YES)
    monkeypatch.setattr("consent_ledger.writing.record.check_authority", lambda *_: None)
    planted = write(ledger, PROVEN, purposes=(INCOME,), grant=grant(where=scope(TAX_OFFICE, CITY, INCOME), months=3))
    ledger.close()
    with pytest.raises(ReplayFailed) as found:
        replay(tmp_path / "ledger.db", SIGNER.verifier.format())
    assert [one.index for one in found.value.report.findings] == [planted]


def test_a_replay_finds_a_confirmation_of_nothing(ledger):
    body = events_pb2.GrantConfirmed(scope=scope(SUPPLIER), granted_index=7, capture=WEB)
    write(ledger, WEB, grant=YES)
    with ledger.sequencer.reader.snapshot() as snapshot:
        state = snapshot.subject(subject("anna")).state
    assert wrong_authority(events_pb2.Event(time_ms=NOW, grant_confirmed=body), [state])
    taken = events_pb2.RepresentativeAccepted(reference=REFERENCE, who=WHO)
    assert wrong_authority(events_pb2.Event(time_ms=NOW, representative_accepted=taken), [state])
