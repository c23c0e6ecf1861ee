import random
from dataclasses import replace

import pytest

from consent_ledger.clock import DAY_MS
from consent_ledger.errors import RegieError
from gateway.crypto import group, oprf, rows, signatures
from gateway.crypto.identifiers import Bsn
from gateway.evaluator import messages
from gateway.evaluator.keys import EvaluatorKeys
from gateway.v1 import evaluator_pb2 as pb
from tests.support.crypto import GATEWAY, LEDGER, NOW, PSEUDONYMS, PURPOSE, RECIPIENT, SENDER, VIEWER, valid_bsns
from tests.support.exchange import CONTEXT, Town

SUITE = "regie-ristretto255-sha512-mlkem768x25519/1"
BSNS = valid_bsns(6)
MINUTE = 60_000


@pytest.fixture
def town(tmp_path):
    town = Town(tmp_path)
    town.caller = RECIPIENT
    yield town
    town.close()


def asked(town, blinded, caller=RECIPIENT, **changed):
    fields = {
        "version": 1,
        "suite": SUITE,
        "request_id": random.randbytes(16),
        "caller": caller,
        "caller_key_id": town.directory.participant(caller).key("sign").key_id,
        "role": pb.ROLE_RECIPIENT,
        "target": caller,
        "purpose": PURPOSE,
        "epoch": 1,
        "created_ms": town.now,
    }
    request = pb.RowRequest(**(fields | changed)).SerializeToString()
    signature = rows.sign_request(town.world.sign[caller], request, blinded.elements)
    return pb.EvaluateRowsRequest(request=request, blinded=blinded.elements, signature=signature)


def blinded(count=6):
    return rows.blind([Bsn(number).message() for number in BSNS[:count]], random.randbytes)


async def ask(town, request):
    return await town.first.EvaluateRows(request, CONTEXT)


async def reason(awaitable):
    with pytest.raises(RegieError) as caught:
        await awaitable
    return caught.value.reason


def portal(town, batch, **changed):
    town.caller = VIEWER
    return asked(town, batch, VIEWER, **({"role": pb.ROLE_LEDGER, "target": LEDGER} | changed))


@pytest.mark.parametrize("role", ["recipient", "ledger"])
async def test_a_row_owner_gets_both_factors_with_proofs(town, role):
    batch = blinded()
    target = RECIPIENT if role == "recipient" else LEDGER
    request = asked(town, batch) if role == "recipient" else portal(town, batch)
    answer = await ask(town, request)
    first, second = messages.from_evaluation(answer.first), messages.from_evaluation(answer.second)
    domain = oprf.Domain(role, target, PURPOSE, 1)
    rows.verify_domain_key(town.world.public[GATEWAY], domain, first.key)
    rows.verify_domain_key(town.world.public[PSEUDONYMS], domain, second.key)
    factors = [oprf.derive_factor(master, domain) for master in (town.world.master1, town.world.master2)]
    scalar = factors[0] * factors[1] % group.ORDER
    assert rows.unblind(batch, first, second) == [group.multiply(scalar, Bsn(number).to_point()) for number in BSNS]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"target": LEDGER}, "DOMAIN_NOT_OWN"),
        ({"target": SENDER}, "DOMAIN_NOT_OWN"),
        ({"role": pb.ROLE_LEDGER, "target": LEDGER}, "DOMAIN_NOT_OWN"),
        ({"role": pb.ROLE_LEDGER}, "DOMAIN_NOT_OWN"),
        ({"purpose": "onbekend"}, "PURPOSE_UNKNOWN"),
        ({"purpose": "handhaving"}, "PURPOSE_PROHIBITED"),
        ({"epoch": 2}, "FIELD_INVALID"),
        ({"created_ms": NOW - 15 * MINUTE}, "NOT_FRESH"),
        ({"created_ms": NOW + 2 * MINUTE}, "NOT_FRESH"),
        ({"caller_key_id": bytes(8)}, "KEY_UNKNOWN"),
        ({"caller": SENDER}, "PEER_MISMATCH"),
        ({"suite": "other"}, "FIELD_INVALID"),
        ({"role": 0}, "FIELD_INVALID"),
    ],
)
async def test_rows_of_others_are_refused_by_both_evaluators(town, changed, expected):
    request = asked(town, blinded(1), **changed)
    assert await reason(ask(town, request)) == expected
    assert not town.to_second.requests
    if expected != "PEER_MISMATCH":  # T2 hears only the gateway, so it does not know who called it
        assert await reason(second_alone(town, request)) == expected


async def second_alone(town, request):
    """A gateway that checks nothing: it evaluates whatever it is asked, with a proof, and passes it on."""
    asked_ = pb.RowRequest.FromString(request.request)
    role = "ledger" if asked_.role == pb.ROLE_LEDGER else "recipient"
    domain = oprf.Domain(role, asked_.target, asked_.purpose, asked_.epoch)
    factor = oprf.derive_factor(town.world.master1, domain)
    key = rows.domain_key(town.world.sign[GATEWAY], domain, factor)
    first = rows.evaluate(factor, key, request.blinded, random.randbytes)
    return await town.second.EvaluateRows(with_first(request, first), CONTEXT)


def with_first(request, first):
    onward = pb.EvaluateRowsRequest()
    onward.CopyFrom(request)
    onward.first.CopyFrom(messages.to_evaluation(first))
    return onward


async def test_agencies_of_other_kinds_have_no_rows(town):
    town.caller = SENDER
    assert await reason(ask(town, asked(town, blinded(1), SENDER))) == "DOMAIN_NOT_OWN"
    assert await reason(second_alone(town, asked(town, blinded(1), SENDER))) == "DOMAIN_NOT_OWN"


async def test_only_the_portal_asks_in_the_ledgers_domains_and_only_there(town):
    assert await reason(ask(town, portal(town, blinded(1), target=RECIPIENT))) == "DOMAIN_NOT_OWN"
    assert await reason(ask(town, portal(town, blinded(1), role=pb.ROLE_RECIPIENT))) == "DOMAIN_NOT_OWN"


async def test_a_request_under_another_signature_is_refused_by_both(town):
    request = asked(town, blinded(2))
    request.blinded = blinded(2).elements
    assert await reason(ask(town, request)) == "SIGNATURE_INVALID"
    assert await reason(second_alone(town, request)) == "SIGNATURE_INVALID"


async def test_second_evaluator_holds_the_gateway_to_its_proof(town):
    request = asked(town, blinded(2))
    domain = oprf.Domain("recipient", RECIPIENT, PURPOSE, 1)
    factor = oprf.derive_factor(town.world.master1, domain)
    key = rows.domain_key(town.world.sign[GATEWAY], domain, factor)
    good = rows.evaluate(factor, key, request.blinded, random.randbytes)
    other = rows.evaluate(factor + 1, key, request.blinded, random.randbytes)
    swapped = replace(good, elements=good.elements[32:] + good.elements[:32])
    unsigned = replace(good, key=replace(key, signature=bytes(64)))
    for first, expected in (
        (other, "PROOF_INVALID"),
        (swapped, "PROOF_INVALID"),
        (unsigned, "SIGNATURE_INVALID"),
        (replace(good, elements=good.elements[:32]), "ELEMENT_INVALID"),
    ):
        assert await reason(town.second.EvaluateRows(with_first(request, first), CONTEXT)) == expected
    assert await reason(town.second.EvaluateRows(request, CONTEXT)) == "FIELD_INVALID"
    await town.second.EvaluateRows(with_first(request, good), CONTEXT)


async def test_a_changed_public_value_is_refused_also_after_a_restart(town):
    await ask(town, asked(town, blinded(1)))
    town.world.master1 = bytes(32)
    town.restart()
    assert await reason(ask(town, asked(town, blinded(1)))) == "PROOF_INVALID"


async def test_a_few_rows_a_day_are_free_of_the_quota(tmp_path):
    """For canaries: looking one up every day must never use up what is needed to enrol people."""
    town = Town(tmp_path, schemes_per_person=1, recipient_rows_percent=100, recipient_rows_per_day=2)
    town.directory.change(RECIPIENT, population=3)
    town.caller = RECIPIENT
    for count in (2, 3):  # the day's, then all of the quota
        await ask(town, asked(town, blinded(count)))
    assert await reason(ask(town, asked(town, blinded(1)))) == "QUOTA_EXCEEDED"
    for _ in range(3):
        town.now += DAY_MS
        await ask(town, asked(town, blinded(1)))
        assert await reason(ask(town, asked(town, blinded(2)))) == "QUOTA_EXCEEDED"
        await ask(town, asked(town, blinded(1)))
        assert await reason(second_alone(town, asked(town, blinded(1)))) == "QUOTA_EXCEEDED"
    town.close()


async def test_quota_of_a_recipient_is_cumulative_durable_and_at_both(tmp_path):
    town = Town(tmp_path, schemes_per_person=1, recipient_rows_percent=100, recipient_rows_per_day=0)
    town.directory.change(RECIPIENT, population=8)
    town.caller = RECIPIENT
    await ask(town, asked(town, blinded(6)))
    town.restart()
    town.now += 24 * 60 * MINUTE
    assert await reason(ask(town, asked(town, blinded(3)))) == "QUOTA_EXCEEDED"
    assert await reason(second_alone(town, asked(town, blinded(3)))) == "QUOTA_EXCEEDED"
    await ask(town, asked(town, blinded(2)))
    town.close()


async def test_portal_quota_is_per_day(tmp_path):
    town = Town(tmp_path, portal_rows_per_day=6)
    await ask(town, portal(town, blinded(6)))
    assert await reason(ask(town, portal(town, blinded(1)))) == "QUOTA_EXCEEDED"
    town.now += 24 * 60 * MINUTE
    await ask(town, portal(town, blinded(1)))
    town.close()


async def test_a_retry_is_not_charged_and_an_id_counts_once(tmp_path):
    town = Town(tmp_path, portal_rows_per_day=6)
    request = portal(town, blinded(6))
    first, again = await ask(town, request), await ask(town, request)
    assert again.second.elements == first.second.elements
    request_id = pb.RowRequest.FromString(request.request).request_id
    assert await reason(ask(town, portal(town, blinded(1), request_id=request_id))) == "BATCH_ID_REUSED"
    town.close()


@pytest.mark.parametrize("bad", [bytes(32), b"\xff" * 32, b"\x01" * 31])
async def test_bad_elements(town, bad):
    batch = rows.BlindedRows(bad, (1,))
    assert await reason(ask(town, asked(town, batch))) in {"ELEMENT_INVALID", "FIELD_INVALID"}
    assert not town.to_second.requests


async def test_callers_do_not_bring_a_first_evaluation(town):
    request = asked(town, blinded(1))
    request.first.elements = bytes(32)
    assert await reason(ask(town, request)) == "FIELD_INVALID"


async def test_the_gateway_does_not_serve_evaluation_of_signals(town):
    assert await reason(town.first.EvaluateSignals(pb.EvaluateSignalsRequest(), CONTEXT)) == "PEER_KIND_NOT_SERVED"


def test_public_keys_of_one_domain_are_signed_once():
    keys = EvaluatorKeys(GATEWAY, bytes(32), signatures.signing_key(bytes(32)))
    domain = oprf.Domain("recipient", RECIPIENT, PURPOSE, 1)
    assert keys.proven(domain) is keys.proven(domain)
    assert repr(keys).count("00" * 8) == 0
