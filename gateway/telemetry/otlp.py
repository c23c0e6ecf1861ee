"""Spans to an OpenTelemetry collector over OTLP/HTTP: what does not arrive is counted, and nobody waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from gateway.home import HomeError

PATH = "/v1/traces"
TIMEOUT_SECONDS = 3.0
"""For one export with its repeats, and so for ending a process whose collector is away."""


class Counted(SpanExporter):
    """Counts the spans that another exporter could not deliver."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self.dropped = 0  # one thread exports

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export, and count what failed."""
        result = self._inner.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self.dropped += len(spans)
        return result

    def shutdown(self) -> None:
        """Stop."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Keep nothing back."""
        return self._inner.force_flush(timeout_millis)


def collector_of(said: str) -> str:
    """Return the URL that spans are posted to; raises HomeError for what is no HTTP address."""
    parts = urlsplit(said)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise HomeError("[telemetry] otlp is the address of a collector: http://HOST:4318")
    return said if parts.path.strip("/") else said.rstrip("/") + PATH


def open_collector(url: str) -> tuple[BatchSpanProcessor, Counted]:
    """Return what sends spans to a collector, and what counts those that did not arrive."""
    # Slow to import, and only for who has a collector.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  (slow)

    counted = Counted(OTLPSpanExporter(endpoint=url, timeout=TIMEOUT_SECONDS))
    return BatchSpanProcessor(counted), counted
