"""The trace that a decision belongs to: from the caller's W3C traceparent, else from its Fsc-Transaction-Id."""

from __future__ import annotations

import re
from typing import Any

import grpc.aio

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def trace_context(context: grpc.aio.ServicerContext[Any, Any]) -> tuple[bytes, bytes]:
    """Return (trace id, span id), 16 and 8 bytes; empty when the call carries none that is well-formed.

    A transaction names no span: its UUID's 16 bytes are the trace id, and the span id is empty.
    """
    metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
    if found := _TRACEPARENT.fullmatch(metadata.get("traceparent", "")):
        return bytes.fromhex(found[1]), bytes.fromhex(found[2])
    transaction = metadata.get("fsc-transaction-id", "")
    if _UUID.fullmatch(transaction):
        return bytes.fromhex(transaction.replace("-", "")), b""
    return b"", b""
