"""Changes as everybody makes them: a resident, the desk with and without a code, and a representative."""

from consent_ledger.others import invitation_hash, presence_hash
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.v1 import events_pb2
from tests.support.erasure import erase_request, erase_work
from tests.support.ledger import (
    ARREARS,
    change,
    grant,
    record_work,
    results,
)

CASE, CODE = b"c" * 16, "ABCD1234"
PROOF = CASE + CODE.encode()
REFERENCE, WHO = b"r" * 16, b"w" * 32


def captured(via, by="balie-7", proof=b""):
    return events_pb2.Capture(via=via, by=by, language="nl", presence_proof=proof)


def made(ledger, capture, person="anna", purposes=(ARREARS,), **what):
    ledger.clock.writes += 1
    new = change(ledger.clock.writes, person, ledger.clock() + ledger.clock.writes, **what)
    rows = [pb.Rows(purpose=purpose, elements=new.rows[0].elements) for purpose in purposes]
    del new.rows[:]
    new.rows.extend(rows)
    new.capture.CopyFrom(capture)
    return new


def recorded(ledger, new):
    (result,) = results(ledger.sequencer.submit(record_work(new)).result(10))
    return result.error.reason or result.log_index


def write(ledger, capture, person="anna", purposes=(ARREARS,), **what):
    return recorded(ledger, made(ledger, capture, person, purposes, **what))


def erase(ledger, capture):
    ledger.clock.writes += 1
    request = erase_request("anna", ledger.clock() + ledger.clock.writes, (ARREARS,), 700 + ledger.clock.writes)
    request.capture.CopyFrom(capture)
    return ledger.sequencer.submit(erase_work(request)).result(10)


def kinds(ledger):
    return [event.WhichOneof("body") for _, event, _ in ledger.events()]


DESK, PAPER = captured(events_pb2.CAPTURED_VIA_DESK), captured(events_pb2.CAPTURED_VIA_PAPER)
PHONE = captured(events_pb2.CAPTURED_VIA_PHONE)
PROVEN = captured(events_pb2.CAPTURED_VIA_DESK, proof=PROOF)
WEB = captured(events_pb2.CAPTURED_VIA_WEB, "self")
CODE_SENT = pb.IssueCode(case_id=CASE, code_hash=presence_hash(PROOF), channel=events_pb2.CODE_CHANNEL_PHONE)
YES = grant(months=6)


def invite(mandate, *purposes):
    return pb.AddRepresentative(
        reference=REFERENCE,
        mandate=mandate,
        relation=events_pb2.RELATION_FAMILY,
        purposes=purposes,
        months=3,
        code_hash=invitation_hash(REFERENCE, CODE),
    )


def acting(ledger, mandate):
    """Somebody acts for anna under this mandate; returns the capture of what they do."""
    assert write(ledger, WEB, add_representative=invite(mandate)) > 0
    taken = pb.AcceptRepresentative(who=WHO, code=CODE)
    assert write(ledger, captured(events_pb2.CAPTURED_VIA_REPRESENTATIVE, ""), accept_representative=taken) > 0
    return captured(events_pb2.CAPTURED_VIA_REPRESENTATIVE, REFERENCE.hex())
