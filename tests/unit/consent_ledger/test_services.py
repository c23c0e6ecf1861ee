"""The decision service with a transparent crypto: who may call, what is checked first, and what comes back."""

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.hashing import sha256
from consent_ledger.service.decision import decide_request_hash
from consent_ledger.v1 import batch_pb2
from consent_ledger.v1 import consents_pb2 as consents
from consent_ledger.v1 import decisions_pb2 as decisions
from consent_ledger.v1 import events_pb2 as pb
from tests.support.ledger import (
    CITY,
    GATEWAY,
    LEDGER,
    NOW,
    OTHER_CITY,
    SUPPLIER,
    VIEWER,
    change,
    content_of,
    element,
    grant,
    header,
    key_id,
    listed,
    opening,
    pull,
    scope,
    sign,
)
from tests.support.ledger_crypto import FakeCrypto
from tests.support.ledger_services import TRACE, Context, acknowledged, delivered, refused, request_for, sign_key


@pytest.mark.parametrize("caller", [SUPPLIER, CITY, LEDGER, VIEWER])
async def test_only_the_gateway_asks_for_decisions(services, caller):
    services.caller = caller
    for method, request in (
        (services.decisions.Decide, request_for(["anna"])),
        (services.decisions.Release, decisions.ReleaseRequest()),
        (services.decisions.Acknowledge, decisions.AcknowledgeRequest()),
        (services.decisions.ReportOutcome, decisions.ReportOutcomeRequest()),
    ):
        assert await refused(method(request, Context())) == ("PEER_KIND_NOT_SERVED", "")


@pytest.mark.parametrize("caller", [SUPPLIER, CITY, GATEWAY, LEDGER])
async def test_only_the_viewer_records_and_reads(services, caller):
    services.caller = caller
    assert (await refused(services.consents.Record(consents.RecordRequest(), Context())))[0] == "PEER_KIND_NOT_SERVED"
    assert (await refused(services.consents.GetRecord(consents.GetRecordRequest(), Context())))[
        0
    ] == "PEER_KIND_NOT_SERVED"


# -- Decide ---------------------------------------------------------------------------------------------------------


async def test_decide_answers_with_a_signed_list(services):
    await services.record(change(1, "anna", NOW, grant=grant()))
    request = request_for(["anna", "bert"])
    response = await services.decide(request, Context(traceparent=TRACE))
    FakeCrypto().verify(sign_key(), b"regie/s/decision/v1", response.signature, sha256(response.decision_list))
    answer = listed(response)
    hh = FakeCrypto().header_hash(request.header)
    assert (answer.header_hash, answer.root) == (hh, request.root)
    assert answer.request_hash == decide_request_hash(request, hh)
    assert list(answer.outcomes) == [pb.OUTCOME_ACCEPTED, pb.OUTCOME_GEEN_TOESTEMMING]
    body = services.ledger.events()[-1][1].exchange_decided
    assert (body.trace_id.hex(), body.span_id.hex()) == (TRACE[3:35], TRACE[36:52])
    assert await services.decide(request) == response


async def test_a_refusal_names_nothing_that_agencies_may_not_tell_apart(services):
    """I7: whatever the reason, the outcome is the same word."""
    await services.record(
        change(1, "anna", NOW, refuse=consents.Refuse(scope=scope())),
        change(2, "bert", NOW, grant=grant()),
        change(3, "chris", NOW, pause=consents.Pause()),
    )
    await services.record(change(4, "bert", NOW + 1, withdraw=consents.Withdraw(scope=scope())))
    answer = listed(await services.decide(request_for(["anna", "bert", "chris", "nobody"])))
    assert set(answer.outcomes) == {pb.OUTCOME_GEEN_TOESTEMMING}
    assert services.ledger.reasons() == ["REFUSED", "WITHDRAWN", "PAUSED", "NO_CONSENT"]


BAD_HEADERS = [
    ({"suite": "other/1"}, ("SUITE_UNKNOWN", "header.suite")),
    ({"version": 2}, ("FIELD_INVALID", "header.version")),
    ({"batch_id": b"short"}, ("FIELD_INVALID", "header.batch_id")),
    ({"sender": "abc"}, ("FIELD_INVALID", "header.sender")),
    ({"ledger": GATEWAY}, ("FIELD_INVALID", "header.ledger")),
    ({"ledger_key_id": b"oldkey00"}, ("KEY_UNKNOWN", "header.ledger_key_id")),
    ({"ledger_epoch": 2}, ("FIELD_INVALID", "header.ledger_epoch")),
    ({"sender_key_id": b"oldkey00"}, ("KEY_UNKNOWN", "")),
    ({"sender_key_id": key_id(SUPPLIER, "hpke")}, ("KEY_UNKNOWN", "header.sender_key_id")),
    ({"sender": "9" * 20}, ("PARTY_UNKNOWN", "")),
    ({"count": 3}, ("SEALED_PART_INVALID", "")),
    ({"created_ms": NOW + 120_001}, ("NOT_FRESH", "header.created_ms")),
    ({"basis": batch_pb2.BASIS_UNSPECIFIED}, ("FIELD_INVALID", "header.basis")),
]


@pytest.mark.parametrize(("changes", "expected"), BAD_HEADERS, ids=lambda each: str(each)[:30])
async def test_a_batch_is_refused_as_a_whole_before_anything_is_logged(services, changes, expected):
    size = services.ledger.sequencer.head.size
    head = header(**{"count": 1, **changes})
    assert await refused(services.decide(request_for(["anna"], head))) == expected
    assert services.ledger.sequencer.head.size == size


async def test_an_expired_batch_costs_no_group_operation(services):
    services.crypto.open_batch = None  # would fail if it were called
    services.ledger.clock.forward(days=3)
    assert await refused(services.decide(request_for(["anna"]))) == ("NOT_FRESH", "header.expires_ms")


async def test_what_does_not_check_is_refused(services):
    good = request_for(["anna"])
    other = request_for(["anna"], header(2))
    for changes, reason in (
        ({"header": b"\xff"}, "FIELD_INVALID"),
        ({"root": bytes(32)}, "SIGNATURE_INVALID"),
        ({"signature": other.signature}, "SIGNATURE_INVALID"),
        ({"sealed_ledger": other.sealed_ledger}, "SIGNATURE_INVALID"),
        ({"evaluated": bytes(32)}, "ELEMENT_INVALID"),
        ({"evaluated": good.evaluated * 2}, "SEALED_PART_INVALID"),
    ):
        assert (await refused(services.decide(request_for(["anna"], **changes))))[0] == reason


async def test_scaled_elements_of_a_decided_batch_are_a_reused_id(services):
    """Resubmission after scaling (pseudonyms.md): once-only at L, whatever E_L says."""
    await services.decide(request_for(["anna"]))
    scaled = request_for(["anna"], evaluated=element("scaled"))
    assert await refused(services.decide(scaled)) == ("BATCH_ID_REUSED", "header.batch_id")


async def test_unknown_and_prohibited_purposes_are_refused_and_logged(services):
    for number, purpose in enumerate(["bestaat-niet", "handhaving"], 1):
        answer = listed(await services.decide(request_for(["anna"], header(number, purpose=purpose))))
        assert len(answer.log_indices) == 1
    assert services.ledger.reasons() == ["PURPOSE_UNKNOWN", "PURPOSE_PROHIBITED"]


# -- Release and after ----------------------------------------------------------------------------------------------


async def test_release_is_sealed_to_the_recipient_and_signed(services):
    hh, response = await delivered(services)
    FakeCrypto().verify(sign_key(), b"regie/s/release/v1", response.signature, sha256(response.statement))
    assert set(services.crypto.sealed_to) == {sha256(b"public", CITY.encode(), b"hpke")}
    assert content_of(response).signals[0].opening == opening(hh, 0)


async def test_a_pull_that_its_recipient_did_not_sign_is_refused(services):
    hh, _ = await delivered(services)
    wanted = pull(hh, 2)
    forged = sign(OTHER_CITY, b"regie/s/pull/v1", sha256(wanted.SerializeToString()))
    assert (await refused(services.release(wanted, forged)))[0] == "SIGNATURE_INVALID"
    acknowledgement = sign(CITY, b"regie/s/ack/v1", sha256(wanted.SerializeToString()))
    assert (await refused(services.release(wanted, acknowledgement)))[0] == "SIGNATURE_INVALID"
    wanted.nonce = b"short"
    assert await refused(services.release(wanted)) == ("FIELD_INVALID", "pull.nonce")
    wanted = pull(hh, 2)
    wanted.recipient_key_id = key_id(CITY, "hpke")
    assert await refused(services.release(wanted)) == ("KEY_UNKNOWN", "recipient_key_id")


async def test_a_key_that_cannot_be_sealed_to_is_this_requests_error(services):
    hh, _ = await delivered(services)
    size = services.ledger.sequencer.head.size

    def broken(*_):
        raise RegieError("KEY_UNKNOWN", "no such point")

    services.crypto.seal_release = broken
    assert (await refused(services.release(pull(hh, 2))))[0] == "KEY_UNKNOWN"
    assert services.ledger.sequencer.failure is None
    assert services.ledger.sequencer.head.size == size


async def test_acknowledge_and_outcome(services):
    hh, _ = await delivered(services)
    await acknowledged(services, hh)
    data = decisions.Acknowledgement(
        header_hash=hh, time_ms=NOW, recipient=CITY, recipient_key_id=key_id(CITY, "sign")
    ).SerializeToString()
    request = decisions.AcknowledgeRequest(acknowledgement=data, signature=bytes(64))
    assert (await refused(services.decisions.Acknowledge(request, Context())))[0] == "SIGNATURE_INVALID"

    sealed = (
        hh
        + decisions.OutcomeReport(
            position=0, offer="gesprek", channel=pb.CHANNEL_TELEFOON, when_ms=NOW
        ).SerializeToString()
    )
    report = decisions.ReportOutcomeRequest(
        header_hash=hh,
        sealed=sealed,
        recipient=CITY,
        recipient_key_id=key_id(CITY, "sign"),
        signature=sign(CITY, b"regie/s/outcome/v1", hh, sha256(sealed)),
    )
    first = await services.decisions.ReportOutcome(report, Context())
    assert await services.decisions.ReportOutcome(report, Context()) == first
    event = services.ledger.events()[-1][1].outcome_reported
    assert (event.offer, event.channel, event.deviation) == ("gesprek", pb.CHANNEL_TELEFOON, True)
    report.sealed = hh + decisions.OutcomeReport(position=0).SerializeToString()
    report.signature = sign(CITY, b"regie/s/outcome/v1", hh, sha256(report.sealed))
    assert (await refused(services.decisions.ReportOutcome(report, Context())))[0] == "FIELD_INVALID"
