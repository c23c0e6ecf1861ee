"""What an operator may tune, from REGIE_* environment variables; contradictory values refuse to start."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from consent_ledger.clock import Clock
from gateway.home import HomeError

LONGEST_LIFE_MS = 72 * 3_600_000
"""A batch lives at most 72 hours (pseudonyms.md, header)."""

CLOCK_SKEW_MS = 60_000
"""How far in the future another organisation's clock may be before its message counts as not yet created."""


class Settings(BaseSettings):
    """Tunables of the servers. Times in seconds, sizes in items."""

    model_config = SettingsConfigDict(env_prefix="REGIE_", extra="ignore", frozen=True)

    # Quotas (pseudonyms.md "Rows", rule 1): what one stolen organisation could ask before somebody notices.
    sender_signals_per_day: int = Field(default=200_000, ge=1)
    sender_refusals_per_hour: int = Field(default=5_000, ge=1)
    portal_rows_per_day: int = Field(default=200_000, ge=1)
    recipient_rows_percent: int = Field(default=105, ge=100, le=1000)
    recipient_rows_per_day: int = Field(default=8, ge=0, le=100)  # beside that, for canaries (ADR 6)
    schemes_per_person: int = Field(default=2, ge=1, le=8)

    epochs: tuple[int, ...] = (1,)
    row_request_seconds: int = Field(default=900, ge=10)

    lease_seconds: float = Field(default=60.0, gt=0)
    most_batches_per_pull: int = Field(default=16, ge=1, le=16)

    publish_seconds: float = Field(default=1.0, gt=0)
    witness_seconds: float = Field(default=20.0, gt=0)

    # Erasures of so many people are announced in the public log together, or after so many days (ADR 7).
    erasure_people: int = Field(default=10, ge=1)
    erasure_days: float = Field(default=7.0, ge=0, le=7)  # fsck calls two weeks overdue

    tracing: bool = True
    span_days: int = Field(default=14, ge=1, le=3650)

    directory_seconds: float = Field(default=3.0, gt=0)
    housekeeping_seconds: float = Field(default=60.0, gt=0)
    hop_seconds: float = Field(default=20.0, gt=0)
    grace_seconds: float = Field(default=5.0, ge=0)
    # Between saying that it stops and accepting nothing more: as long as a balancer needs to notice. None without one.
    drain_seconds: float = Field(default=0.0, ge=0, le=600)
    # More batches are refused with OVERLOADED, and sent again later; of those in flight, so many signals are evaluated
    # at once, the others wait for their turn.
    batches_in_flight: int = Field(default=64, ge=1)
    signals_at_once: int = Field(default_factory=lambda: 2_000 * (os.cpu_count() or 1), ge=1)

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if not self.epochs or any(epoch < 1 for epoch in self.epochs):
            raise ValueError("REGIE_EPOCHS names the epochs in use; the first is 1")
        if self.lease_seconds * 1000 > LONGEST_LIFE_MS:
            raise ValueError("REGIE_LEASE_SECONDS is longer than a batch lives")
        return self


def load_settings() -> Settings:
    """Read the settings from the environment; raises HomeError in one line when they cannot be."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(("REGIE", *map(str, first["loc"]))).upper()
        raise HomeError(f"the setting {name} cannot be used: {first['msg']}") from None


@dataclass(frozen=True, slots=True)
class Means:
    """What a service works with: its settings, time, the threads for group operations, and randomness."""

    settings: Settings
    clock: Clock
    pool: Executor
    rng: Callable[[int], bytes]
