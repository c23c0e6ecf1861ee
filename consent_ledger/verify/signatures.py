"""The ledger's signatures under its answers, by any key it ever had in the directory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from consent_ledger.log.errors import VerificationError
from consent_ledger.registry import Registry

CheckSignature = Callable[[bytes, bytes, bytes], None]
"""(public key, message, signature): raises VerificationError unless the key made the signature."""


def check_ed25519(public: bytes, message: bytes, signature: bytes) -> None:
    """Check an Ed25519 signature; raises VerificationError."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise VerificationError("a signature that this key did not make") from None


class LedgerSignatures:
    """What the ledger signs about a message: label || SHA-256(message) (proto/consent_ledger/v1/decisions.proto)."""

    def __init__(self, registry: Registry, check: CheckSignature) -> None:
        """Collect the signing keys of everybody who was ever the ledger, retired ones too: old answers stay valid."""
        ledgers = (one for one in registry.participants if "ledger" in registry.kinds(one.oin))
        self._keys: Sequence[bytes] = [
            key.public for one in ledgers for key in reversed(one.keys) if key.usage == "sign"
        ]
        self._check = check

    def require(self, label: bytes, message: bytes, signature: bytes) -> None:
        """Check that the ledger signed this; raises VerificationError."""
        text = label + sha256(message).digest()
        for key in self._keys:
            try:
                self._check(key, text, signature)
            except VerificationError:
                continue
            return
        raise VerificationError("not signed by any key of the ledger")
