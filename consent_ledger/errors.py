"""The one error vocabulary of Regie (proto/consent_ledger/v1/errors.proto), as an exception."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal[
    "INVALID_ARGUMENT",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "FAILED_PRECONDITION",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "RESOURCE_EXHAUSTED",
    "UNAVAILABLE",
    "INTERNAL",
]

STATUS_OF: dict[str, Status] = {
    "PEER_UNIDENTIFIED": "UNAUTHENTICATED",
    "PEER_UNKNOWN": "PERMISSION_DENIED",
    "PEER_SUSPENDED": "PERMISSION_DENIED",
    "PEER_KIND_NOT_SERVED": "PERMISSION_DENIED",
    "PEER_MISMATCH": "PERMISSION_DENIED",
    "FIELD_INVALID": "INVALID_ARGUMENT",
    "ELEMENT_INVALID": "INVALID_ARGUMENT",
    "SIGNATURE_INVALID": "INVALID_ARGUMENT",
    "SEALED_PART_INVALID": "INVALID_ARGUMENT",
    "PROOF_INVALID": "INVALID_ARGUMENT",
    "NOT_FRESH": "FAILED_PRECONDITION",
    "KEY_UNKNOWN": "FAILED_PRECONDITION",
    "DOMAIN_NOT_OWN": "PERMISSION_DENIED",
    "SUITE_UNKNOWN": "INVALID_ARGUMENT",
    "BATCH_ID_REUSED": "ALREADY_EXISTS",
    "BATCH_UNKNOWN": "NOT_FOUND",
    "QUOTA_EXCEEDED": "RESOURCE_EXHAUSTED",
    "WRITE_STALE": "FAILED_PRECONDITION",
    "NONCE_REUSED": "ALREADY_EXISTS",
    "ENTRY_UNKNOWN": "NOT_FOUND",
    "COPY_GONE": "NOT_FOUND",
    "PRESENCE_REQUIRED": "FAILED_PRECONDITION",
    "BEYOND_MANDATE": "PERMISSION_DENIED",
    "PURPOSE_UNKNOWN": "FAILED_PRECONDITION",
    "PURPOSE_PROHIBITED": "FAILED_PRECONDITION",
    "PARTY_UNKNOWN": "FAILED_PRECONDITION",
    "BEYOND_PURPOSE": "FAILED_PRECONDITION",
    "LEDGER_UNAVAILABLE": "UNAVAILABLE",
    "EVALUATOR_UNAVAILABLE": "UNAVAILABLE",
    "GATEWAY_UNAVAILABLE": "UNAVAILABLE",
    "OVERLOADED": "UNAVAILABLE",
    "OPERATORS_NOT_SEPARATE": "FAILED_PRECONDITION",
    "INTERNAL": "INTERNAL",
}


@dataclass(slots=True)
class RegieError(Exception):
    """A request that is refused, with a reason of the vocabulary and a text without identifiers or secrets.

    ``field`` names the message field or file column at fault; ``row`` the file row (the header is row 1).
    """

    reason: str
    message: str
    field: str = ""
    row: int | None = None

    def __post_init__(self) -> None:
        """Refuse reasons outside the vocabulary: a new one is added to errors.proto first."""
        if self.reason not in STATUS_OF:
            raise ValueError(f"no such reason: {self.reason}")
        Exception.__init__(self, self.reason, self.message)

    def __str__(self) -> str:
        """Say the reason, the text, and the field at fault."""
        where = f" (field {self.field})" if self.field else ""
        return f"{self.reason}: {self.message}{where}"

    @property
    def status(self) -> Status:
        """The gRPC status that carries this reason."""
        return STATUS_OF[self.reason]
