"""The telemetry of one role: where its spans go, what it measures, and how both are closed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider

from consent_ledger.clock import Clock
from gateway.home import Home, Service
from gateway.settings import Settings
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.provider import open_provider
from gateway.telemetry.traces import Tracing


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What a role traces and measures with."""

    tracing: Tracing
    metrics: Metrics
    close: Callable[[], None]
    """Writes and sends what waits; may take some seconds."""


def _free(folder: Path) -> float:
    usage = shutil.disk_usage(folder)
    return usage.free / usage.total


def open_telemetry(
    home: Home, role: Service, settings: Settings, clock: Clock, provider: TracerProvider | None = None
) -> Telemetry:
    """Return a role's telemetry; with ``provider``, spans go there and nowhere else. Raises HomeError."""
    metrics = Metrics()
    metrics.gauge("regie_disk_free_ratio", "Free share of the disk the home is on.", partial(_free, home.folder))
    if provider is not None:
        return Telemetry(Tracing(provider, metrics), metrics, lambda: None)
    oin = next((oin for kind, oin in home.operators.items() if kind == role), None)  # a witness is of no organisation
    organisation = home.organisation(oin) if oin else None
    made, dropped = open_provider(home, organisation, f"regie-{role}", settings, clock)
    if dropped:
        metrics.counted("regie_spans_dropped_total", "Spans that were lost.", "to", dropped)
    return Telemetry(Tracing(made, metrics), metrics, made.shutdown)
