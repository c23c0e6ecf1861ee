"""Ed25519 signatures with one label per kind of message, and the ids of keys."""

import re
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from consent_ledger.errors import RegieError
from consent_ledger.hashing import sha256

USAGE_SIGN: Final = 1
USAGE_HPKE: Final = 2

_LABEL = re.compile(rb"regie/s/[a-z0-9]+/v[0-9]+")


def signing_key(seed: bytes) -> Ed25519PrivateKey:
    """Return the signing key of a 32-byte seed."""
    return Ed25519PrivateKey.from_private_bytes(seed)


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """Return the public key, 32 bytes."""
    return key.public_key().public_bytes_raw()


def sign(key: Ed25519PrivateKey, label: bytes, *parts: bytes) -> bytes:
    """Sign label || parts, 64 bytes. The parts of one label have fixed lengths: only hashes, keys and nonces."""
    return key.sign(_message(label, parts))


def verify(public: bytes, label: bytes, signature: bytes, *parts: bytes) -> None:
    """Check a signature of :func:`sign`; raises RegieError SIGNATURE_INVALID, naming the label."""
    try:
        _public_key(public).verify(signature, _message(label, parts))
    except (InvalidSignature, ValueError):
        name = label.decode("ascii", "replace")
        raise RegieError("SIGNATURE_INVALID", f"expected a signature of kind {name} by the key given") from None


@lru_cache(maxsize=1024)
def _public_key(public: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public)


def key_id(usage: int, public: bytes) -> bytes:
    """Return the first 8 bytes of SHA-256("regie/keyid/v1" || usage as one byte || public bytes)."""
    return sha256(b"regie/keyid/v1", bytes((usage,)), public)[:8]


def _message(label: bytes, parts: tuple[bytes, ...]) -> bytes:
    assert _LABEL.fullmatch(label), "every kind of signature has its own label"
    return label + b"".join(parts)
