"""Signed notes (c2sp.org/signed-note) with Ed25519 keys (signature type 0x01)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from consent_ledger.log.encoding import decode_base64, encode_base64
from consent_ledger.log.errors import FormatError, NoteError

ED25519 = 0x01
MAX_NOTE_BYTES = 1_000_000
"""Bounds the work on a note from a stranger; the specification asks for some bound."""
MAX_SIGNATURES = 100

_PREFIX = "— "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_PRIVATE = "PRIVATE+KEY+"


class Signature(NamedTuple):
    """A signature that was verified: the key's name, its id (4 bytes) and the signature (64 bytes)."""

    name: str
    key_id: bytes
    signature: bytes


class OpenedNote(NamedTuple):
    """The text of a note, with its final newline, and who signed it; at least one known key did."""

    text: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public note key: its name and its Ed25519 public key (32 bytes)."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        """Refuse names that a signature line cannot carry."""
        _require_name(self.name)
        if len(self.public) != 32:
            raise NoteError(f"expected an Ed25519 public key of 32 bytes, got {len(self.public)}")

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """Read ``name+hex8(key id)+base64(type || public key)``; raises NoteError."""
        name, key_id, material = _split_key(text)
        verifier = cls(name, material)
        _require_key_id(verifier.key_id, key_id)
        return verifier

    def format(self) -> str:
        """Write the verifier key as text."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(bytes([ED25519]) + self.public)}"

    @property
    def key_id(self) -> bytes:
        """First 4 bytes of SHA-256(name || 0x0A || type || public key)."""
        return sha256(self.name.encode() + b"\n" + bytes([ED25519]) + self.public).digest()[:4]

    def verify(self, text: str, signature: bytes) -> None:
        """Check a signature (64 bytes) over the note's text; raises NoteError."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            raise NoteError(f"wrong signature by known key {self.name}+{self.key_id.hex()}") from None


@dataclass(frozen=True, slots=True)
class Signer:
    """A private note key: its name and its Ed25519 seed (32 bytes), which is never shown."""

    name: str
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse names that a signature line cannot carry."""
        _require_name(self.name)
        if len(self.seed) != 32:
            raise NoteError("expected an Ed25519 seed of 32 bytes")

    @classmethod
    def parse(cls, text: str) -> Signer:
        """Read ``PRIVATE+KEY+name+hex8(key id)+base64(type || seed)``, as Go's note package does; raises NoteError."""
        if not text.startswith(_PRIVATE):
            raise NoteError("expected a private note key")
        name, key_id, seed = _split_key(text.removeprefix(_PRIVATE))
        signer = cls(name, seed)
        _require_key_id(signer.verifier.key_id, key_id)
        return signer

    def format(self) -> str:
        """Write the private key as text."""
        return f"{_PRIVATE}{self.name}+{self.verifier.key_id.hex()}+{encode_base64(bytes([ED25519]) + self.seed)}"

    @property
    def verifier(self) -> Verifier:
        """The public key."""
        return Verifier(self.name, Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())

    def line(self, text: str) -> str:
        """Sign the note's text and return the signature line with its newline."""
        signature = Ed25519PrivateKey.from_private_bytes(self.seed).sign(text.encode())
        return f"{_PREFIX}{self.name} {encode_base64(self.verifier.key_id + signature)}\n"


def sign_note(text: str, signers: Iterable[Signer]) -> str:
    """Return the signed note over a text that ends in a newline; raises NoteError on a text that no note can carry."""
    _require_plain(text)
    if not text.endswith("\n"):
        raise NoteError("expected a text that ends in a newline")
    lines = [signer.line(text) for signer in signers]
    if not lines:
        raise NoteError("a note needs a signature")
    return f"{text}\n{''.join(lines)}"


def open_note(message: str | bytes, verifiers: Iterable[Verifier]) -> OpenedNote:
    """Return the text of a note and the known keys that signed it.

    Signatures by unknown keys are ignored; a wrong signature by a known key rejects the note, and so does having none
    by a known key. Raises NoteError (c2sp.org/signed-note, "Format" and "Signatures").
    """
    text, lines = _split_note(message)
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    verified: dict[tuple[str, bytes], Signature] = {}
    for line in lines:
        name, key_id, signature = _parse_line(line)
        verifier = known.get((name, key_id))
        # A second line of one key is verified too: which of two counts must not depend on their order.
        if verifier is not None:
            verifier.verify(text, signature)
            verified.setdefault((name, key_id), Signature(name, key_id, signature))
    if not verified:
        raise NoteError("no known key signed this note")
    return OpenedNote(text, tuple(verified.values()))


def _split_note(message: str | bytes) -> tuple[str, list[str]]:
    try:
        data = message.encode() if isinstance(message, str) else message
        note = data.decode()
    except UnicodeError:
        raise NoteError("a note is UTF-8") from None
    if len(data) > MAX_NOTE_BYTES:
        raise NoteError(f"expected a note of at most {MAX_NOTE_BYTES} bytes, got {len(data)}")
    _require_plain(note)
    # The last empty line separates: the text may hold empty lines itself.
    text, blank, signatures = note.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise NoteError("expected a text, an empty line and signature lines, each ending in a newline")
    lines = signatures[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError(f"expected at most {MAX_SIGNATURES} signatures, got {len(lines)}")
    return text + "\n", lines


def _parse_line(line: str) -> tuple[str, bytes, bytes]:
    if not line.startswith(_PREFIX):
        raise NoteError("expected a signature line that starts with an em dash and a space")
    name, _, encoded = line.removeprefix(_PREFIX).partition(" ")
    _require_name(name)
    data = _decode(encoded)
    if len(data) < 5:
        raise NoteError("expected a key id of 4 bytes and a signature")
    return name, data[:4], data[4:]


def _split_key(text: str) -> tuple[str, str, bytes]:
    """Split at the first two plus signs only: base64 holds more of them."""
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise NoteError("expected a note key: name+id+key")
    name, key_id, encoded = parts
    data = _decode(encoded)
    if data[:1] != bytes([ED25519]):
        raise NoteError("expected an Ed25519 note key (type 0x01)")
    return name, key_id, data[1:]


def _decode(text: str) -> bytes:
    try:
        return decode_base64(text)
    except FormatError as error:
        raise NoteError(str(error)) from None


def _require_key_id(expected: bytes, got: str) -> None:
    if got != expected.hex():
        raise NoteError(f"key id: expected {expected.hex()}, got another")


def _require_name(name: str) -> None:
    if not name or "+" in name or _CONTROL.search(name) or any(character.isspace() for character in name):
        raise NoteError("a key name is not empty and has no spaces and no plus signs")


def _require_plain(text: str) -> None:
    if _CONTROL.search(text):
        raise NoteError("a note has no control characters but newline")
