"""How one signal is sealed: openings, content keys, commitments and padding.

Two keys open a signal: k, that the recipient has, and v_i, that only the ledger can derive, and only for the signals it
permits. The commitment com_i binds the ciphertext to both, since AES-GCM alone is not key-committing.
"""

import hashlib
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from consent_ledger.errors import RegieError
from gateway.crypto import group

TAG_BYTES = 16
REF_BYTES = 16
BLOCK = 64
LARGEST_PLAINTEXT = 4032
_FIXED = 32 + REF_BYTES + 2  # u_R || signal_ref || u16 length
LARGEST_PAYLOAD = LARGEST_PLAINTEXT - _FIXED

_NONCE = bytes(12)  # each key encrypts one message


_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class _KeyedHmac:
    """HMAC-SHA512 (RFC 2104) with a key that stays: its two states are computed once, which halves its price."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        """Take a key of at most 128 bytes."""
        block = key.ljust(128, b"\0")
        self._inner = hashlib.sha512(block.translate(_INNER))
        self._outer = hashlib.sha512(block.translate(_OUTER))

    def __call__(self, message: bytes) -> bytes:
        """Return the 64 bytes of the MAC."""
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


_extract = _KeyedHmac(bytes(64))  # without salt: HashLen zeros (RFC 5869 2.2)


def _expand(pseudorandom_key: bytes, info: bytes) -> bytes:
    # One block of HKDF-Expand (RFC 5869 2.3) is 64 bytes: all this protocol ever takes. As hmac.digest, which looks its
    # hash up by name each time: of so short a message that is half of its price.
    block = pseudorandom_key.ljust(128, b"\0")
    inner = hashlib.sha512(block.translate(_INNER) + info + b"\1").digest()
    return hashlib.sha512(block.translate(_OUTER) + inner).digest()


def hkdf(secret: bytes, info: bytes, length: int) -> bytes:
    """Return HKDF-SHA512 without salt, at most 64 bytes (RFC 5869)."""
    assert length <= 64
    return _expand(_extract(secret), info)[:length]


class Openings:
    """The openings v_i = HKDF-SHA512(w, "regie/open/v1" || hh || i) of one batch."""

    __slots__ = ("_expand", "_info")

    def __init__(self, secret: bytes, header_hash: bytes) -> None:
        """Take w (32 bytes); only what derives the openings of this batch is kept."""
        self._expand = _KeyedHmac(_extract(secret))
        self._info = b"regie/open/v1" + header_hash

    def __call__(self, position: int) -> bytes:
        """Return v_i, 32 bytes."""
        return self._expand(self._info + position.to_bytes(2, "big") + b"\1")[:32]


def content_key(secret: bytes, opening: bytes, header_hash: bytes, position: bytes) -> tuple[bytes, bytes]:
    """Return K_i and com_i, 32 bytes each: HKDF-SHA512(k || v_i, "regie/ct/v1" || hh || i)."""
    derived = _expand(_extract(secret + opening), b"regie/ct/v1" + header_hash + position)
    return derived[:32], derived[32:]


@dataclass(frozen=True, slots=True)
class Content:
    """What a ciphertext holds: the recipient's blinding scalar u_R, the sender's reference, and the signal."""

    blinding: int = field(repr=False)
    signal_ref: bytes
    payload: bytes = field(repr=False)


def padded_size(payloads: list[bytes]) -> int:
    """Return the plaintext size of a batch: the largest one, rounded up to 64. Raises RegieError FIELD_INVALID."""
    largest = max(map(len, payloads))
    if largest > LARGEST_PAYLOAD:
        raise RegieError(
            "FIELD_INVALID", f"expected at most {LARGEST_PAYLOAD} bytes of payload, got {largest}", "payload"
        )
    return -(-(_FIXED + largest) // BLOCK) * BLOCK


def padded(blinding: bytes, signal_ref: bytes, payload: bytes, size: int) -> bytes:
    """Return what a ciphertext seals: u_R (32 bytes) || signal_ref || u16 length || payload || zeros up to ``size``."""
    return b"".join((blinding, signal_ref, len(payload).to_bytes(2, "big"), payload)).ljust(size, b"\0")


def seal(key: bytes, header_hash: bytes, position: bytes, plaintext: bytes) -> bytes:
    """Return ct_i: AES-256-GCM of a ``padded`` signal, with hh || i as its AAD."""
    return AESGCM(key).encrypt(_NONCE, plaintext, header_hash + position)


def open_(key: bytes, header_hash: bytes, position: bytes, ciphertext: bytes) -> Content:
    """Open ct_i; raises RegieError SEALED_PART_INVALID when it does not decrypt or is padded otherwise than by seal."""
    try:
        plaintext = AESGCM(key).decrypt(_NONCE, ciphertext, header_hash + position)
    except (InvalidTag, ValueError):
        raise RegieError("SEALED_PART_INVALID", "expected a ciphertext of this slot and key", "ciphertext") from None
    if len(plaintext) < _FIXED or len(plaintext) % BLOCK:
        raise RegieError("SEALED_PART_INVALID", "expected a padded signal", "ciphertext")
    end = _FIXED + int.from_bytes(plaintext[48:50], "big")
    if end > len(plaintext) or plaintext.count(0, end) != len(plaintext) - end:
        raise RegieError("SEALED_PART_INVALID", "expected a signal padded with zeros", "ciphertext")
    blinding = int.from_bytes(plaintext[:32], "little")
    if not 0 < blinding < group.ORDER:
        raise group.invalid_elements("ciphertext")
    return Content(blinding, plaintext[32:48], plaintext[_FIXED:end])
