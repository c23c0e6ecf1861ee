"""Signed notes (c2sp.org/signed-note), and their Ed25519 keys (signature type 0x01)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from consent_ledger.log import notekey
from consent_ledger.log.errors import NoteError

ED25519 = 0x01
MAX_NOTE_BYTES = 1_000_000
"""Bounds the work on a note from a stranger; the specification asks for some bound."""
MAX_SIGNATURES = 100


class Signature(NamedTuple):
    """A signature that was verified: the key's name, its id (4 bytes), and what the key made (notes: 64 bytes)."""

    name: str
    key_id: bytes
    signature: bytes


class OpenedNote(NamedTuple):
    """The text of a note, with its final newline, and who signed it; at least one known key did."""

    text: str
    signatures: tuple[Signature, ...]


class NoteVerifier(Protocol):
    """A public note key of any signature type."""

    @property
    def name(self) -> str:
        """The key's name."""
        ...

    @property
    def key_id(self) -> bytes:
        """Its id, 4 bytes; with the name it says which signature lines are its own."""
        ...

    def verify(self, text: str, signature: bytes) -> None:
        """Check what stands behind the key id of a signature line over this note text; raises NoteError."""


class NoteSigner(Protocol):
    """A private note key that signs nothing but the text."""

    def line(self, text: str) -> str:
        """Return the signature line of a note's text, with its newline."""
        ...


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public note key: its name and its Ed25519 public key (32 bytes)."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        """Refuse names that a signature line cannot carry."""
        notekey.require_name(self.name)
        notekey.require_length(32, "an Ed25519 public key", self.public)

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """Read ``name+hex8(key id)+base64(type || public key)``; raises NoteError."""
        key = notekey.split_key(text)
        notekey.require_kind(ED25519, "an Ed25519", key)
        verifier = cls(key.name, key.material)
        notekey.require_key_id(verifier.key_id, key.key_id)
        return verifier

    def format(self) -> str:
        """Write the verifier key as text."""
        return notekey.format_key(self.name, self.key_id, ED25519, self.public)

    @property
    def key_id(self) -> bytes:
        """First 4 bytes of SHA-256(name || 0x0A || type || public key)."""
        return notekey.key_id_of(self.name, ED25519, self.public)

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
    verifier: Verifier = field(init=False, repr=False, compare=False)
    """The public key."""
    _key: Ed25519PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse names that a signature line cannot carry; parse the key once, for every head that it signs."""
        notekey.require_name(self.name)
        notekey.require_length(32, "an Ed25519 seed", self.seed)
        key = Ed25519PrivateKey.from_private_bytes(self.seed)
        object.__setattr__(self, "_key", key)
        object.__setattr__(self, "verifier", Verifier(self.name, key.public_key().public_bytes_raw()))

    @classmethod
    def parse(cls, text: str) -> Signer:
        """Read ``PRIVATE+KEY+name+hex8(key id)+base64(type || seed)``, as Go's note package does; raises NoteError."""
        key = notekey.split_private_key(text)
        notekey.require_kind(ED25519, "an Ed25519", key)
        signer = cls(key.name, key.material)
        notekey.require_key_id(signer.verifier.key_id, key.key_id)
        return signer

    def format(self) -> str:
        """Write the private key as text."""
        return notekey.format_private_key(self.name, self.verifier.key_id, ED25519, self.seed)

    def line(self, text: str) -> str:
        """Sign the note's text and return the signature line with its newline."""
        return notekey.format_line(self.name, self.verifier.key_id, self._key.sign(text.encode()))


def sign_note(text: str, signers: Iterable[NoteSigner]) -> str:
    """Return the signed note over a text that ends in a newline; raises NoteError on a text that no note can carry."""
    _require_plain(text)
    if not text.endswith("\n"):
        raise NoteError("expected a text that ends in a newline")
    lines = [signer.line(text) for signer in signers]
    if not lines:
        raise NoteError("a note needs a signature")
    return f"{text}\n{''.join(lines)}"


def open_note(message: str | bytes, verifiers: Iterable[NoteVerifier]) -> OpenedNote:
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


def read_note(message: str | bytes) -> OpenedNote:
    """Return the text of a note and all its signature lines, of which none is verified; raises NoteError on no note.

    For those who answer differently to what is no note and to what nobody known signed (c2sp.org/tlog-witness).
    """
    text, lines = _split_note(message)
    return OpenedNote(text, tuple(Signature(*_parse_line(line)) for line in lines))


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
    if not line.startswith(notekey.PREFIX):
        raise NoteError("expected a signature line that starts with an em dash and a space")
    name, _, encoded = line.removeprefix(notekey.PREFIX).partition(" ")
    notekey.require_name(name)
    data = notekey.decode(encoded)
    if len(data) < 5:
        raise NoteError("expected a key id of 4 bytes and a signature")
    return name, data[:4], data[4:]


def _require_plain(text: str) -> None:
    if notekey.CONTROL.search(text):
        raise NoteError("a note has no control characters but newline")
