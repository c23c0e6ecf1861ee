"""The outermost interceptor: nothing passes a server's edge without identity, validation, a span, and mapped errors."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, TypeAlias, cast

import grpc
from google.protobuf.message import DecodeError, Message

from consent_ledger.errors import RegieError
from gateway.errors import abort
from gateway.telemetry import traces
from gateway.telemetry.logs import get_logger
from gateway.validation import validate

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Call = Callable[[Any, Context], Awaitable[Any]]
_NOT_YET_KNOWN = frozenset({"KEY_UNKNOWN", "PARTY_UNKNOWN", "PEER_UNKNOWN"})
_UNREADABLE = object()
_PACKAGE = Path(__file__).resolve().parent.parent


class Edge(grpc.aio.ServerInterceptor):
    """Wraps every unary call of one server; must be the first in its list of interceptors.

    ``admit`` refuses callers by raising RegieError. A refusal because our directory does not know a key or party is
    tried once more after ``refresh``: it may have joined a moment ago. Streams (health watching, reflection) pass: they
    carry no data.
    """

    def __init__(
        self,
        admit: Callable[[str, Context], None],
        tracing: traces.Tracing,
        role: str,
        refresh: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._admit = admit
        self._tracing = tracing
        self._role = role
        self._refresh = refresh

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Return the handler of a call, wrapped."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            self._wrap(handler_call_details.method, cast("Call", handler.unary_unary)),
            _readable(handler.request_deserializer),
            handler.response_serializer,
        )

    def _wrap(self, method: str, inner: Call) -> Call:
        async def call(request: object, context: Context) -> object:
            with (
                self._measured(method) as ended,
                self._tracing.call(method, context.invocation_metadata() or ()) as span,
            ):
                answer = await self._answer(method, inner, request, context)
                if self._refresh and isinstance(answer, RegieError) and answer.reason in _NOT_YET_KNOWN:
                    await self._refresh()
                    answer = await self._answer(method, inner, request, context)
                ended.code = grpc.StatusCode[answer.status] if isinstance(answer, RegieError) else grpc.StatusCode.OK
                traces.status(span, ended.code)
                if not isinstance(answer, RegieError):
                    return answer
                await self._refuse(method, answer, context)
            raise AssertionError("abort raises")

        return call

    @contextmanager
    def _measured(self, method: str) -> Iterator[_Ended]:
        ended, begun = _Ended(), perf_counter()
        try:
            yield ended
        finally:
            self._tracing.observer.called(method, ended.code.name, perf_counter() - begun)

    async def _answer(self, method: str, inner: Call, request: object, context: Context) -> object:
        """Return the answer or the refusal; never lets another exception out, whose text would reach the caller."""
        try:
            self._admit(method, context)
            _require_sound(request)
            return await inner(request, context)
        except RegieError as refusal:
            return refusal
        except (grpc.aio.AbortError, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - the edge: any other exception is our fault and leaves as INTERNAL
            return incident(error, method=method, role=self._role)

    async def _refuse(self, method: str, refusal: RegieError, context: Context) -> None:
        get_logger().info("refused", role=self._role, method=method, reason=refusal.reason, status=refusal.status)
        await abort(context, refusal)


def _require_sound(request: object) -> None:
    if request is _UNREADABLE:
        raise RegieError("FIELD_INVALID", "the request cannot be read as the message of this method")
    if isinstance(request, Message):
        validate(request)


def _readable(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """Return a reader that does not raise: gRPC would answer UNKNOWN, with the text of our exception."""
    if deserialize is None:
        return None

    def read(data: bytes) -> object:
        try:
            return deserialize(data)
        except DecodeError:
            return _UNREADABLE

    return read


@dataclass(slots=True)
class _Ended:
    """How a call ended; one that its caller gave up has no code of ours."""

    code: grpc.StatusCode = grpc.StatusCode.CANCELLED


def incident(error: BaseException, **where: str) -> RegieError:
    """Log an unforeseen exception by type and place, and return INTERNAL with the number to ask about."""
    number = secrets.token_hex(6)
    get_logger().error(
        "incident",
        incident=number,
        exception_type=type(error).__name__,
        where=place(error.__traceback__),
        **where,
    )
    return RegieError("INTERNAL", f"internal error; the operator finds it in the log as incident {number}")


def place(traceback: TracebackType | None) -> str:
    """Return file and line of the innermost frame of ours: code, never data."""
    found = "unknown"
    while traceback is not None:
        path = Path(traceback.tb_frame.f_code.co_filename)
        if path.is_relative_to(_PACKAGE) or found == "unknown":
            found = (
                f"{path.relative_to(_PACKAGE) if path.is_relative_to(_PACKAGE) else path.name}:{traceback.tb_lineno}"
            )
        traceback = traceback.tb_next
    return found
