"""What all note keys share: their names, their ids, and how they are written (c2sp.org/signed-note, "Signatures")."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import NamedTuple

from consent_ledger.log.encoding import decode_base64, encode_base64
from consent_ledger.log.errors import FormatError, NoteError

PREFIX = "— "
"""How a signature line begins: an em dash and a space."""
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")

_PRIVATE = "PRIVATE+KEY+"
_LONGEST_NAME = 255
"""In UTF-8: an ML-DSA-44 cosignature writes the name behind its length as one byte."""


class KeyText(NamedTuple):
    """A note key taken apart: name, key id (8 hexadecimal digits), signature type, public key or seed."""

    name: str
    key_id: str
    kind: int
    material: bytes


def split_key(text: str) -> KeyText:
    """Take a public key ``name+hex8(key id)+base64(type || public key)`` apart; raises NoteError."""
    # At the first two plus signs only: base64 holds more of them.
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise NoteError("expected a note key: name+id+key")
    name, key_id, encoded = parts
    data = decode(encoded)
    return KeyText(name, key_id, data[0] if data else 0, data[1:])


def split_private_key(text: str) -> KeyText:
    """Take a private key ``PRIVATE+KEY+`` and then as a public one, with the seed, apart; raises NoteError."""
    if not text.startswith(_PRIVATE):
        raise NoteError("expected a private note key")
    return split_key(text.removeprefix(_PRIVATE))


def format_key(name: str, key_id: bytes, kind: int, public: bytes) -> str:
    """Write a public key."""
    return f"{name}+{key_id.hex()}+{encode_base64(bytes([kind]) + public)}"


def format_private_key(name: str, key_id: bytes, kind: int, seed: bytes) -> str:
    """Write a private key, as Go's note package does."""
    return _PRIVATE + format_key(name, key_id, kind, seed)


def key_id_of(name: str, kind: int, public: bytes) -> bytes:
    """Return the first 4 bytes of SHA-256(name || 0x0A || type || public key)."""
    return sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def format_line(name: str, key_id: bytes, signature: bytes) -> str:
    """Write a signature line with its newline."""
    return f"{PREFIX}{name} {encode_base64(key_id + signature)}\n"


def decode(text: str) -> bytes:
    """Decode canonical base64; raises NoteError."""
    try:
        return decode_base64(text)
    except FormatError as error:
        raise NoteError(str(error)) from None


def require_kind(expected: int, what: str, got: KeyText) -> None:
    """Refuse a key of another signature type."""
    if got.kind != expected:
        raise NoteError(f"expected {what} note key (type 0x{expected:02x})")


def require_key_id(expected: bytes, got: str) -> None:
    """Refuse a key whose written id is not its own."""
    if got != expected.hex():
        raise NoteError(f"key id: expected {expected.hex()}, got another")


def require_name(name: str) -> None:
    """Refuse a name that no signature line can carry."""
    if not name or "+" in name or CONTROL.search(name) or any(character.isspace() for character in name):
        raise NoteError("a key name is not empty and has no spaces and no plus signs")


def require_length(expected: int, what: str, got: bytes) -> None:
    """Refuse key bytes of another length; raises NoteError that shows none of them."""
    if len(got) != expected:
        raise NoteError(f"expected {what} of {expected} bytes, got {len(got)}")


def require_short_name(name: str) -> None:
    """Refuse a name or origin that an ML-DSA-44 cosignature cannot carry."""
    if not 1 <= len(name.encode()) <= _LONGEST_NAME:
        raise NoteError(f"a name under an ML-DSA-44 cosignature has 1 to {_LONGEST_NAME} bytes")
