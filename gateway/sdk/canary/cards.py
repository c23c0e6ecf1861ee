"""A card: canaries of one recipient, sender and purpose, as the recipient gives them to the sender and the portal."""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

from consent_ledger.clock import DAY_MS
from consent_ledger.errors import RegieError
from gateway.crypto.identifiers import Canary
from gateway.sdk.rows import Prepared, Resident
from gateway.v1 import signals_pb2

FORMAT = "regie-canary-card/1"
MONTH_MS = 30 * DAY_MS
"""The shortest month that a choice can be counted in, February aside: a card never outlives the choices made for it."""


@dataclass(frozen=True, slots=True)
class HeldCanary:
    """One canary and whose it is. ``stored_index``: at the recipient. ``log_index``: its choice, at the portal."""

    secret: bytes = field(repr=False)
    sender: str
    recipient: str
    purpose: str
    purpose_version: int
    created_ms: int
    expires_ms: int
    stored_index: bytes | None = None
    log_index: int | None = None

    @property
    def id(self) -> bytes:
        """What its keepers call it, 16 bytes; says nothing about the secret."""
        return sha256(b"regie/canary/id/v1" + self.secret).digest()[:16]

    @property
    def message(self) -> bytes:
        """What H hashes."""
        return Canary(self.recipient, self.purpose, self.secret).message()

    def signal_ref(self, day: int) -> bytes:
        """Return the reference (16 bytes) of its signal of a UTC day: random to all who do not have the secret."""
        return hmac.digest(self.secret, b"regie/canary/ref/v1" + day.to_bytes(4, "big"), "sha256")[:16]

    def prepared(self, day: int, signal_type: str) -> Prepared:
        """Return its signal of a UTC day as a row that can be sealed among others."""
        payload = smallest_signal(signal_type, day).SerializeToString(deterministic=True)
        return Prepared(f"\0canary/{self.id.hex()}/{day}", self.message, payload, self.signal_ref(day))


def smallest_signal(signal_type: str, day: int) -> signals_pb2.Signal:
    """Return a signal that is valid and no larger than any real one of its type, so that it never grows a batch.

    All ciphertexts of a batch are as large as its largest one: with this one among them none is larger than without.
    """
    today = date.fromordinal(date(1970, 1, 1).toordinal() + day)
    match signal_type:
        case "ARREARS":
            arrears = signals_pb2.ArrearsSignal(
                partner=signals_pb2.PARTNER_KIND_ENERGIE,
                duration=signals_pb2.DURATION_BAND_UNDER_1_MONTH,
                signal_date=today.isoformat(),
            )
            return signals_pb2.Signal(arrears=arrears)
        case "INCOME_DROP":
            band = signals_pb2.PercentBand(low=0, high=10)
            drop = signals_pb2.IncomeDropSignal(drop=band, period=f"{today.year:04d}")
            return signals_pb2.Signal(income_drop=drop)
        case _:
            raise RegieError("FIELD_INVALID", f"signals of type {signal_type} have no canary", "purpose")


@dataclass(frozen=True, slots=True)
class CanaryResident(Resident):
    """A canary where the portal expects a resident: it has one row, in the place of its purpose's first scheme."""

    canary: HeldCanary
    scheme: str

    @classmethod
    def of(cls, canary: HeldCanary, scheme: str) -> CanaryResident:
        """Return the stand-in for a resident whose identifier is of ``scheme``."""
        return cls(None, None, canary, scheme)

    def message(self, scheme: str) -> bytes | None:
        """Return the canary's message bytes, once."""
        return self.canary.message if scheme == self.scheme else None


@dataclass(frozen=True, slots=True)
class Card:
    """Canaries that are alike but for their secrets."""

    sender: str
    recipient: str
    purpose: str
    purpose_version: int
    months: int
    created_ms: int
    secrets: tuple[bytes, ...] = field(repr=False)

    @property
    def canaries(self) -> tuple[HeldCanary, ...]:
        """Return its canaries; each is used until the choice made for it may have ended."""
        return tuple(
            HeldCanary(
                secret=secret,
                sender=self.sender,
                recipient=self.recipient,
                purpose=self.purpose,
                purpose_version=self.purpose_version,
                created_ms=self.created_ms,
                expires_ms=self.created_ms + self.months * MONTH_MS,
            )
            for secret in self.secrets
        )

    def write(self, path: Path) -> None:
        """Write the card to a file that only its owner reads; raises OSError when it is there already."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["secrets"] = [secret.hex() for secret in self.secrets]
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(json.dumps({"format": FORMAT, **values}, indent=2) + "\n", "utf-8")

    @classmethod
    def read(cls, path: Path) -> Card:
        """Read a card; raises RegieError FIELD_INVALID when the file is none, OSError when it cannot be opened."""
        try:
            values = json.loads(path.read_text("utf-8"))
            return _card(values)
        except (ValueError, KeyError, TypeError):
            raise RegieError("FIELD_INVALID", f"{path.name} is no card of canaries", "card") from None


def _card(values: Any) -> Card:
    if values["format"] != FORMAT:
        raise ValueError(values["format"])
    secrets = tuple(bytes.fromhex(secret) for secret in values["secrets"])
    if not secrets or any(len(secret) != 32 for secret in secrets):
        raise ValueError("secrets")
    return Card(
        sender=str(values["sender"]),
        recipient=str(values["recipient"]),
        purpose=str(values["purpose"]),
        purpose_version=int(values["purpose_version"]),
        months=int(values["months"]),
        created_ms=int(values["created_ms"]),
        secrets=secrets,
    )
