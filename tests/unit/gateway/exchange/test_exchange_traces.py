"""What the gateway does about traces: each batch stays in its own, whoever asks for how many at once."""

import pytest

from consent_ledger.hashing import header_hash
from consent_ledger.v1 import events_pb2
from consent_ledger.v1.batch_pb2 import BatchHeader
from gateway.telemetry import traces
from tests.support.crypto import SENDER, valid_bsns
from tests.support.exchange import Town

BSNS = valid_bsns(3)
ONE, TWO, PULL = "1" * 32, "2" * 32, "3" * 32
SUBMIT, PULLING = "/gateway.v1.ExchangeService/SubmitBatch", "/gateway.v1.ExchangeService/Pull"


@pytest.fixture
def town(tmp_path):
    town = Town(tmp_path, lease_seconds=60)
    yield town
    town.close()


def called(method, trace_id=None):
    """Inside a call that arrives as part of a trace."""
    metadata = [("traceparent", f"00-{trace_id}-{'4' * 16}-01")] if trace_id else []
    return traces.Tracing(traces.make_provider()).call(method, metadata)


async def submit(town, trace_id):
    town.caller = SENDER
    sealing = town.world.seal(BSNS)
    with called(SUBMIT, trace_id):
        await town.submit(sealing.batch)
    return sealing


async def test_offers_and_releases_belong_to_the_trace_of_the_submission(town):
    sealings = [await submit(town, trace_id) for trace_id in (ONE, TWO)]
    assert town.to_second.traces == [ONE, TWO]
    town.restart()  # what waits is on the disk, and so is its trace
    offers = await town.offers(max_batches=2)
    assert [offer.traceparent.split("-")[1] for offer in offers] == [ONE, TWO]
    hashes = [header_hash(sealing.batch.header) for sealing in sealings]
    with called(PULLING, PULL):
        await town.deliveries(*hashes)
    assert sorted(town.to_ledger.traces) == [ONE, TWO]
    # An acknowledgement goes where its caller says: the recipient knows the trace by then.
    with called("/gateway.v1.ExchangeService/Acknowledge", PULL):
        await town.acknowledge(hashes[0])
    assert town.to_ledger.traces[-1] == PULL


async def test_a_pull_without_a_trace_is_released_within_the_one_of_the_submission(town):
    sealing = await submit(town, ONE)
    with called(PULLING):
        await town.deliveries(header_hash(sealing.batch.header))
    assert town.to_ledger.traces == [ONE, ONE]


async def test_a_batch_without_a_trace_is_delivered_all_the_same(town):
    town.caller = SENDER
    sealing = town.world.seal(BSNS)
    await town.submit(sealing.batch)
    (offer,) = await town.offers()
    assert offer.traceparent == ""
    assert len(await town.deliveries(header_hash(sealing.batch.header))) == 1
    assert set(town.to_ledger.traces) == {""}


async def test_answers_are_counted_once_however_often_they_are_given(town):
    counted = []
    town.submitter._counted = lambda header, outcomes: counted.append((header.purpose, dict(outcomes)))
    town.ledger.refused = {0}
    town.caller = SENDER
    sealing = town.world.seal(BSNS)
    for _ in range(2):
        await town.submit(sealing.batch)
    town.restart()
    await town.submit(sealing.batch)
    ((purpose, outcomes),) = counted
    assert purpose == BatchHeader.FromString(sealing.batch.header).purpose
    assert sum(outcomes.values()) == 3
    assert set(outcomes) <= {events_pb2.OUTCOME_ACCEPTED, events_pb2.OUTCOME_GEEN_TOESTEMMING}
