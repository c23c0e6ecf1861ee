"""Auditors' looking is in the log: once a day, in the chain of whom it is about, and everything explains it."""

from __future__ import annotations

import pytest

from consent_ledger.clock import DAY_MS
from consent_ledger.errors import RegieError
from consent_ledger.rebuild import rebuild
from consent_ledger.registry import Registry
from consent_ledger.service.company import others_of
from consent_ledger.service.entries import Row
from consent_ledger.v1 import consents_pb2, log_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify.fsck import fsck
from consent_ledger.verify.replay import replay
from consent_ledger.viewer.catalogue import load_catalogue
from consent_ledger.viewer.pages import viewed
from consent_ledger.writing.access import AccessWork
from tests.support.ledger import ARREARS, SIGNER, Ledger, subject

AUDITOR = "00000099000000004500"


@pytest.fixture
def ledger(tmp_path):
    found = Ledger(tmp_path / "ledger.db")
    yield found
    found.close()


def look(ledger, about: int | None = None, **more) -> int:
    asked = {"person": "0a1b2c3d", "case": "2026-014", "page": "decision", "act": pb.AUDIT_ACT_VIEW, "query": b"q" * 32}
    request = log_pb2.RecordAccessRequest(**{**asked, **more}, about=0 if about is None else about + 1)
    return ledger.sequencer.submit(AccessWork(AUDITOR, request)).result(10).log_index


def decided(ledger) -> int:
    ledger.decide(["anna"])
    return next(index for index, event, _ in ledger.events() if event.HasField("exchange_decided"))


def test_the_same_look_is_recorded_once_a_day(ledger):
    first = look(ledger)
    assert look(ledger) == first
    assert look(ledger, query=b"r" * 32) != first
    assert look(ledger, person="ffffffff") != first
    ledger.clock.forward(ms=DAY_MS)
    assert look(ledger) != first


def test_about_a_decision_it_is_in_that_residents_record(ledger, tmp_path):
    index = decided(ledger)
    looked = look(ledger, index)
    with ledger.sequencer.reader.snapshot() as snapshot:
        views = others_of(snapshot, [Row(ARREARS, subject("anna"))], ledger.clock()).views
    assert [(view.log_index, view.audit.auditor, view.audit.case) for view in views] == [(looked, AUDITOR, "2026-014")]
    private = next(private for found, _, private in ledger.events() if found == looked)
    assert [link.subject for link in private.links] == [subject("anna")]
    ledger.close()
    key = SIGNER.verifier.format()
    assert replay(tmp_path / "ledger.db", key).broken == 0
    assert rebuild(tmp_path / "ledger.db", key).written == 0


def test_every_row_beside_the_log_is_explained(ledger, tmp_path):
    look(ledger)
    look(ledger, act=pb.AUDIT_ACT_EXPORT, page="export")
    ledger.close()
    key = SIGNER.verifier.format()
    assert fsck(tmp_path / "ledger.db", key).count == 0
    assert rebuild(tmp_path / "ledger.db", key).written == 0


@pytest.mark.parametrize("about", [0, 10_000, 2**63])
def test_what_is_no_decision_is_not_looked_at(ledger, about):
    decided(ledger)
    with pytest.raises(RegieError) as refusal:
        look(ledger, about)
    assert refusal.value.reason == "ENTRY_UNKNOWN"


@pytest.mark.parametrize(("language", "who"), [("nl", "Toezichthouder"), ("en", "Auditor")])
@pytest.mark.parametrize("act", [pb.AUDIT_ACT_VIEW, pb.AUDIT_ACT_EXPORT, pb.AUDIT_ACT_REPLAY])
def test_the_resident_reads_which_organisation_looked_for_which_case(language, who, act):
    audit = pb.AuditAccessed(auditor=AUDITOR, case="2026-014", act=act)
    seen = viewed._audited(load_catalogue()[language], Registry(), consents_pb2.ViewRecord(log_index=7, audit=audit))
    assert seen.who.startswith(f"{who} {AUDITOR}")
    assert "2026-014" in seen.who
    assert seen.what
    assert seen.log_index == 7
