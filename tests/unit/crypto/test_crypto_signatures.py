"""Signatures with labels, and key ids."""

import hashlib

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.v1.events_pb2 import KEY_USAGE_HPKE_MLKEM768_X25519, KEY_USAGE_SIGN_ED25519
from gateway.crypto import signatures

KEY = signatures.signing_key(bytes(range(32)))
PUBLIC = signatures.public_bytes(KEY)


def test_a_signature_is_over_label_and_parts():
    signature = signatures.sign(KEY, b"regie/s/l/v1", b"a" * 32, b"b" * 32)
    assert signature == KEY.sign(b"regie/s/l/v1" + b"a" * 32 + b"b" * 32)
    signatures.verify(PUBLIC, b"regie/s/l/v1", signature, b"a" * 32, b"b" * 32)


def test_nothing_else_verifies():
    signature = signatures.sign(KEY, b"regie/s/l/v1", b"a" * 32)
    other = signatures.public_bytes(signatures.signing_key(bytes(32)))
    for public, label, sig, part in (
        (PUBLIC, b"regie/s/r/v1", signature, b"a" * 32),
        (PUBLIC, b"regie/s/l/v1", signature, b"b" * 32),
        (PUBLIC, b"regie/s/l/v1", signature[:-1], b"a" * 32),
        (PUBLIC, b"regie/s/l/v1", bytes(64), b"a" * 32),
        (other, b"regie/s/l/v1", signature, b"a" * 32),
        (PUBLIC[:-1], b"regie/s/l/v1", signature, b"a" * 32),
        (b"", b"regie/s/l/v1", signature, b"a" * 32),
    ):
        with pytest.raises(RegieError, match=f"SIGNATURE_INVALID.*{label.decode()}"):
            signatures.verify(public, label, sig, part)


@pytest.mark.parametrize("label", [b"", b"regie/s/l", b"regie/x/l/v1", b"regie/s/l/v1 "])
def test_labels_have_one_form(label):
    with pytest.raises(AssertionError, match="label"):
        signatures.sign(KEY, label, b"")


def test_key_id():
    assert signatures.key_id(1, b"public") == hashlib.sha256(b"regie/keyid/v1\x01public").digest()[:8]
    assert signatures.key_id(1, b"public") != signatures.key_id(2, b"public")
    assert signatures.USAGE_SIGN == KEY_USAGE_SIGN_ED25519
    assert signatures.USAGE_HPKE == KEY_USAGE_HPKE_MLKEM768_X25519
