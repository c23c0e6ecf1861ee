"""Keys of every signature type: reading them, and the keys that a log signs with."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from consent_ledger.log.checkpoint import Checkpoint, sign_checkpoint
from consent_ledger.log.cosignature import (
    ED25519_COSIGNATURE,
    ML_DSA_44_COSIGNATURE,
    Ed25519CosignatureSigner,
    Ed25519Cosigner,
    MlDsa44Cosigner,
    MlDsa44Signer,
)
from consent_ledger.log.errors import NoteError
from consent_ledger.log.note import ED25519, Signer, Verifier
from consent_ledger.log.notekey import split_key, split_private_key

AnyVerifier = Verifier | Ed25519Cosigner | MlDsa44Cosigner
AnySigner = Signer | Ed25519CosignatureSigner | MlDsa44Signer

_VERIFIERS: dict[int, type[AnyVerifier]] = {
    ED25519: Verifier,
    ED25519_COSIGNATURE: Ed25519Cosigner,
    ML_DSA_44_COSIGNATURE: MlDsa44Cosigner,
}
_SIGNERS: dict[int, type[AnySigner]] = {
    ED25519: Signer,
    ED25519_COSIGNATURE: Ed25519CosignatureSigner,
    ML_DSA_44_COSIGNATURE: MlDsa44Signer,
}

_KINDS: dict[type[AnyVerifier], str] = {
    Verifier: "Ed25519",
    Ed25519Cosigner: "Ed25519 cosignature",
    MlDsa44Cosigner: "ML-DSA-44",
}


def kind_of(verifier: AnyVerifier) -> str:
    """Return the signature type of a key in words."""
    return _KINDS[type(verifier)]


def parse_verifier(text: str) -> AnyVerifier:
    """Read a verifier key of any signature type that this program knows; raises NoteError."""
    kind = split_key(text).kind
    if kind not in _VERIFIERS:
        raise NoteError(f"a note key of a signature type that is not known here: 0x{kind:02x}")
    return _VERIFIERS[kind].parse(text)


def parse_verifiers(text: str) -> tuple[AnyVerifier, ...]:
    """Read one or more verifier keys with white space between them: during a rotation a log has several.

    Raises NoteError, also when there is none.
    """
    keys = tuple(parse_verifier(part) for part in text.split())
    if not keys:
        raise NoteError("expected a note key: name+id+key")
    return keys


def parse_signer(text: str) -> AnySigner:
    """Read a private key of any signature type that this program knows; raises NoteError."""
    kind = split_private_key(text).kind
    if kind not in _SIGNERS:
        raise NoteError(f"a note key of a signature type that is not known here: 0x{kind:02x}")
    return _SIGNERS[kind].parse(text)


@dataclass(frozen=True, slots=True)
class LogKeys:
    """The private keys of one log, all named as its origin: Ed25519 keys sign heads, ML-DSA-44 keys what is published.

    There are several while keys are rotated. Raises NoteError unless there is an Ed25519 key and all names are one.
    """

    signers: tuple[Signer, ...]
    cosigners: tuple[MlDsa44Signer, ...] = ()

    def __post_init__(self) -> None:
        """Refuse keys that cannot speak for one log."""
        if not self.signers:
            raise NoteError("a log needs an Ed25519 key: the public witness network knows no other for logs")
        if len({verifier.name for verifier in self.verifiers}) != 1:
            raise NoteError("the keys of a log all have its origin as their name")
        if len(set(self.names)) != len(self.names):
            raise NoteError("a log's key is named twice")

    @classmethod
    def parse(cls, text: str) -> LogKeys:
        """Read private keys, one a line, Ed25519 and ML-DSA-44 in any order; raises NoteError."""
        keys = [parse_signer(line) for line in text.split("\n") if line.strip()]
        if any(isinstance(key, Ed25519CosignatureSigner) for key in keys):
            raise NoteError("a log signs with Ed25519 and ML-DSA-44 keys, not with a witness's Ed25519 key (0x04)")
        signers = tuple(key for key in keys if isinstance(key, Signer))
        return cls(signers, tuple(key for key in keys if isinstance(key, MlDsa44Signer)))

    @classmethod
    def of(cls, keys: Signer | LogKeys) -> LogKeys:
        """Return the keys, or one key as the only one."""
        return cls((keys,)) if isinstance(keys, Signer) else keys

    def format(self) -> str:
        """Write the private keys, one a line, Ed25519 first."""
        lines = [key.format() for key in self.signers] + [key.format() for key in self.cosigners]
        return "".join(f"{line}\n" for line in lines)

    @property
    def name(self) -> str:
        """The log's origin."""
        return self.signers[0].name

    @property
    def verifiers(self) -> tuple[Verifier | MlDsa44Cosigner, ...]:
        """The public keys, Ed25519 first."""
        return (*(key.verifier for key in self.signers), *(key.verifier for key in self.cosigners))

    @property
    def names(self) -> tuple[str, ...]:
        """The public keys as text: what the log's events and settings call them."""
        return tuple(verifier.format() for verifier in self.verifiers)

    def without(self, retired: Collection[str]) -> LogKeys:
        """Return the keys that are not among ``retired`` (as text); raises NoteError when no Ed25519 key is left."""
        if not retired:
            return self
        signers = tuple(key for key in self.signers if key.verifier.format() not in retired)
        return LogKeys(signers, tuple(key for key in self.cosigners if key.verifier.format() not in retired))

    def sign_head(self, checkpoint: Checkpoint) -> str:
        """Return the signed note of a new head, by every Ed25519 key: ML-DSA-44 would cost each commit 0.7 ms."""
        return sign_checkpoint(checkpoint, self.signers)

    def cosign(self, body: str, seconds: int) -> str:
        """Return the log's own ML-DSA-44 lines on a checkpoint's body as of ``seconds`` since 1970; "" without keys."""
        return "".join(key.line(body, seconds) for key in self.cosigners)
