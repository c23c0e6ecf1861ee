"""The trace that a decision belongs to, from the caller's W3C traceparent."""

from __future__ import annotations

import re
from typing import Any

import grpc.aio

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


def trace_context(context: grpc.aio.ServicerContext[Any, Any]) -> tuple[bytes, bytes]:
    """Return (trace id, span id), 16 and 8 bytes; empty when the call carries none that is well-formed."""
    for key, value in context.invocation_metadata() or ():
        if key == "traceparent" and (found := _TRACEPARENT.fullmatch(str(value))):
            return bytes.fromhex(found[1]), bytes.fromhex(found[2])
    return b"", b""
