"""What the ledger relies on from its LedgerCrypto: the real one and the tests' transparent one behave alike."""

import os

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent_ledger.errors import RegieError
from consent_ledger.hashing import header_hash
from consent_ledger.service.ports import LedgerCrypto
from gateway.crypto import group, hpke
from gateway.crypto.ledger_side import LedgerSide
from tests.support.ledger import LEDGER, element, public_key
from tests.support.ledger_crypto import FakeCrypto

SIGNING = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PRIVATE = hpke.PrivateKey.from_bytes(hpke.generate(os.urandom))


def real() -> tuple[LedgerCrypto, bytes, bytes, bytes]:
    crypto = LedgerSide(PRIVATE, 5, SIGNING, LEDGER)
    return crypto, SIGNING.public_key().public_bytes_raw(), group.multiply_base(7), PRIVATE.public


def fake() -> tuple[LedgerCrypto, bytes, bytes, bytes]:
    return FakeCrypto(), public_key(LEDGER, "sign"), element("anna"), b"hpke"


@pytest.fixture(params=[real, fake])
def backend(request):
    return request.param()


def reason(call) -> str:
    with pytest.raises(RegieError) as caught:
        call()
    return caught.value.reason


def test_header_hash_is_the_specified_one(backend):
    assert backend[0].header_hash(b"header") == header_hash(b"header")
    assert len(backend[0].key_id) == 8


def test_signatures_bind_label_and_parts(backend):
    crypto, public, _, _ = backend
    signature = crypto.sign(b"regie/s/decision/v1", b"a" * 32)
    assert len(signature) == 64
    crypto.verify(public, b"regie/s/decision/v1", signature, b"a" * 32)
    assert reason(lambda: crypto.verify(public, b"regie/s/release/v1", signature, b"a" * 32)) == "SIGNATURE_INVALID"
    assert reason(lambda: crypto.verify(public, b"regie/s/decision/v1", signature, b"b" * 32)) == "SIGNATURE_INVALID"
    assert reason(lambda: crypto.verify_sender(public, bytes(32), b"x", bytes(32), signature)) == "SIGNATURE_INVALID"


def test_subjects_are_stable_and_differ_by_purpose(backend):
    crypto, _, good, _ = backend
    (first,) = crypto.subjects("vroegsignalering-energie", 1, [good])
    assert len(first) == 32
    assert crypto.subjects("vroegsignalering-energie", 1, [good]) == [first]
    assert crypto.subjects("regelingen-bij-inkomensdaling", 1, [good]) != [first]
    assert reason(lambda: crypto.subjects("p", 1, [])) == "ELEMENT_INVALID"
    assert reason(lambda: crypto.subjects("p", 1, [good, bytes(32)])) == "ELEMENT_INVALID"


def test_boxes_that_do_not_open_are_named(backend):
    crypto, _, good, _ = backend
    assert reason(lambda: crypto.open_batch("p", 1, b"h" * 32, b"no box", good)) == "SEALED_PART_INVALID"
    assert reason(lambda: crypto.open_outcome(b"h" * 32, b"no box")) == "SEALED_PART_INVALID"


def test_a_release_is_sealed_to_one_batch_and_nonce(backend):
    crypto, _, _, public = backend
    boxes = {crypto.seal_release(public, bytes([n]) * 32, bytes([m]) * 32, b"content") for n in (1, 2) for m in (1, 2)}
    assert len(boxes) == 4
