"""Traces: a span per call, batch and stage (never per signal), W3C traceparent in and out, no exception text.

A span is for operators and may be lost. What the law wants recorded about an exchange is in the ledger, not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import perf_counter
from typing import Protocol

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased

from consent_ledger.errors import RegieError
from gateway.telemetry.attributes import ALLOWED_ATTRIBUTES, CALL, annotate, describe, inherit, status
from gateway.telemetry.propagation import TRACEPARENT, TraceIds, caller_of, remote, traceparent_of, wanting

__all__ = [
    "ALLOWED_ATTRIBUTES",
    "CLIENT",
    "Journey",
    "Observer",
    "Tracing",
    "annotate",
    "continuing",
    "describe",
    "make_provider",
    "outgoing",
    "stage",
    "status",
    "traceparent",
]

_TRACING = otel_context.create_key("regie-tracing")
CLIENT, INTERNAL, SERVER = trace.SpanKind.CLIENT, trace.SpanKind.INTERNAL, trace.SpanKind.SERVER
_QUIET = frozenset(
    {
        "/gateway.v1.ExchangeService/Pull",
        "/gateway.v1.DirectoryService/GetDirectory",
        *(
            f"/consent_ledger.v1.LogService/{name}"
            for name in ("GetCheckpoint", "GetPublicEvents", "GetEntries", "GetEvents", "GetConsistencyProof")
        ),
    }
)
"""What is asked again and again, mostly in vain: of these only calls that belong to somebody's trace have a span."""


class Observer(Protocol):
    """Measures what spans are about."""

    def staged(self, name: str, seconds: float) -> None:
        """Take note of a stage that ended."""
        ...

    def called(self, method: str, code: str, seconds: float) -> None:
        """Take note of a served call that ended."""
        ...


class Unobserved:
    """Measures nothing."""

    def staged(self, name: str, seconds: float) -> None:
        """Take no note."""

    def called(self, method: str, code: str, seconds: float) -> None:
        """Take no note."""


def make_provider(
    exporter: SpanExporter | None = None, *, service: str = "regie", oin: str = "", spans: bool = True
) -> TracerProvider:
    """Return a provider that follows the caller's sampling decision; its spans go to ``exporter``, if any.

    Without ``spans`` none is made, and trace ids still go on: they are in the ledger's entries.
    """
    return _exporting(
        TracerProvider(
            sampler=ParentBased(ALWAYS_ON) if spans else ALWAYS_OFF,
            resource=Resource({"service.name": service, **({"regie.oin": oin} if oin else {})}),
            id_generator=TraceIds(),
            shutdown_on_exit=False,  # whoever opened it closes it
        ),
        exporter,
    )


def _exporting(provider: TracerProvider, exporter: SpanExporter | None) -> TracerProvider:
    if exporter is not None:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


class Tracing:
    """Makes the spans of one role or organisation."""

    def __init__(self, provider: TracerProvider, observer: Observer | None = None) -> None:
        self._tracer = provider.get_tracer("regie")
        self.observer: Observer = observer or Unobserved()

    @contextmanager
    def call(self, method: str, metadata: Iterable[tuple[str, str | bytes]]) -> Iterator[trace.Span]:
        """Open the span of one served call below the caller's, or with a trace id of its own."""
        caller = caller_of(metadata)
        span: trace.Span = trace.INVALID_SPAN
        context = caller.context
        if caller.source != "own" or method not in _QUIET:
            with wanting(caller.trace_id):
                span = self._tracer.start_span(method, context=caller.context, kind=SERVER)
            annotate(span, {"rpc.method": method, "regie.trace_source": caller.source})
            context = otel_context.set_value(CALL, span, trace.set_span_in_context(span, caller.context))
        with _attached(otel_context.set_value(_TRACING, self, context)):
            try:
                yield span
            finally:
                span.end()

    def begin(self, name: str, traceparent: str = "") -> Journey:
        """Begin the span of work that outlives a function, below ``traceparent`` or else below the current span."""
        parent = (remote(traceparent) if traceparent else None) or otel_context.get_current()
        span = self._tracer.start_span(name, context=parent)
        context = otel_context.set_value(CALL, span, trace.set_span_in_context(span, parent))
        return Journey(span, otel_context.set_value(_TRACING, self, context))

    def stage(self, name: str, kind: trace.SpanKind = INTERNAL) -> AbstractContextManager[None]:
        """Open the span of one stage below the current span, and measure it."""
        return _Stage(self, self._tracer, name, kind)


class _Stage:
    """A stage while it lasts. A class, since generators around generators cost more than the span."""

    __slots__ = ("_begun", "_kind", "_name", "_span", "_token", "_tracer", "_tracing")

    def __init__(self, tracing: Tracing, tracer: trace.Tracer, name: str, kind: trace.SpanKind) -> None:
        self._tracing, self._tracer, self._name, self._kind = tracing, tracer, name, kind

    def __enter__(self) -> None:
        self._span, self._begun = self._tracer.start_span(self._name, kind=self._kind), perf_counter()
        self._token = otel_context.attach(trace.set_span_in_context(self._span))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _where: object) -> None:
        otel_context.detach(self._token)
        if isinstance(error, Exception) and not isinstance(error, RegieError):  # a refusal is an answer
            self._span.set_status(trace.StatusCode.ERROR)
        inherit(self._span)  # now, since a stage may be what finds out
        self._span.end()
        self._tracing.observer.staged(self._name, perf_counter() - self._begun)


class Journey:
    """A span that is entered more than once, and ended once."""

    def __init__(self, span: trace.Span, context: Context) -> None:
        self._span, self._context = span, context
        self._ended = False

    @property
    def traceparent(self) -> str:
        """What makes others' spans children of this one."""
        return traceparent_of(self._span.get_span_context())

    @contextmanager
    def within(self) -> Iterator[None]:
        """Let what is done inside belong to it."""
        with _attached(self._context):
            yield

    def end(self) -> None:
        """End it; the same again changes nothing."""
        if not self._ended:
            self._ended = True
            self._span.end()

    def __enter__(self) -> None:
        """Do all of the work inside."""
        self._token = otel_context.attach(self._context)

    def __exit__(self, *_: object) -> None:
        """End it with the work."""
        otel_context.detach(self._token)
        self.end()


def stage(name: str, kind: trace.SpanKind = INTERNAL) -> AbstractContextManager[None]:
    """Open a stage of whichever role's call this is; outside of calls, nothing."""
    tracing = otel_context.get_value(_TRACING)
    return tracing.stage(name, kind) if isinstance(tracing, Tracing) else nullcontext()


@contextmanager
def continuing(traceparent: str) -> Iterator[None]:
    """Go on in the trace of ``traceparent``, unless this is it already, or it is none."""
    context = remote(traceparent) if traceparent else None
    if context is None:
        yield
        return
    here = trace.get_current_span().get_span_context().trace_id
    if here == trace.get_current_span(context).get_span_context().trace_id:
        yield
        return
    with _attached(trace.set_span_in_context(trace.get_current_span(context))):
        yield


@contextmanager
def _attached(context: Context) -> Iterator[None]:
    token = otel_context.attach(context)
    try:
        yield
    finally:
        otel_context.detach(token)


def traceparent() -> str:
    """Return the current span's traceparent; "" outside of traces."""
    return traceparent_of(trace.get_current_span().get_span_context())


def outgoing() -> tuple[tuple[str, str], ...]:
    """Return the metadata that carries the current trace to the next organisation (W3C traceparent)."""
    current = traceparent()
    return ((TRACEPARENT, current),) if current else ()
