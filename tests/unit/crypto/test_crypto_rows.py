"""Rows: blind, evaluate twice with proofs, unblind."""

from dataclasses import replace

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.hashing import sha256
from gateway.crypto import group, oprf, rows, signatures
from gateway.crypto.identifiers import Bsn
from tests.support.crypto import GATEWAY, PSEUDONYMS, RECIPIENT, World, valid_bsns

WORLD = World()
RNG = WORLD.rng.randbytes
NUMBERS = valid_bsns(5)
MESSAGES = [Bsn(number).message() for number in NUMBERS]
DOMAIN = WORLD.domain_recipient
FACTOR_1, FACTOR_2 = WORLD.factors(WORLD.master1)[1], WORLD.factors(WORLD.master2)[1]
KEY_1 = rows.domain_key(WORLD.sign[GATEWAY], DOMAIN, FACTOR_1)
KEY_2 = rows.domain_key(WORLD.sign[PSEUDONYMS], DOMAIN, FACTOR_2)
BLINDED = rows.blind(MESSAGES, RNG)
FIRST = rows.evaluate(FACTOR_1, KEY_1, BLINDED.elements, RNG)
SECOND = rows.evaluate(FACTOR_2, KEY_2, FIRST.elements, RNG)


def test_rows_resolve_what_signals_carry():
    elements = rows.unblind(BLINDED, FIRST, SECOND)
    factor = FACTOR_1 * FACTOR_2 % group.ORDER
    assert elements == [group.multiply(factor, oprf.hash_identifier(message)) for message in MESSAGES]
    indices = rows.close(WORLD.closing_recipient, DOMAIN, elements)
    assert indices == [WORLD.recipient_row(number) for number in NUMBERS]
    closed = rows.unblind(BLINDED, FIRST, SECOND, closing_scalar=WORLD.closing_recipient)
    assert oprf.stored_indices(DOMAIN, closed) == indices
    received = WORLD.receive(WORLD.run(NUMBERS[:2])).signals
    assert {signal.index for signal in received} == set(indices[:2])


def test_blinding_is_fresh():
    again = rows.blind(MESSAGES, RNG)
    assert not set(again.inverses) & set(BLINDED.inverses)
    assert again.elements != BLINDED.elements


def test_the_callers_signature():
    signature = rows.sign_request(WORLD.sign[RECIPIENT], b"request", BLINDED.elements)
    public = WORLD.public[RECIPIENT]
    rows.verify_request(public, b"request", BLINDED.elements, signature)
    WORLD.sign[RECIPIENT].public_key().verify(
        signature, b"regie/s/rows/v1" + sha256(b"request") + sha256(BLINDED.elements)
    )
    for signer, request, blinded in (
        (WORLD.public[GATEWAY], b"request", BLINDED.elements),
        (public, b"requesT", BLINDED.elements),
        (public, b"request", BLINDED.elements[:-32]),
    ):
        with pytest.raises(RegieError, match="regie/s/rows/v1"):
            rows.verify_request(signer, request, blinded, signature)


def test_domain_keys():
    public = WORLD.public[GATEWAY]
    assert KEY_1.public_key == group.multiply_base(FACTOR_1)
    message = b"regie/s/domain/v1" + sha256(DOMAIN.encode()) + KEY_1.public_key
    WORLD.sign[GATEWAY].public_key().verify(KEY_1.signature, message)
    rows.verify_domain_key(public, DOMAIN, KEY_1)
    rows.verify_domain_key(public, DOMAIN, KEY_1, pinned=KEY_1.public_key)


def test_an_evaluator_is_held_to_its_key():
    public = WORLD.public[GATEWAY]
    changed = rows.domain_key(WORLD.sign[GATEWAY], DOMAIN, FACTOR_1 + 1)
    with pytest.raises(RegieError, match=r"PROOF_INVALID.*seen before"):
        rows.verify_domain_key(public, DOMAIN, changed, pinned=KEY_1.public_key)
    with pytest.raises(RegieError, match=r"PROOF_INVALID.*domain"):
        rows.verify_domain_key(public, WORLD.domain_ledger, KEY_1)
    with pytest.raises(RegieError, match="regie/s/domain/v1"):
        rows.verify_domain_key(public, DOMAIN, replace(KEY_1, public_key=changed.public_key))
    with pytest.raises(RegieError, match="regie/s/domain/v1"):
        rows.verify_domain_key(WORLD.public[PSEUDONYMS], DOMAIN, KEY_1)


def tampered():
    other = rows.domain_key(WORLD.sign[GATEWAY], DOMAIN, FACTOR_1 + 1)
    swapped = FIRST.elements[32:64] + FIRST.elements[:32] + FIRST.elements[64:]
    scaled = b"".join(group.multiply_many(2, group.decode(FIRST.elements)))
    yield replace(FIRST, elements=swapped)
    yield replace(FIRST, elements=scaled)
    yield replace(FIRST, elements=SECOND.elements)
    yield replace(FIRST, elements=FIRST.elements[:-32])
    yield replace(FIRST, elements=FIRST.elements + FIRST.elements[:32])
    yield replace(FIRST, elements=FIRST.elements[:-32] + bytes(32))
    yield replace(FIRST, proof=SECOND.proof)
    yield replace(FIRST, proof=b"")
    yield replace(FIRST, key=other)
    yield replace(FIRST, key=replace(KEY_1, public_key=bytes(32)))
    yield replace(FIRST, key=replace(KEY_1, public_key=b""))
    yield rows.evaluate(FACTOR_1 + 1, KEY_1, BLINDED.elements, RNG)


@pytest.mark.parametrize("bad", list(tampered()))
def test_an_evaluation_that_does_not_hold_is_refused_by_t2_and_by_the_caller(bad):
    with pytest.raises(RegieError, match=r"PROOF_INVALID|ELEMENT_INVALID"):
        rows.verify_evaluation(BLINDED.elements, bad)
    with pytest.raises(RegieError, match=r"PROOF_INVALID|ELEMENT_INVALID"):
        rows.unblind(BLINDED, bad, rows.evaluate(FACTOR_2, KEY_2, FIRST.elements, RNG))


def test_the_second_evaluation_is_proven_too():
    wrong = rows.evaluate(FACTOR_2 + 1, KEY_2, FIRST.elements, RNG)
    with pytest.raises(RegieError, match="PROOF_INVALID"):
        rows.unblind(BLINDED, FIRST, wrong)
    skipped = rows.evaluate(FACTOR_2, KEY_2, BLINDED.elements, RNG)
    with pytest.raises(RegieError, match="PROOF_INVALID"):
        rows.unblind(BLINDED, FIRST, skipped)


@pytest.mark.parametrize("blinded", [b"", bytes(32), BLINDED.elements[:-1], b"\1" + bytes(31)], ids=len)
def test_bad_elements_are_refused(blinded):
    with pytest.raises(RegieError, match=r"ELEMENT_INVALID.*blinded"):
        rows.evaluate(FACTOR_1, KEY_1, blinded, RNG)


def test_secrets_do_not_show():
    assert str(BLINDED.inverses[0]) not in repr(BLINDED)
    assert signatures.public_bytes(WORLD.sign[GATEWAY]) == WORLD.public[GATEWAY]
