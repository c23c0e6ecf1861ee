import asyncio

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.hashing import sha256
from consent_ledger.v1 import decisions_pb2
from gateway.crypto import tree
from gateway.exchange import delivery, inbox
from gateway.v1 import exchange_pb2 as pb
from tests.support.crypto import RECIPIENT, SENDER, valid_bsns
from tests.support.exchange import CONTEXT, Town

BSNS = valid_bsns(4)
HOUR = 3_600_000


@pytest.fixture
def town(tmp_path):
    town = Town(tmp_path, lease_seconds=60)
    yield town
    town.close()


async def send(town, **changed):
    town.caller = SENDER
    sealing = town.world.seal(BSNS, **changed)
    await town.submit(sealing.batch)
    return sealing


async def reason(awaitable):
    with pytest.raises(RegieError) as caught:
        await awaitable
    return caught.value.reason


async def test_an_offer_is_leased_and_offered_again_after_its_lease(town):
    await send(town)
    (offer,) = await town.offers()
    assert offer.leased_until_ms == town.now + 60_000
    assert await town.offers() == []
    town.now += 59_999
    assert await town.offers() == []
    town.now += 1
    assert len(await town.offers()) == 1


async def test_leases_survive_a_restart(town):
    await send(town)
    await town.offers()
    town.restart()
    assert await town.offers() == []


async def test_offers_come_oldest_first_and_only_as_many_as_asked(town):
    sealings = [await send(town) for _ in range(3)]
    first = await town.offers(max_batches=2)
    assert [offer.header for offer in first] == [sealing.batch.header for sealing in sealings[:2]]
    assert [offer.header for offer in await town.offers(max_batches=2)] == [sealings[2].batch.header]


async def test_expired_batches_are_not_offered_and_swept(town):
    sealing = await send(town)
    town.now += HOUR
    assert await town.offers() == []
    assert await reason(town.deliveries(sealing.header_hash)) == "BATCH_UNKNOWN"
    assert await town.gateway_db.run(lambda connection: inbox.sweep(connection, town.now)) == 1
    await town.gateway_db.scrub()
    assert sealing.batch.ciphertexts[:64] not in town.files()


async def test_a_waiting_pull_wakes_for_a_new_batch(town):
    town.caller = RECIPIENT
    waiting = asyncio.create_task(town.offers(wait_seconds=30))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    sealing = await send(town)
    offers = await asyncio.wait_for(waiting, 5)
    assert [offer.header for offer in offers] == [sealing.batch.header]


async def test_a_waiting_pull_ends_when_the_gateway_stops(town):
    waiting = asyncio.create_task(town.offers(wait_seconds=30))
    await asyncio.sleep(0.05)
    town.doorbell.stop()
    assert await asyncio.wait_for(waiting, 5) == []


async def test_a_waiting_pull_gets_what_another_one_let_go(town):
    await send(town)
    await town.offers()
    waiting = asyncio.create_task(town.offers(wait_seconds=30))
    await asyncio.sleep(0.05)
    town.now += 60_000
    town.doorbell.ring(RECIPIENT)
    assert len(await asyncio.wait_for(waiting, 5)) == 1


async def test_a_delivery_holds_what_the_recipient_verifies(town):
    sealing = await send(town)
    (got,) = await town.deliveries(sealing.header_hash)
    batch = sealing.batch
    assert (got.header, got.sealed_recipient, got.root) == (batch.header, batch.sealed_recipient, sealing.root)
    assert got.sealed_viewer_hash == sha256(batch.sealed_viewer)
    assert got.signature_recipient == batch.signature_recipient
    for item in got.items:
        leaf = tree.leaf(item.position, item.commitment, item.ciphertext)
        tree.PathVerifier(got.root, len(BSNS)).verify(item.position, leaf, item.path)
        assert len(item.evaluated) == 32


async def test_no_ciphertext_leaves_without_the_ledgers_release(town):
    sealing = await send(town)
    town.ledger.down = True
    assert await reason(town.deliveries(sealing.header_hash)) == "LEDGER_UNAVAILABLE"
    assert town.ledger.released == []
    town.ledger.down = False
    await town.deliveries(sealing.header_hash)
    assert town.ledger.released == [sealing.header_hash]


async def test_only_its_recipient_pulls_a_batch(town):
    sealing = await send(town)
    assert await reason(town.deliveries(sealing.header_hash, recipient=SENDER)) == "PEER_MISMATCH"
    town.caller = SENDER
    pull = pb.PullRequest(pulls=[town.signed_pull(sealing.header_hash, recipient=SENDER)])
    assert await reason(town.exchange.Pull(pull, CONTEXT)) == "BATCH_UNKNOWN"
    assert town.ledger.released == []


async def test_batches_that_do_not_fit_one_message_are_left_for_the_next_pull(town, monkeypatch):
    sealings = [await send(town) for _ in range(3)]
    kept = await town.gateway_db.run(
        lambda connection: inbox.read(connection, RECIPIENT, sealings[0].header_hash, town.now)
    )
    monkeypatch.setattr(delivery, "LARGEST_ANSWER", 2 * kept.delivered_size)
    got = await town.deliveries(*(sealing.header_hash for sealing in sealings))
    assert len(got) == 2
    assert len(town.ledger.released) == 2
    assert sum(one.ByteSize() for one in got) < 2 * kept.delivered_size
    assert len(await town.deliveries(sealings[2].header_hash)) == 1


async def test_one_refused_pull_does_not_hold_up_the_others(town):
    sealing = await send(town)
    (got,) = await town.deliveries(bytes(32), sealing.header_hash)
    assert got.header == sealing.batch.header
    assert await reason(town.deliveries(bytes(32), bytes(range(32)))) == "BATCH_UNKNOWN"


async def test_acknowledged_batches_are_not_offered_again_but_kept_for_the_resident(town):
    sealing = await send(town)
    (got,) = await town.deliveries(sealing.header_hash)
    await town.acknowledge(sealing.header_hash)
    town.now += 60_000
    assert await town.offers() == []
    assert await reason(town.deliveries(sealing.header_hash)) == "BATCH_UNKNOWN"
    stored = town.files()
    assert got.items[0].ciphertext in stored
    assert sealing.batch.sealed_viewer in stored
    await town.acknowledge(sealing.header_hash)
    assert len(town.ledger.acknowledged) == 1
    town.now += 30 * 24 * HOUR
    assert await town.gateway_db.run(lambda connection: inbox.sweep(connection, town.now)) == 1


async def test_an_acknowledgement_counts_only_once_the_ledger_has_it(town):
    sealing = await send(town)
    await town.deliveries(sealing.header_hash)
    town.ledger.down = True
    assert await reason(town.acknowledge(sealing.header_hash)) == "LEDGER_UNAVAILABLE"
    town.ledger.down = False
    town.now += 60_000
    assert len(await town.offers()) == 1


async def test_acknowledgements_of_others_are_refused(town):
    sealing = await send(town)
    assert await reason(town.acknowledge(sealing.header_hash, recipient=SENDER)) == "PEER_MISMATCH"
    assert await reason(town.acknowledge(bytes(32))) == "BATCH_UNKNOWN"


async def test_outcomes_are_relayed_for_the_caller_only(town):
    town.caller = RECIPIENT
    report = decisions_pb2.ReportOutcomeRequest(
        header_hash=bytes(32), sealed=b"x", recipient=RECIPIENT, recipient_key_id=bytes(8), signature=bytes(64)
    )
    assert (await town.exchange.ReportOutcome(pb.ReportOutcomeRequest(report=report), CONTEXT)).log_index == 42
    report.recipient = SENDER
    assert await reason(town.exchange.ReportOutcome(pb.ReportOutcomeRequest(report=report), CONTEXT)) == "PEER_MISMATCH"
