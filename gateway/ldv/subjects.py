"""Who a record is about, encrypted: the same person gives the same text, and only this organisation reads it.

AES-SIV (RFC 5297) because it is deterministic: the standard wants the records of one data subject to be found again,
and a log that is exported twice must be the same log.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from gateway.home import Organisation

KEY = "ldv"
KEY_BYTES = 64  # AES-256 in SIV mode takes two keys


class Subjects:
    """Encrypts what an organisation knows a person by."""

    def __init__(self, key: bytes) -> None:
        """Work with a key of 64 bytes; raises ValueError for another length."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"expected a key of {KEY_BYTES} bytes, got {len(key)}")
        self._cipher = AESSIV(key)

    @classmethod
    def of(cls, organisation: Organisation) -> Subjects:
        """Use the organisation's ``ldv.key``, which is made when it is not there; raises HomeError.

        Replicas of one ledger share it, as they share its other keys: else one person has two names.
        """
        if not organisation.has(KEY):
            _make(organisation.folder / f"{KEY}.key")
        return cls(organisation.key(KEY))

    def encrypt(self, kind: str, known_as: bytes) -> str:
        """Return the text (hexadecimal) for a person that is known by these bytes as ``kind`` of name."""
        return self._cipher.encrypt(known_as, [b"regie/ldv/v1", kind.encode()]).hex()

    def decrypt(self, kind: str, text: str) -> bytes:
        """Return what a person is known by: for who has to find them, with the key; raises InvalidTag."""
        return self._cipher.decrypt(bytes.fromhex(text), [b"regie/ldv/v1", kind.encode()])


def _make(path: Path) -> None:
    """Make a key file that is whole from its first moment; of two who do, the first one's stays."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(os.urandom(KEY_BYTES).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        if not path.exists():
            os.link(draft, path)
    except FileExistsError:
        pass  # another process made it in between
    finally:
        draft.unlink()
