"""RFC 9497 vectors, domains, factors and stored indices."""

import hashlib
import hmac
import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rfc_vectors import OPRF, OPRF_KEY, VOPRF, VOPRF_KEY, VOPRF_PUBLIC

from consent_ledger.errors import RegieError
from gateway.crypto import group, oprf
from gateway.crypto.oprf import Domain

RNG = random.Random(1).randbytes
OIN = "00000099000000000003"
DOMAIN = Domain("ledger", OIN, "purpose", 1)


def data(vector, name):
    return [bytes.fromhex(value) for value in vector[name]]


def scalar(text):
    return group.decode_scalar(bytes.fromhex(text))


def finalize(message: bytes, element: bytes) -> bytes:
    """RFC 9497 3.3.1 and 3.3.2: Regie stops before this step; the vectors go through it."""
    parts = b"".join(len(part).to_bytes(2, "big") + part for part in (message, element))
    return hashlib.sha512(parts + b"Finalize").digest()


def unblinded(vector, evaluated):
    inverses = group.batch_invert([scalar(blind) for blind in vector["blind"]])
    return group.multiply_many(inverses, evaluated)


@pytest.mark.parametrize("vector", OPRF)
def test_oprf_vectors(vector):
    (message,) = data(vector, "input")
    (blind,) = vector["blind"]
    blinded = group.multiply(scalar(blind), oprf.hash_identifier(message))
    assert [blinded] == data(vector, "blinded")
    evaluated = group.multiply(scalar(OPRF_KEY), blinded)
    assert [evaluated] == data(vector, "evaluated")
    assert [finalize(message, *unblinded(vector, [evaluated]))] == data(vector, "output")


@pytest.mark.parametrize("vector", VOPRF, ids=lambda vector: f"batch-{len(vector['input'])}")
def test_voprf_vectors_with_proofs(vector):
    messages = data(vector, "input")
    elements = [group.hash_to_group(message, b"HashToGroup-" + oprf.CONTEXT_VOPRF) for message in messages]
    blinded = group.multiply_many([scalar(blind) for blind in vector["blind"]], elements)
    assert blinded == data(vector, "blinded")
    evaluated = group.multiply_many(scalar(VOPRF_KEY), blinded)
    assert evaluated == data(vector, "evaluated")
    public = bytes.fromhex(VOPRF_PUBLIC)
    assert group.multiply_base(scalar(VOPRF_KEY)) == public
    (random_bytes,) = data(vector, "proof_random")
    proof = oprf.prove(scalar(VOPRF_KEY), public, blinded, evaluated, rng=lambda _: random_bytes + bytes(32))
    assert [proof] == data(vector, "proof")
    oprf.verify(public, blinded, evaluated, proof)
    outputs = [finalize(*pair) for pair in zip(messages, unblinded(vector, evaluated), strict=True)]
    assert outputs == data(vector, "output")


def proven(count=3):
    factor = group.random_scalar(RNG)
    inputs = [group.multiply_base(group.random_scalar(RNG)) for _ in range(count)]
    outputs = group.multiply_many(factor, inputs)
    public = group.multiply_base(factor)
    return public, inputs, outputs, oprf.prove(factor, public, inputs, outputs, rng=RNG)


def test_a_proof_holds_for_its_lists_only():
    public, inputs, outputs, proof = proven()
    oprf.verify(public, inputs, outputs, proof)
    other = group.multiply_base(7)
    for wrong in (
        (other, inputs, outputs, proof),
        (public, [other, *inputs[1:]], outputs, proof),
        (public, inputs, [*outputs[:2], other], proof),
        (public, inputs[::-1], outputs, proof),
        (public, inputs[::-1], outputs[::-1], proof),
        (public, inputs[:2], outputs[:2], proof),
        (public, inputs[:2], outputs, proof),
        (public, [], [], proof),
        (public, inputs, outputs, proof[32:] + proof[:32]),
        (public, inputs, outputs, proof[:-1]),
        (public, inputs, outputs, bytes(64)),
        (public, inputs, outputs, b"\xff" * 64),
        (public, inputs, outputs, bytes([proof[0] ^ 1]) + proof[1:]),
        (public, inputs, outputs, proof[:63] + bytes([proof[63] ^ 1])),
    ):
        with pytest.raises(RegieError, match="PROOF_INVALID"):
            oprf.verify(*wrong)


def test_one_element_with_another_factor_is_found():
    # An evaluator that marks one person by another factor would follow that person through the system.
    public, inputs, outputs, _ = proven(8)
    factor = group.random_scalar(RNG)
    outputs[5] = group.multiply(factor, inputs[5])
    proof = oprf.prove(factor, public, inputs, outputs, rng=RNG)
    with pytest.raises(RegieError, match="PROOF_INVALID"):
        oprf.verify(public, inputs, outputs, proof)


def test_domain_bytes():
    assert DOMAIN.encode().hex() == (
        "000000066c6564676572" + "00000014" + OIN.encode().hex() + "00000007707572706f7365" + "0000000400000001"
    )


def test_domains_differ_in_every_part():
    parts = (("ledger", "recipient"), (OIN, OIN[:-1] + "4"), ("a", "ab"), (1, 2, 256))
    domains = [Domain(*part) for part in product(*parts)]
    assert len({domain.encode() for domain in domains}) == len(domains)
    assert len({oprf.derive_factor(bytes(32), domain) for domain in domains}) == len(domains)
    point = group.multiply_base(1)
    assert len({oprf.stored_index(domain, point) for domain in domains}) == len(domains)


def test_factor():
    mac = hmac.digest(bytes(range(32)), b"regie/factor/v1" + DOMAIN.encode(), "sha512")
    assert oprf.derive_factor(bytes(range(32)), DOMAIN) == int.from_bytes(mac, "little") % group.ORDER


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_master_secret_is_32_bytes(length):
    with pytest.raises(ValueError, match="32 bytes"):
        oprf.derive_factor(bytes(length), DOMAIN)


def test_stored_index():
    points = [group.multiply_base(number) for number in (1, 2)]
    indices = [hashlib.sha256(b"regie/pid/v1" + DOMAIN.encode() + point).digest() for point in points]
    assert oprf.stored_indices(DOMAIN, points) == indices
    assert oprf.stored_index(DOMAIN, points[1]) == indices[1]


@given(st.binary(max_size=300))
def test_identifiers_hash_with_the_dst_of_mode_0(message):
    dst = b"HashToGroup-OPRFV1-\x00-ristretto255-SHA512"
    assert oprf.hash_identifier(message) == group.hash_to_group(message, dst)
