"""How one signal is sealed."""

import hmac

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from consent_ledger.errors import RegieError
from gateway.crypto import envelope, group
from gateway.crypto.envelope import Content

KEY, HEADER_HASH, SLOT = b"k" * 32, b"h" * 32, b"\x01\x02"
secrets = st.binary(min_size=32, max_size=32)


def hkdf(secret, info, length):
    return HKDF(hashes.SHA512(), length, None, info).derive(secret)


@given(st.binary(max_size=200), st.binary(max_size=200), st.integers(1, 64))
def test_hkdf_is_that_of_the_library(secret, info, length):
    assert envelope.hkdf(secret, info, length) == hkdf(secret, info, length)


@given(st.binary(max_size=128), st.binary(max_size=300))
def test_keyed_hmac_is_hmac(key, message):
    assert envelope._KeyedHmac(key)(message) == hmac.digest(key, message, "sha512")


@given(secrets, secrets, st.integers(0, 1023))
def test_openings_and_content_keys(secret, header_hash, position):
    slot = position.to_bytes(2, "big")
    opening = hkdf(secret, b"regie/open/v1" + header_hash + slot, 32)
    assert envelope.Openings(secret, header_hash)(position) == opening
    derived = hkdf(KEY + opening, b"regie/ct/v1" + header_hash + slot, 64)
    assert envelope.content_key(KEY, opening, header_hash, slot) == (derived[:32], derived[32:])


@given(st.binary(max_size=300), st.integers(0, 3), st.integers(1, group.ORDER - 1))
def test_a_sealed_signal_opens(payload, more, blinding):
    content = Content(blinding, b"r" * 16, payload)
    size = envelope.padded_size([payload]) + 64 * more
    plaintext = envelope.padded(group.encode_scalar(blinding), b"r" * 16, payload, size)
    ciphertext = envelope.seal(KEY, HEADER_HASH, SLOT, plaintext)
    assert len(ciphertext) == size + envelope.TAG_BYTES
    assert envelope.open_(KEY, HEADER_HASH, SLOT, ciphertext) == content
    assert AESGCM(KEY).decrypt(bytes(12), ciphertext, HEADER_HASH + SLOT) == plaintext
    expected = blinding.to_bytes(32, "little") + b"r" * 16 + len(payload).to_bytes(2, "big") + payload
    assert plaintext == expected.ljust(size, b"\0")


@pytest.mark.parametrize(("lengths", "size"), [([0], 64), ([14], 64), ([15], 128), ([3, 78, 9], 128), ([3982], 4032)])
def test_one_size_for_a_batch(lengths, size):
    assert envelope.padded_size([bytes(length) for length in lengths]) == size


def test_a_payload_has_a_bound():
    with pytest.raises(RegieError, match="payload"):
        envelope.padded_size([bytes(3983)])


def test_a_ciphertext_belongs_to_its_key_batch_and_slot():
    ciphertext = envelope.seal(KEY, HEADER_HASH, SLOT, envelope.padded(bytes(32), b"r" * 16, b"payload", 64))
    for key, header_hash, slot, data in (
        (b"x" * 32, HEADER_HASH, SLOT, ciphertext),
        (KEY, b"x" * 32, SLOT, ciphertext),
        (KEY, HEADER_HASH, b"\x01\x03", ciphertext),
        (KEY, HEADER_HASH, SLOT, ciphertext[:-1]),
        (KEY, HEADER_HASH, SLOT, b""),
        (KEY, HEADER_HASH, SLOT, bytes([ciphertext[0] ^ 1]) + ciphertext[1:]),
    ):
        with pytest.raises(RegieError, match="SEALED_PART_INVALID"):
            envelope.open_(key, header_hash, slot, data)


@pytest.mark.parametrize(
    ("plaintext", "reason"),
    [
        (b"", "SEALED_PART_INVALID"),
        (bytes(63), "SEALED_PART_INVALID"),
        (b"\1" + bytes(64), "SEALED_PART_INVALID"),
        (b"\1" + bytes(47) + b"\x00\x0f" + bytes(14), "SEALED_PART_INVALID"),
        (b"\1" + bytes(47) + b"\x00\x01" + b"pq" + bytes(12), "SEALED_PART_INVALID"),
        (b"\1" + bytes(62) + b"\1", "SEALED_PART_INVALID"),
        (bytes(64), "ELEMENT_INVALID"),
        (group.ORDER.to_bytes(32, "little") + bytes(32), "ELEMENT_INVALID"),
    ],
)
def test_padding_and_scalar_have_one_form(plaintext, reason):
    ciphertext = AESGCM(KEY).encrypt(bytes(12), plaintext, HEADER_HASH + SLOT)
    with pytest.raises(RegieError, match=reason):
        envelope.open_(KEY, HEADER_HASH, SLOT, ciphertext)


def test_secrets_do_not_show():
    assert "b'" not in repr(Content(5, b"r" * 16, b"secret")).replace("b'rrrrrrrrrrrrrrrr'", "")
