import asyncio
from dataclasses import replace

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.v1 import events_pb2
from consent_ledger.v1.batch_pb2 import BatchHeader
from gateway.crypto.batch import LABEL_T1, SealedBatch, gateway_message
from gateway.crypto.signatures import sign
from gateway.directory.identity import Context
from tests.support.crypto import NOW, RECIPIENT, SENDER, valid_bsns
from tests.support.exchange import CONTEXT, Town, submit_request

HOUR = 3_600_000
BSNS = valid_bsns(5)


@pytest.fixture
def town(tmp_path):
    town = Town(tmp_path)
    yield town
    town.close()


async def refusal(town, batch, reason):
    with pytest.raises(RegieError) as caught:
        await town.submit(batch)
    assert caught.value.reason == reason
    return caught.value


def decided(town):
    return len([request for request in town.to_ledger.requests if hasattr(request, "sealed_ledger")])


async def test_permitted_signals_wait_and_refused_ones_are_gone(town):
    sealing = town.world.seal(BSNS)
    positions = town.world.admit(sealing.batch).positions
    town.ledger.refused = {positions[1], positions[3]}
    decisions = await town.submit(sealing.batch)
    refused = events_pb2.OUTCOME_GEEN_TOESTEMMING
    assert list(decisions.outcomes) == [1, refused, 1, refused, 1]
    (offer,) = await town.offers()
    assert offer.permitted == 3
    (delivery,) = await town.deliveries(sealing.header_hash)
    assert [item.position for item in delivery.items] == [positions[0], positions[2], positions[4]]
    size, stored = sealing.batch.ciphertext_size, town.files()
    for at in range(5):
        kept = sealing.batch.ciphertexts[size * at : size * at + size] in stored
        assert kept == (positions[at] not in town.ledger.refused)


async def test_what_is_only_for_the_way_is_never_stored(town):
    sealing = town.world.seal(BSNS)
    await town.submit(sealing.batch)
    first, second = town.to_second.requests[0], town.to_ledger.requests[0]
    stored = town.files()
    for secret in (
        sealing.batch.sealed_pseudonyms,
        sealing.batch.sealed_ledger,
        sealing.batch.blinded[:32],
        first.ledger_elements[:32],
        first.recipient_elements[:32],
        second.evaluated[:32],
    ):
        assert secret not in stored


async def test_a_batch_that_is_refused_whole_leaves_no_offer(town):
    sealing = town.world.seal(BSNS)
    town.ledger.refused = set(range(8))
    await town.submit(sealing.batch)
    assert await town.offers() == []


async def test_the_same_bytes_get_the_same_answer_and_no_second_decision(town):
    sealing = town.world.seal(BSNS)
    first = await town.submit(sealing.batch)
    town.restart()
    assert await town.submit(sealing.batch) == first
    assert decided(town) == 0
    assert len(await town.offers(max_batches=16)) == 1


async def test_other_bytes_under_one_id_are_refused_and_alarmed(town):
    one, two = town.world.seal(BSNS), town.world.seal(BSNS[:2], batch_id=bytes(16))
    header = BatchHeader.FromString(one.batch.header)
    await town.submit(one.batch)
    other = town.world.seal(BSNS[:3], batch_id=header.batch_id)
    await refusal(town, other.batch, "BATCH_ID_REUSED")
    await town.submit(two.batch)


@pytest.mark.parametrize("name", sorted(SealedBatch.__dataclass_fields__.keys() - {"header"}))
async def test_every_field_counts_for_identity(town, name):
    batch = town.world.seal(BSNS).batch
    await town.submit(batch)
    value = getattr(batch, name)
    changed = value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]
    await refusal(town, replace(batch, **{name: changed}), "BATCH_ID_REUSED")


async def test_duplicates_in_flight_share_one_piece_of_work(town):
    sealing = town.world.seal(BSNS)
    answers = await asyncio.gather(*(town.submit(sealing.batch) for _ in range(5)))
    assert all(answer == answers[0] for answer in answers)
    assert decided(town) == 1
    other = town.world.seal(BSNS[:1], batch_id=BatchHeader.FromString(sealing.batch.header).batch_id)
    fresh = town.world.seal(BSNS)
    clash = town.world.seal(BSNS[:1], batch_id=BatchHeader.FromString(fresh.batch.header).batch_id)
    results = await asyncio.gather(town.submit(fresh.batch), town.submit(clash.batch), return_exceptions=True)
    assert [getattr(result, "reason", None) for result in results] == [None, "BATCH_ID_REUSED"]
    await refusal(town, other.batch, "BATCH_ID_REUSED")


async def test_work_goes_on_when_the_caller_goes_away(town):
    sealing = town.world.seal(BSNS)
    call = asyncio.create_task(town.submit(sealing.batch))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await town.submitter.finish()
    await town.submit(sealing.batch)
    assert decided(town) == 1


async def test_an_unavailable_ledger_changes_nothing_for_the_retry(tmp_path):
    town = Town(tmp_path, sender_signals_per_day=5)
    sealing = town.world.seal(BSNS)
    town.ledger.down = True
    for _ in range(3):
        await refusal(town, sealing.batch, "LEDGER_UNAVAILABLE")
    assert await town.offers() == []
    town.restart()
    town.ledger.down, town.caller = False, SENDER
    await town.submit(sealing.batch)
    assert len(await town.offers()) == 1
    town.close()


async def test_an_unavailable_second_evaluator(town, monkeypatch):
    sealing = town.world.seal(BSNS)

    async def away(*_):
        raise RegieError("INTERNAL", "down")

    with monkeypatch.context() as patch:
        patch.setattr(town.second, "EvaluateSignals", away)
        await refusal(town, sealing.batch, "EVALUATOR_UNAVAILABLE")
    assert decided(town) == 0
    await town.submit(sealing.batch)


async def test_the_retry_asks_the_ledger_with_identical_bytes(town):
    sealing = town.world.seal(BSNS)
    town.ledger.down = True
    await refusal(town, sealing.batch, "LEDGER_UNAVAILABLE")
    town.ledger.down = False
    await town.submit(sealing.batch)
    one, two = town.to_ledger.requests
    assert one.SerializeToString() == two.SerializeToString()


async def test_decisions_on_another_request_accept_nothing(town):
    town.ledger.forge = True
    sealing = town.world.seal(BSNS)
    await refusal(town, sealing.batch, "LEDGER_UNAVAILABLE")
    assert await town.offers() == []


async def test_decisions_with_another_signature_accept_nothing(town):
    sealing = town.world.seal(BSNS)
    town.world.ledger.sign = lambda *_: bytes(64)
    await refusal(town, sealing.batch, "LEDGER_UNAVAILABLE")
    assert await town.offers() == []


async def test_quota_is_charged_once_and_counts_signals(tmp_path):
    town = Town(tmp_path, sender_signals_per_day=8)
    one = town.world.seal(BSNS)
    await town.submit(one.batch)
    await town.submit(one.batch)
    await refusal(town, town.world.seal(BSNS[:4]).batch, "QUOTA_EXCEEDED")
    town.restart()
    await refusal(town, town.world.seal(BSNS[:4]).batch, "QUOTA_EXCEEDED")
    await town.submit(town.world.seal(BSNS[:3]).batch)
    town.now += 24 * HOUR
    fresh = {"created_ms": town.now, "expires_ms": town.now + HOUR}
    await town.submit(town.world.seal(BSNS, **fresh).batch)
    town.close()


@pytest.mark.parametrize(
    ("created", "expires"),
    [(NOW - 2 * HOUR, NOW), (NOW + 120_000, NOW + HOUR), (NOW, NOW + 72 * HOUR + 1), (NOW + 1, NOW + 1)],
)
async def test_batches_that_are_not_fresh(town, created, expires):
    sealing = town.world.seal(BSNS, created_ms=created, expires_ms=expires)
    await refusal(town, sealing.batch, "NOT_FRESH")
    assert not town.to_second.requests


@pytest.mark.parametrize(
    ("changed", "reason", "field"),
    [
        ({"recipient_epoch": 2}, "FIELD_INVALID", "header.recipient_epoch"),
        ({"ledger_epoch": 2}, "FIELD_INVALID", "header.ledger_epoch"),
        ({"gateway": SENDER}, "FIELD_INVALID", "header.gateway"),
        ({"ledger": RECIPIENT}, "FIELD_INVALID", "header.ledger"),
        ({"pseudonyms": RECIPIENT}, "FIELD_INVALID", "header.pseudonyms"),
        ({"viewer": RECIPIENT}, "FIELD_INVALID", "header.viewer"),
        ({"sender": RECIPIENT}, "PEER_MISMATCH", "header.sender"),
        ({"sender_key_id": bytes(8)}, "KEY_UNKNOWN", ""),
        ({"pseudonyms_key_id": bytes(8)}, "KEY_UNKNOWN", "header.pseudonyms_key_id"),
        ({"suite": "other"}, "FIELD_INVALID", "header.suite"),
        ({"count": 4}, "FIELD_INVALID", "blinded"),
    ],
)
async def test_headers_that_are_refused(town, changed, reason, field):
    error = await refusal(town, town.world.seal(BSNS, **changed).batch, reason)
    assert error.field == field
    assert decided(town) == 0


async def test_bad_elements_leave_one_error(town):
    texts = set()
    for bad in (bytes(32), b"\xff" * 32, None):
        sealing = town.world.seal(BSNS)
        blinded = sealing.batch.blinded
        batch = replace(sealing.batch, blinded=(bad or blinded[32:64]) + blinded[32:])
        key = town.world.sign[SENDER]
        signature = sign(key, LABEL_T1, *gateway_message(sealing.header_hash, batch))
        error = await refusal(town, replace(batch, signature_gateway=signature), "ELEMENT_INVALID")
        texts.add(str(error))
    assert len(texts) == 1
    assert not town.to_second.requests


async def test_too_many_batches_at_once(tmp_path):
    town = Town(tmp_path, batches_in_flight=2)
    batches = [town.world.seal(BSNS).batch for _ in range(4)]
    results = await asyncio.gather(*map(town.submit, batches), return_exceptions=True)
    assert [getattr(result, "reason", None) for result in results].count("OVERLOADED") == 2
    town.close()


async def test_batches_overlap(town):
    """Two batches are at the second evaluator at the same time."""
    together, at_second = asyncio.Event(), []
    inner = town.second.EvaluateSignals

    async def meet(request, context: Context):
        at_second.append(request)
        if len(at_second) == 2:
            together.set()
        await asyncio.wait_for(together.wait(), 5)
        return await inner(request, context)

    town.to_second.servicer = type("Meeting", (), {"EvaluateSignals": staticmethod(meet)})
    await asyncio.gather(*(town.submit(town.world.seal(BSNS).batch) for _ in range(2)))


async def test_requests_map_field_by_field(town):
    batch = town.world.seal(BSNS).batch
    answer = await town.exchange.SubmitBatch(submit_request(batch), CONTEXT)
    assert answer.ledger_signature == town.ledger.answers[town.world.ledger.header_hash(batch.header)].signature
