"""Sealed boxes: RFC 9180 base mode, KEM MLKEM768_X25519, HKDF-SHA256, AES-128-GCM.

The library's one-shot interface has no argument for associated data, so what a box belongs to (label || hh) is
bound through ``info``: a box moved to another batch, or to another field, does not open.
"""

from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from consent_ledger.errors import RegieError
from gateway.crypto import signatures
from gateway.crypto.group import Rng

PRIVATE_BYTES = 96
PUBLIC_BYTES = 1216
_MLKEM_PUBLIC_BYTES = 1184
_MLKEM_SEED_BYTES = 64

_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_128_GCM)


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A private HPKE key, parsed once; ``public`` is its public key (1216 bytes)."""

    public: bytes
    _key: hpke.MLKEM768X25519PrivateKey = field(repr=False)

    @classmethod
    def from_bytes(cls, data: bytes) -> "PrivateKey":
        """Parse ML-KEM-768 seed (64) || X25519 private key (32); raises ValueError on another length."""
        if len(data) != PRIVATE_BYTES:
            raise ValueError(f"expected a private HPKE key of {PRIVATE_BYTES} bytes, got {len(data)}")
        lattice = MLKEM768PrivateKey.from_seed_bytes(data[:_MLKEM_SEED_BYTES])
        curve = X25519PrivateKey.from_private_bytes(data[_MLKEM_SEED_BYTES:])
        public = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
        return cls(public, hpke.MLKEM768X25519PrivateKey(lattice, curve))

    @property
    def key_id(self) -> bytes:
        """The directory's id of this key, 8 bytes."""
        return signatures.key_id(signatures.USAGE_HPKE, self.public)


def generate(rng: Rng) -> bytes:
    """Return a new private key, 96 bytes."""
    return rng(PRIVATE_BYTES)


def seal(public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """Seal to a public key, ML-KEM-768 (1184) || X25519 (32); raises RegieError KEY_UNKNOWN when it is no key."""
    try:
        key = _public_key(public)
    except ValueError:
        raise RegieError("KEY_UNKNOWN", f"expected a public HPKE key of {PUBLIC_BYTES} bytes") from None
    return _SUITE.encrypt(plaintext, key, info)


@lru_cache(maxsize=256)
def _public_key(public: bytes) -> hpke.MLKEM768X25519PublicKey:
    """Parse a public key; those of one send's parties are the same for every batch."""
    return hpke.MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC_BYTES]),
        X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC_BYTES:]),
    )


def open_(private: PrivateKey, info: bytes, box: bytes, *, field_name: str = "") -> bytes:
    """Open a box; raises RegieError SEALED_PART_INVALID when it was not sealed to this key with this info."""
    try:
        return _SUITE.decrypt(box, private._key, info)  # noqa: SLF001 (same module)
    except (InvalidTag, ValueError):
        raise RegieError(
            "SEALED_PART_INVALID", "expected a box sealed to this key for this batch", field_name
        ) from None
