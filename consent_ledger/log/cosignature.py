"""Cosignatures (c2sp.org/tlog-cosignature): timestamped signatures over a checkpoint by Ed25519 and ML-DSA-44 keys.

A witness cosigns what it saw grow. A log signs its own published checkpoints with an ML-DSA-44 key whose name is its
origin, so that they hold against quantum computers too (c2sp.org/tlog-checkpoint, "Signatures").
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from consent_ledger.log import notekey
from consent_ledger.log.checkpoint import Checkpoint
from consent_ledger.log.encoding import MAX_SIZE
from consent_ledger.log.errors import FormatError, NoteError

ED25519_COSIGNATURE = 0x04
ML_DSA_44_COSIGNATURE = 0x06
ED25519_BYTES = 8 + 64
"""An Ed25519 cosignature: seconds as u64, then the signature."""
ML_DSA_44_BYTES = 8 + 2420


class Cosignature(NamedTuple):
    """What stands behind the key id of a cosignature line: when (seconds since 1970), and the signature proper."""

    seconds: int
    signature: bytes

    @classmethod
    def parse(cls, data: bytes, length: int) -> Cosignature:
        """Take ``length`` bytes apart; raises NoteError."""
        if len(data) != length:
            raise NoteError(f"expected a cosignature of {length} bytes, got {len(data)}")
        seconds = int.from_bytes(data[:8])
        if seconds > MAX_SIZE:
            raise NoteError("a cosignature's time is at most 2^63-1")
        return cls(seconds, data[8:])


def ed25519_message(body: str, seconds: int) -> bytes:
    """Return what an Ed25519 cosigner signs (tlog-cosignature, "Ed25519 signed message")."""
    return f"cosignature/v1\ntime {seconds}\n{body}".encode()


def ml_dsa_44_message(cosigner: str, checkpoint: Checkpoint, seconds: int) -> bytes:
    """Return what an ML-DSA-44 cosigner signs: a ``cosigned_message`` from leaf 0; raises NoteError."""
    named = [_short(name) for name in (cosigner, checkpoint.origin)]
    tree = struct.pack(">QQ", 0, checkpoint.size) + checkpoint.root
    return b"subtree/v1\n\0" + named[0] + struct.pack(">Q", seconds) + named[1] + tree


@dataclass(frozen=True, slots=True)
class Cosigner(ABC):
    """The public key of a cosigner; a ``NoteVerifier``."""

    KIND: ClassVar[int]
    WHAT: ClassVar[str]
    PUBLIC_BYTES: ClassVar[int]

    name: str
    public: bytes

    def __post_init__(self) -> None:
        """Refuse names that a signature line cannot carry, and keys of another length."""
        notekey.require_name(self.name)
        notekey.require_length(self.PUBLIC_BYTES, f"{self.WHAT} public key", self.public)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``name+hex8(key id)+base64(type || public key)``; raises NoteError."""
        key = notekey.split_key(text)
        notekey.require_kind(cls.KIND, f"{cls.WHAT} cosigner's", key)
        cosigner = cls(key.name, key.material)
        notekey.require_key_id(cosigner.key_id, key.key_id)
        return cosigner

    def format(self) -> str:
        """Write the verifier key as text."""
        return notekey.format_key(self.name, self.key_id, self.KIND, self.public)

    @property
    def key_id(self) -> bytes:
        """First 4 bytes of SHA-256(name || 0x0A || type || public key)."""
        return notekey.key_id_of(self.name, self.KIND, self.public)

    @abstractmethod
    def cosigned(self, text: str, signature: bytes) -> int:
        """Check a cosignature over a checkpoint's body and return its time in seconds; raises NoteError."""

    def verify(self, text: str, signature: bytes) -> None:
        """Check a cosignature over a checkpoint's body; raises NoteError."""
        self.cosigned(text, signature)

    def _wrong(self) -> NoteError:
        return NoteError(f"wrong signature by known key {self.name}+{self.key_id.hex()}")


class Ed25519Cosigner(Cosigner):
    """The public key of a witness (signature type 0x04): its name and its Ed25519 public key (32 bytes)."""

    __slots__ = ()
    KIND = ED25519_COSIGNATURE
    WHAT = "an Ed25519"
    PUBLIC_BYTES = 32

    def cosigned(self, text: str, signature: bytes) -> int:
        """Check a cosignature over a checkpoint's body and return its time in seconds; raises NoteError."""
        made = Cosignature.parse(signature, ED25519_BYTES)
        try:
            key = Ed25519PublicKey.from_public_bytes(self.public)
            key.verify(made.signature, ed25519_message(text, made.seconds))
        except (InvalidSignature, ValueError):
            raise self._wrong() from None
        return made.seconds


class MlDsa44Cosigner(Cosigner):
    """A public ML-DSA-44 key of a witness, or of a log itself (signature type 0x06): name and key (1312 bytes)."""

    __slots__ = ()
    KIND = ML_DSA_44_COSIGNATURE
    WHAT = "an ML-DSA-44"
    PUBLIC_BYTES = 1312

    def cosigned(self, text: str, signature: bytes) -> int:
        """Check a cosignature over a checkpoint's body and return its time in seconds; raises NoteError."""
        made = Cosignature.parse(signature, ML_DSA_44_BYTES)
        message = ml_dsa_44_message(self.name, _checkpoint(text), made.seconds)
        try:
            MLDSA44PublicKey.from_public_bytes(self.public).verify(made.signature, message)
        except (InvalidSignature, ValueError):
            raise self._wrong() from None
        return made.seconds


@dataclass(frozen=True, slots=True)
class CosignatureSigner(ABC):
    """The private key of a cosigner: its name and its seed (32 bytes), which is never shown."""

    KIND: ClassVar[int]
    WHAT: ClassVar[str]

    name: str
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse names that a signature line cannot carry."""
        notekey.require_name(self.name)
        notekey.require_length(32, f"{self.WHAT} seed", self.seed)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``PRIVATE+KEY+name+hex8(key id)+base64(type || seed)``; raises NoteError."""
        key = notekey.split_private_key(text)
        notekey.require_kind(cls.KIND, f"{cls.WHAT} cosigner's", key)
        signer = cls(key.name, key.material)
        notekey.require_key_id(signer.verifier.key_id, key.key_id)
        return signer

    def format(self) -> str:
        """Write the private key as text."""
        return notekey.format_private_key(self.name, self.verifier.key_id, self.KIND, self.seed)

    def line(self, body: str, seconds: int) -> str:
        """Cosign a checkpoint's body as of ``seconds`` since 1970; returns the signature line with its newline.

        Raises NoteError on a body that is no checkpoint.
        """
        signature = self._sign(_checkpoint(body), seconds)
        return notekey.format_line(self.name, self.verifier.key_id, struct.pack(">Q", seconds) + signature)

    @property
    @abstractmethod
    def verifier(self) -> Cosigner:
        """The public key."""

    @abstractmethod
    def _sign(self, checkpoint: Checkpoint, seconds: int) -> bytes:
        """Return the signature proper."""


class Ed25519CosignatureSigner(CosignatureSigner):
    """The private key of a witness, Ed25519 (signature type 0x04)."""

    __slots__ = ()
    KIND = ED25519_COSIGNATURE
    WHAT = "an Ed25519"

    @property
    def verifier(self) -> Ed25519Cosigner:
        """The public key."""
        public = Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()
        return Ed25519Cosigner(self.name, public)

    def _sign(self, checkpoint: Checkpoint, seconds: int) -> bytes:
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(ed25519_message(checkpoint.body(), seconds))


class MlDsa44Signer(CosignatureSigner):
    """The private ML-DSA-44 key of a witness or a log (signature type 0x06); each signature is a new one (hedged)."""

    __slots__ = ()
    KIND = ML_DSA_44_COSIGNATURE
    WHAT = "an ML-DSA-44"

    @property
    def verifier(self) -> MlDsa44Cosigner:
        """The public key."""
        return MlDsa44Cosigner(self.name, MLDSA44PrivateKey.from_seed_bytes(self.seed).public_key().public_bytes_raw())

    def _sign(self, checkpoint: Checkpoint, seconds: int) -> bytes:
        return MLDSA44PrivateKey.from_seed_bytes(self.seed).sign(ml_dsa_44_message(self.name, checkpoint, seconds))


def _checkpoint(body: str) -> Checkpoint:
    try:
        return Checkpoint.parse(body)
    except FormatError as error:
        raise NoteError(f"a cosignature is over a checkpoint: {error}") from None


def _short(name: str) -> bytes:
    notekey.require_short_name(name)
    return bytes([len(name.encode())]) + name.encode()
