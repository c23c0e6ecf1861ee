"""Traces: one span per call, W3C traceparent in and out, attributes from an allow-list, no exception text.

A span is for operators and may be lost. What the law wants recorded about an exchange is in the ledger, not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import grpc
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

ALLOWED_ATTRIBUTES = frozenset(
    {"rpc.method", "regie.purpose", "regie.sender", "regie.recipient", "regie.count", "rpc.grpc.status_code"}
)
_W3C = TraceContextTextMapPropagator()
_HEADERS = ("traceparent", "tracestate")


def make_provider(exporter: SpanExporter | None = None) -> TracerProvider:
    """Return a tracer provider that follows the caller's sampling decision; spans go to ``exporter``, if any."""
    provider = TracerProvider(sampler=ParentBased(ALWAYS_ON), resource=Resource({"service.name": "regie"}))
    if exporter is not None:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


class Tracing:
    """Makes the spans of one server."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("regie")

    @contextmanager
    def call(self, method: str, metadata: Iterable[tuple[str, str | bytes]]) -> Iterator[trace.Span]:
        """Open the span of one served call below the caller's, or with a fresh random trace id."""
        headers = {key: value for key, value in metadata if key in _HEADERS and isinstance(value, str)}
        parent = _W3C.extract(headers)
        span = self._tracer.start_span(method, context=parent, kind=trace.SpanKind.SERVER)
        annotate(span, {"rpc.method": method})
        token = otel_context.attach(trace.set_span_in_context(span, parent))
        try:
            yield span
        finally:
            otel_context.detach(token)
            span.end()


def annotate(span: trace.Span, attributes: Mapping[str, str | int]) -> None:
    """Set those attributes that the allow-list names; drop the others."""
    for key, value in attributes.items():
        if key in ALLOWED_ATTRIBUTES:
            span.set_attribute(key, value)


def describe(*, purpose: str, sender: str, recipient: str, count: int) -> None:
    """Say on the current span what is exchanged between whom; never about whom."""
    attributes: dict[str, str | int] = {
        "regie.purpose": purpose,
        "regie.sender": sender,
        "regie.recipient": recipient,
        "regie.count": count,
    }
    annotate(trace.get_current_span(), attributes)


def status(span: trace.Span, code: grpc.StatusCode) -> None:
    """Record how a call ended: its status code, and an error only when the fault is ours."""
    annotate(span, {"rpc.grpc.status_code": code.value[0]})
    if code in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}:
        span.set_status(trace.StatusCode.ERROR)


def outgoing() -> tuple[tuple[str, str], ...]:
    """Return the metadata that carries the current trace to the next organisation (W3C traceparent)."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return tuple(carrier.items())
