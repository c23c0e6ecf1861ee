"""Calls to the next operator: less time than the caller has left, the same trace, and errors in our own words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc

from consent_ledger.errors import RegieError
from gateway.directory.identity import Context
from gateway.errors import from_rpc
from gateway.telemetry import traces
from gateway.telemetry.logs import get_logger

A = TypeVar("A")

SHAVED_SECONDS = 0.25
"""Each hop answers so much before its caller gives up, so that the caller learns why and not only that."""

_OURS = frozenset(
    {
        "PEER_UNIDENTIFIED",
        "PEER_UNKNOWN",
        "PEER_SUSPENDED",
        "PEER_KIND_NOT_SERVED",
        "PEER_MISMATCH",
        "LEDGER_UNAVAILABLE",
        "EVALUATOR_UNAVAILABLE",
        "GATEWAY_UNAVAILABLE",
        "OVERLOADED",
        "INTERNAL",
    }
)
"""What the next operator says about us or itself: no concern of our caller, who can only try again later."""


_STAGES = {"LEDGER_UNAVAILABLE": "ask ledger", "EVALUATOR_UNAVAILABLE": "ask pseudonyms"}


def seconds_left(context: Context, most: float) -> float:
    """Return how long the next operator may take: at most ``most`` seconds, and less than our caller waits."""
    remaining = context.time_remaining()
    if remaining is None:
        return most
    return max(0.001, min(most, remaining - SHAVED_SECONDS))


async def ask(method: Callable[..., Awaitable[A]], request: object, seconds: float, unavailable: str) -> A:
    """Call the next operator; raises RegieError: its refusal of the message, or ``unavailable``."""
    try:
        with traces.stage(_STAGES[unavailable], traces.CLIENT):
            return await method(request, timeout=seconds, metadata=traces.outgoing())
    except grpc.aio.AioRpcError as error:
        refusal = from_rpc(error, unavailable)
        if refusal.reason not in _OURS:
            raise refusal from None
        get_logger().warning("next operator does not serve", reason=refusal.reason, status=error.code().name)
        text = {"LEDGER_UNAVAILABLE": "the ledger", "EVALUATOR_UNAVAILABLE": "the pseudonym service"}[unavailable]
        raise RegieError(unavailable, f"{text} cannot be asked now: try again later") from None
