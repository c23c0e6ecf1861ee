"""The ledger's service for erasure: who may call, what is shown before, and what is signed after."""

import pytest

from consent_ledger.hashing import sha256
from consent_ledger.v1 import consents_pb2 as consents
from consent_ledger.v1 import events_pb2 as pb
from tests.support.erasure import announced, erase_request
from tests.support.ledger import ARREARS, GATEWAY, INCOME, NOW, VIEWER, change, element, grant, header
from tests.support.ledger_crypto import FakeCrypto
from tests.support.ledger_services import Context, Services, refused, request_for, sign_key


@pytest.fixture
def services(tmp_path):
    made = Services(tmp_path / "ledger.db")
    yield made
    made.pool.shutdown()
    made.ledger.close()


async def preview(services, *purposes):
    services.caller = VIEWER
    rows = [consents.Rows(purpose=purpose, elements=[element("anna")]) for purpose in purposes or (ARREARS,)]
    return await services.consents.PreviewErasure(consents.PreviewErasureRequest(rows=rows), Context())


async def erase(services, request):
    services.caller = VIEWER
    return await services.consents.Erase(request, Context())


async def test_what_is_shown_before_is_what_goes(services):
    shared = change(8, "anna", NOW - 1, pause=consents.Pause())
    shared.rows.append(consents.Rows(purpose=INCOME, elements=[element("anna")]))
    await services.record(
        shared, change(9, "anna", NOW, resume=consents.Resume()), change(10, "anna", NOW + 1, grant=grant())
    )
    await services.decide(request_for(["anna", "bert"], header(count=2)))
    shown = await preview(services)
    assert [entry.kind for entry in shown.entries] == ["sharing_resumed", "consent_granted", "exchange_decided"]
    assert [entry.kind for entry in shown.kept] == ["sharing_paused"]
    assert {entry.time_ms for entry in shown.entries} == {NOW}
    assert shown.waiting == 1
    size = services.ledger.sequencer.head.size
    assert await preview(services) == shown
    assert services.ledger.sequencer.head.size == size

    request = erase_request("anna", NOW + 9)
    answer = await erase(services, request)
    FakeCrypto().verify(sign_key(), b"regie/s/erase/v1", answer.signature, sha256(answer.receipt))
    receipt = consents.EraseReceipt.FromString(answer.receipt)
    assert receipt.request_hash == sha256(b"regie/erase/v1", request.SerializeToString(deterministic=True))
    assert (receipt.erased.entries, receipt.erased.kept) == (3, 1)
    assert receipt.checkpoint == services.ledger.sequencer.head.checkpoint
    left = {index for index, _, _ in services.ledger.events()}
    assert left.isdisjoint(entry.log_index for entry in shown.entries)
    assert left.issuperset(entry.log_index for entry in shown.kept)
    assert announced(services.ledger) == []  # one person is no crowd
    gone = await preview(services)
    assert ([entry.kind for entry in gone.entries], gone.waiting) == ([], 0)


async def test_the_record_shows_nothing_of_what_was_erased(services):
    await services.record(change(10, "anna", NOW + 1, grant=grant(), purpose=ARREARS))
    await services.decide(request_for(["anna"]))
    assert (await services.show()).exchanges
    await erase(services, erase_request("anna", NOW + 9))
    assert await services.show() == consents.GetRecordResponse()


async def test_only_the_portal_may_ask(services):
    services.caller = GATEWAY
    request = consents.PreviewErasureRequest(rows=[consents.Rows(purpose=ARREARS, elements=[element("anna")])])
    for call in (
        services.consents.PreviewErasure(request, Context()),
        services.consents.Erase(erase_request("anna", NOW), Context()),
    ):
        assert (await refused(call))[0] == "PEER_KIND_NOT_SERVED"


async def test_an_element_that_is_none_is_refused(services):
    request = erase_request("anna", NOW + 9)
    request.rows[0].elements[0] = bytes(32)
    assert (await refused(erase(services, request)))[0] == "ELEMENT_INVALID"


async def test_a_receipt_of_a_delivery_that_was_erased_is_not_given_again(services):
    """The recipient has its own copy; the ledger has none to give."""
    await services.record(change(10, "anna", NOW, grant=grant()))
    request = request_for(["anna"])
    await services.decide(request)
    await erase(services, erase_request("anna", NOW + 9))
    events = [event for _, event, _ in services.ledger.events()]
    assert [event.WhichOneof("body") for event in events] == ["record_erased"]
    assert events[0].record_erased.ground == pb.ERASURE_GROUND_RESIDENT_REQUEST
    assert events[0].record_erased.capture.via == pb.CAPTURED_VIA_WEB
