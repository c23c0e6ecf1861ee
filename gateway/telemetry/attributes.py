"""What a span may say: an allow-list, and never about whom."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from opentelemetry import context as otel_context
from opentelemetry import trace

_PAIR = ("regie.purpose", "regie.sender", "regie.recipient")
ALLOWED_ATTRIBUTES = frozenset(
    {"rpc.method", "rpc.grpc.status_code", "regie.trace_source", "regie.count", *_PAIR},
)
CALL = otel_context.create_key("regie-call")
"""Under this key of a context: the span of the whole call, below which stages have spans of their own."""

_OUR_FAULT = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})


def annotate(span: trace.Span, attributes: Mapping[str, str | int]) -> None:
    """Set those attributes that the allow-list names; drop the others."""
    if not span.is_recording():
        return
    span.set_attributes({key: value for key, value in attributes.items() if key in ALLOWED_ATTRIBUTES})


def describe(*, purpose: str, sender: str, recipient: str, count: int) -> None:
    """Say on the current span, and on that of the whole call, what is exchanged between whom; never about whom.

    Only of what was validated: these are texts of the caller.
    """
    said: dict[str, str | int] = {
        "regie.purpose": purpose,
        "regie.sender": sender,
        "regie.recipient": recipient,
        "regie.count": count,
    }
    call = otel_context.get_value(CALL)
    annotate(trace.get_current_span(), said)
    if isinstance(call, trace.Span):
        annotate(call, said)


def inherit(span: trace.Span) -> None:
    """Say on a stage's span between whom it is, as the call's span does: then durations need no join."""
    call = otel_context.get_value(CALL)
    known = getattr(call, "attributes", None)
    if known:
        annotate(span, {key: known[key] for key in _PAIR if key in known})


def status(span: trace.Span, code: grpc.StatusCode) -> None:
    """Record how a call ended: its status code, and an error only when the fault is ours."""
    annotate(span, {"rpc.grpc.status_code": code.value[0]})
    if code in _OUR_FAULT:
        span.set_status(trace.StatusCode.ERROR)
