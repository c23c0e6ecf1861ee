"""The crypto of the small ledger of tests (ledger.py), transparent: everybody can make and read everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from consent_ledger.errors import RegieError
from consent_ledger.hashing import header_hash, sha256
from tests.support.ledger import LEDGER, key_id, opening, sign, subject


@dataclass
class OpenedBatch:
    positions: tuple[int, ...]
    subjects: tuple[bytes, ...]
    header_hash: bytes
    severities: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.severities = self.severities or (0,) * len(self.positions)

    def opening(self, position: int, /) -> bytes:
        return opening(self.header_hash, position)


@dataclass
class FakeCrypto:
    """Transparent: a signature is a hash, a box is its info and content, an element is a name padded to 32 bytes."""

    key_id: bytes = key_id(LEDGER, "hpke")
    sealed_to: list[bytes] = field(default_factory=list)

    def header_hash(self, header: bytes) -> bytes:
        return header_hash(header)

    def verify_sender(self, public: bytes, hh: bytes, sealed: bytes, root: bytes, signature: bytes) -> None:
        self.verify(public, b"regie/s/l/v1", signature, hh, sha256(sealed), root)

    def open_batch(self, purpose: str, epoch: int, hh: bytes, sealed: bytes, evaluated: bytes) -> OpenedBatch:
        if not sealed.startswith(hh):
            raise RegieError("SEALED_PART_INVALID", "does not open", field="sealed_ledger")
        elements = [evaluated[at : at + 32] for at in range(0, len(evaluated), 32)]
        positions = tuple(int.from_bytes(sealed[at : at + 2], "big") for at in range(32, len(sealed), 2))
        return OpenedBatch(positions, tuple(self.subjects(purpose, epoch, elements)), hh)

    def subjects(self, purpose: str, epoch: int, elements: Sequence[bytes]) -> list[bytes]:
        if not elements or any(not item.strip(b"\0") for item in elements):
            raise RegieError("ELEMENT_INVALID", "the identity", field="elements")
        return [subject(item.rstrip(b"\0").decode(), purpose) for item in elements]

    def seal_release(self, recipient_public: bytes, hh: bytes, nonce: bytes, content: bytes) -> bytes:
        self.sealed_to.append(recipient_public)
        return b"rel" + hh + nonce + content

    def open_outcome(self, hh: bytes, sealed: bytes) -> bytes:
        if not sealed.startswith(hh):
            raise RegieError("SEALED_PART_INVALID", "does not open", field="sealed")
        return sealed[32:]

    def seal_tasks(self, organisation_public: bytes, nonce: bytes, content: bytes) -> bytes:
        self.sealed_to.append(organisation_public)
        return b"tasks" + nonce + content

    def open_task(self, organisation: str, sealed: bytes) -> bytes:
        if not sealed.startswith(organisation.encode()):
            raise RegieError("SEALED_PART_INVALID", "does not open", field="sealed")
        return sealed[20:]

    def sign(self, label: bytes, *parts: bytes) -> bytes:
        return sign(LEDGER, label, *parts)

    def verify(self, public: bytes, label: bytes, signature: bytes, *parts: bytes) -> None:
        if signature != sha256(public, label, *parts) * 2:
            raise RegieError("SIGNATURE_INVALID", "wrong signature", field="signature")
