from dataclasses import replace

import pytest

from consent_ledger.errors import RegieError
from gateway.crypto import signatures
from gateway.crypto.batch import LABEL_T2
from gateway.v1 import evaluator_pb2 as pb
from tests.support.crypto import NOW, RECIPIENT, SENDER, valid_bsns
from tests.support.exchange import CONTEXT, Town

BSNS = valid_bsns(3)
HOUR = 3_600_000


@pytest.fixture
def town(tmp_path):
    town = Town(tmp_path)
    yield town
    town.close()


def request_of(town, sealing, first=None):
    batch = sealing.batch
    ledger, recipient = first or town.world.evaluate_first(town.world.admit(batch))
    return pb.EvaluateSignalsRequest(
        header=batch.header,
        sealed_pseudonyms=batch.sealed_pseudonyms,
        signature=batch.signature_pseudonyms,
        ledger_elements=ledger,
        recipient_elements=recipient,
    )


async def ask(town, request):
    return await town.second.EvaluateSignals(request, CONTEXT)


async def reason(town, request):
    with pytest.raises(RegieError) as caught:
        await ask(town, request)
    return caught.value.reason


async def test_blinding_comes_off_and_the_second_factor_goes_on(town):
    sealing = town.world.seal(BSNS)
    first = town.world.evaluate_first(town.world.admit(sealing.batch))
    answer = await ask(town, request_of(town, sealing, first))
    assert (answer.ledger_elements, answer.recipient_elements) == town.world.evaluate_second(sealing.batch, first)


async def test_same_bytes_same_answer_other_bytes_refused_also_after_a_restart(town):
    sealing = town.world.seal(BSNS)
    request = request_of(town, sealing)
    answer = await ask(town, request)
    town.restart()
    assert await ask(town, request) == answer
    scaled = request_of(town, sealing, (request.recipient_elements, request.ledger_elements))
    assert await reason(town, scaled) == "BATCH_ID_REUSED"


async def test_the_id_is_claimed_before_anything_is_answered(town):
    """Elements that do not decode use the id up: T1 cannot try others under it."""
    sealing = town.world.seal(BSNS)
    request = request_of(town, sealing)
    bad = request_of(town, sealing, (bytes(96), request.recipient_elements))
    assert await reason(town, bad) == "ELEMENT_INVALID"
    assert await reason(town, request) == "BATCH_ID_REUSED"


async def test_one_id_of_two_senders_is_two_batches(town):
    sealing = town.world.seal(BSNS, batch_id=b"i" * 16)
    await ask(town, request_of(town, sealing))
    town.world.sign[SENDER], town.directory.by_oin[RECIPIENT] = (
        town.world.sign[RECIPIENT],
        town.directory.by_oin[RECIPIENT],
    )
    keys = town.directory.participant(RECIPIENT).keys
    town.world.sender_keys = replace(town.world.sender_keys, signing=town.world.sign[RECIPIENT])
    other = town.world.seal(BSNS, batch_id=b"i" * 16, sender=RECIPIENT, sender_key_id=keys[0].key_id)
    first = request_of(town, sealing)
    again = request_of(town, other, (first.ledger_elements, first.recipient_elements))
    assert len((await ask(town, again)).ledger_elements) == 96


async def test_quota(tmp_path):
    town = Town(tmp_path, sender_signals_per_day=4)
    request = request_of(town, town.world.seal(BSNS))
    await ask(town, request)
    await ask(town, request)
    town.restart()
    assert await reason(town, request_of(town, town.world.seal(BSNS))) == "QUOTA_EXCEEDED"
    town.close()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"gateway": RECIPIENT}, "PEER_MISMATCH"),
        ({"pseudonyms": RECIPIENT}, "FIELD_INVALID"),
        ({"pseudonyms_key_id": bytes(8)}, "KEY_UNKNOWN"),
        ({"sender_key_id": bytes(8)}, "KEY_UNKNOWN"),
        ({"sender": "00000099000000009999"}, "PARTY_UNKNOWN"),
        ({"recipient_epoch": 3}, "FIELD_INVALID"),
        ({"expires_ms": NOW}, "NOT_FRESH"),
        ({"created_ms": NOW + HOUR, "expires_ms": NOW + 2 * HOUR}, "NOT_FRESH"),
        ({"created_ms": NOW - 72 * HOUR, "expires_ms": NOW + 1}, "NOT_FRESH"),
    ],
)
async def test_batches_that_are_refused(town, changed, expected):
    assert await reason(town, request_of(town, town.world.seal(BSNS, **changed))) == expected


async def test_a_suspended_sender(town):
    town.directory.change(SENDER, suspended=True)
    assert await reason(town, request_of(town, town.world.seal(BSNS))) == "PARTY_UNKNOWN"


async def test_signature_binds_header_and_box(town):
    one, two = town.world.seal(BSNS), town.world.seal(BSNS)
    request = request_of(town, one)
    request.sealed_pseudonyms = two.batch.sealed_pseudonyms
    assert await reason(town, request) == "SIGNATURE_INVALID"
    forged = request_of(town, one)
    forged.signature = signatures.sign(town.world.sign[RECIPIENT], LABEL_T2, bytes(32), bytes(32))
    assert await reason(town, forged) == "SIGNATURE_INVALID"
    assert (await ask(town, request_of(town, one))).ledger_elements
