"""RFC 9180, X-Wing and ML-KEM vectors, and what a box is bound to."""

import json
import random

import cryptography_vectors
import pytest
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives import hpke as library
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHAKE256, Hash

from consent_ledger.errors import RegieError
from gateway.crypto import hpke, signatures

KEM_X25519, KEM_MLKEM768, KEM_XWING = 0x20, 0x41, 0x647A
KDF = {1: library.KDF.HKDF_SHA256, 0x11: library.KDF.SHAKE256}
AEAD = {1: library.AEAD.AES_128_GCM, 3: library.AEAD.CHACHA20_POLY1305}
RNG = random.Random(1).randbytes
KEY = hpke.PrivateKey.from_bytes(hpke.generate(RNG))


def vectors(name, kem):
    with cryptography_vectors.open_vector_file(f"HPKE/{name}.json", "r") as file:
        found = [vector for vector in json.load(file) if vector["kem_id"] == kem and vector["mode"] == 0]
    return [vector for vector in found if vector["kdf_id"] in KDF and vector["aead_id"] in AEAD]


def expanded(seed: str) -> bytes:
    """A private key of X-Wing is a seed: SHAKE-256 of it is ML-KEM seed || X25519 private key."""
    shake = Hash(SHAKE256(hpke.PRIVATE_BYTES))
    shake.update(bytes.fromhex(seed))
    return shake.finalize()


def check(vector, kem, private):
    """Open the first message of a published box (its associated data is an argument of the library's inner function)."""
    suite = library.Suite(kem, KDF[vector["kdf_id"]], AEAD[vector["aead_id"]])
    first = vector["encryptions"][0]
    box, info, aad, plaintext = (
        bytes.fromhex(text) for text in (vector["enc"] + first["ct"], vector["info"], first["aad"], first["pt"])
    )
    assert openssl.hpke._decrypt_with_aad(suite, box, private, info, aad) == plaintext


def test_xwing_vectors():
    found = vectors("hpke-pq-test-vectors", KEM_XWING)
    assert found
    for vector in found:
        private = hpke.PrivateKey.from_bytes(expanded(vector["skRm"]))
        assert private.public.hex() == vector["pkRm"]
        check(vector, library.KEM.MLKEM768_X25519, private._key)


def test_mlkem_vectors_with_our_kdf_and_aead():
    found = [vector for vector in vectors("hpke-pq-test-vectors", KEM_MLKEM768) if vector["kdf_id"] == 1]
    assert [vector["aead_id"] for vector in found] == [1]
    for vector in found:
        check(vector, library.KEM.MLKEM768, MLKEM768PrivateKey.from_seed_bytes(bytes.fromhex(vector["skRm"])))


def test_rfc9180_vectors_with_our_kdf_and_aead():
    found = [
        vector for vector in vectors("test-vectors", KEM_X25519) if (vector["kdf_id"], vector["aead_id"]) == (1, 1)
    ]
    assert found
    for vector in found:
        check(vector, library.KEM.X25519, X25519PrivateKey.from_private_bytes(bytes.fromhex(vector["skRm"])))


def test_a_box_opens_with_its_key_and_info():
    box = hpke.seal(KEY.public, b"info", b"plaintext")
    assert hpke.open_(KEY, b"info", box) == b"plaintext"
    assert box != hpke.seal(KEY.public, b"info", b"plaintext")


def test_a_box_opens_with_nothing_else():
    box = hpke.seal(KEY.public, b"info", b"plaintext")
    other = hpke.PrivateKey.from_bytes(hpke.generate(RNG))
    flipped = [box[:at] + bytes([box[at] ^ 1]) + box[at + 1 :] for at in (0, 1087, 1088, 1119, len(box) - 1)]
    for key, info, bad in [
        (other, b"info", box),
        (KEY, b"inf", box),
        (KEY, b"", box),
        (KEY, b"info", box[:-1]),
        (KEY, b"info", b""),
        *((KEY, b"info", wrong) for wrong in flipped),
    ]:
        with pytest.raises(RegieError, match=r"SEALED_PART_INVALID.*field sealed"):
            hpke.open_(key, info, bad, field_name="sealed")


@pytest.mark.parametrize("public", [b"", KEY.public[:-1], KEY.public + b"\0", b"\xff" * hpke.PUBLIC_BYTES], ids=len)
def test_a_public_key_that_is_none(public):
    with pytest.raises(RegieError, match="KEY_UNKNOWN"):
        hpke.seal(public, b"", b"")


@pytest.mark.parametrize("length", [0, 32, 95, 97])
def test_a_private_key_has_96_bytes(length):
    with pytest.raises(ValueError, match="96"):
        hpke.PrivateKey.from_bytes(bytes(length))


def test_key_ids_and_secrets_that_do_not_show():
    assert KEY.key_id == signatures.key_id(signatures.USAGE_HPKE, KEY.public)
    assert "_key" not in repr(KEY)
    assert len(KEY.public) == hpke.PUBLIC_BYTES
