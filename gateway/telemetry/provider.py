"""Where the spans of one role or agency go: its own store, and a collector when there is one."""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry.sdk.trace import TracerProvider

from consent_ledger.clock import Clock
from gateway.home import Home, Organisation
from gateway.settings import Settings, load_settings
from gateway.telemetry import otlp
from gateway.telemetry.spanstore import SpanStore, store_of
from gateway.telemetry.traces import Tracing, make_provider


def open_agency_tracing(home: Home, organisation: Organisation, clock: Clock) -> tuple[Tracing, Callable[[], None]]:
    """Return what traces an agency's own work, and what closes it; raises HomeError."""
    made, _ = open_provider(home, organisation, "regie-agency", load_settings(), clock)
    return Tracing(made), made.shutdown


def open_provider(
    home: Home, organisation: Organisation | None, service: str, settings: Settings, clock: Clock
) -> tuple[TracerProvider, dict[str, Callable[[], float]]]:
    """Return a provider, and how many spans each of its ways out lost."""
    oin = organisation.oin if organisation else ""
    provider = make_provider(service=service, oin=oin, spans=settings.tracing)
    dropped: dict[str, Callable[[], float]] = {}
    if settings.tracing and organisation:
        store = SpanStore(store_of(organisation), settings.span_days, clock)
        provider.add_span_processor(store)
        dropped["store"] = lambda: store.dropped
    if settings.tracing and home.collector:
        sending, counted = otlp.open_collector(otlp.collector_of(home.collector))
        provider.add_span_processor(sending)
        dropped["otlp"] = lambda: counted.dropped
    return provider, dropped
