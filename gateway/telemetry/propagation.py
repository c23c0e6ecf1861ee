"""Which trace a call belongs to: W3C traceparent, else Fsc-Transaction-Id, else a new one (auditors.md, "LDV").

``tracestate`` is neither read nor passed on: it is free text of others, and goes past every organisation of a trace.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

Source = Literal["traceparent", "fsc-transaction-id", "own"]
TRACEPARENT: Literal["traceparent"] = "traceparent"
TRANSACTION: Literal["fsc-transaction-id"] = "fsc-transaction-id"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_LONGEST = 256
_W3C = TraceContextTextMapPropagator()
_WANTED: ContextVar[int | None] = ContextVar("regie-trace-id", default=None)


class Caller(NamedTuple):
    """The caller's span as a context; without one, ``trace_id`` is that of its transaction, or None for a new one."""

    context: Context
    source: Source
    trace_id: int | None = None


class TraceIds(RandomIdGenerator):
    """Random ids, except that a root span takes the trace id that ``wanting`` names."""

    def generate_trace_id(self) -> int:
        """Return the wanted trace id, or a random one."""
        return _WANTED.get() or super().generate_trace_id()

    def is_trace_id_random(self) -> bool:
        """Tell the next organisation, in the flags, whether the trace id is random (W3C Trace Context level 2)."""
        return _WANTED.get() is None


@contextmanager
def wanting(trace_id: int | None) -> Iterator[None]:
    """Give root spans that begin inside this trace id."""
    token = _WANTED.set(trace_id)
    try:
        yield
    finally:
        _WANTED.reset(token)


def caller_of(metadata: Iterable[tuple[str, str | bytes]]) -> Caller:
    """Return whose trace a call goes on with; what is malformed, or there twice, counts as absent (W3C section 3.2)."""
    found: dict[str, list[str]] = {TRACEPARENT: [], TRANSACTION: []}
    for key, value in metadata:
        if key in found:
            found[key].append(value if isinstance(value, str) else "")
    if len(found[TRACEPARENT]) == 1 and (context := remote(found[TRACEPARENT][0])) is not None:
        return Caller(context, TRACEPARENT)
    if len(found[TRANSACTION]) == 1 and _UUID.fullmatch(found[TRANSACTION][0]):
        trace_id = int(found[TRANSACTION][0].replace("-", ""), 16)
        if trace_id:
            return Caller(Context(), TRANSACTION, trace_id)
    return Caller(Context(), "own")


def remote(traceparent: str) -> Context | None:
    """Return the context of a W3C traceparent; None when it is malformed."""
    context = _W3C.extract({TRACEPARENT: traceparent}, Context())
    return context or None  # what it cannot read adds nothing


def sound(traceparent: str) -> str:
    """Return a traceparent that others gave, or "" when it is none: what is kept of them is nothing else."""
    context = remote(traceparent) if len(traceparent) <= _LONGEST else None
    return traceparent_of(trace.get_current_span(context).get_span_context()) if context else ""


def traceparent_of(span: SpanContext) -> str:
    """Return the traceparent that makes others' spans children of this one; "" without a trace."""
    if not span.is_valid:
        return ""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
