"""A witness over HTTP: ``POST /add-checkpoint`` for logs, ``GET /<origin hash>/checkpoint`` for monitors."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from consent_ledger.witness.memory import WitnessMemoryError
from consent_ledger.witness.message import MAX_BODY, SIZE_TYPE
from consent_ledger.witness.witness import Refusal, Witness

BODY_SECONDS = 10.0
"""A request arrives within this time: who trickles bytes holds no connection."""
_HASH = re.compile(r"[0-9a-f]{64}")
_FRESH = {"Cache-Control": "no-store"}
_log = structlog.get_logger()
Result = TypeVar("Result")


def witness_app(witness: Witness, pool: Executor, on_failure: Callable[[], None] = lambda: None) -> Starlette:
    """Return the application of a witness; checks and writes run in ``pool``.

    ``on_failure`` is told when the memory failed: the process should end, and only a new start goes on.
    """

    async def run(work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    async def add_checkpoint(request: Request) -> Response:
        try:
            body = await _body(request)
            lines = await run(lambda: witness.add_checkpoint(body))
        except Refusal as refusal:
            _log.info("cosign_refused", role="witness", status=refusal.status)
            return _refused(refusal)
        except WitnessMemoryError:
            return failed()
        return PlainTextResponse(lines, headers=_FRESH)

    async def latest(request: Request) -> Response:
        hashed = request.path_params["hashed_origin"]
        if not _HASH.fullmatch(hashed):
            return _refused(Refusal(404, "an origin is named by the SHA-256 of it in lower-case hex"))
        try:
            note = await run(lambda: witness.latest(hashed))
        except WitnessMemoryError:
            return failed()
        if note is None:
            return _refused(Refusal(404, "this witness has cosigned no checkpoint of such a log"))
        return PlainTextResponse(note, headers=_FRESH)

    def failed() -> Response:
        _log.critical("witness_memory_failed", role="witness")
        on_failure()
        return _refused(Refusal(503, "this witness cannot read or write its memory"))

    return Starlette(
        routes=[
            Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            Route("/{hashed_origin}/checkpoint", latest, methods=["GET"]),
        ]
    )


async def _body(request: Request) -> bytes:
    """Read the body, bounded in size and time; raises Refusal."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise Refusal(413, f"a request has at most {MAX_BODY} bytes")
    except TimeoutError:
        raise Refusal(408, f"a request arrives within {BODY_SECONDS:.0f} s") from None
    except ClientDisconnect:
        raise Refusal(400, "the request did not arrive") from None
    return bytes(body)


def _refused(refusal: Refusal) -> Response:
    if refusal.size is not None:
        # Named as a header: with ``media_type`` a charset would be added, and the specification has none.
        return Response(f"{refusal.size}\n", refusal.status, headers={**_FRESH, "Content-Type": SIZE_TYPE})
    return PlainTextResponse(f"{refusal.text}\n", refusal.status, headers=_FRESH)
