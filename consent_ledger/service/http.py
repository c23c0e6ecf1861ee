"""The public log over HTTP (c2sp.org/tlog-tiles): checkpoint, tiles, entry bundles. For anybody; nothing is written.

Tiles and bundles never change, so any cache may keep them for ever; whatever is not there yet must not be remembered
as missing. Everything is read from durable state and made on the fly: no second copy that could differ.
Beside the log, at the root of its host, the register of processing activities is published (processing.py).
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from hashlib import sha256

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from consent_ledger import processing
from consent_ledger.errors import RegieError
from consent_ledger.log.errors import FormatError
from consent_ledger.log.paths import TilePath, format_bundle
from consent_ledger.log.tiles import TILE_WIDTH, tile_width
from consent_ledger.storage.ports import Reader, Snapshot

FOR_EVER = "public, max-age=31536000, immutable"
FOR_A_MOMENT = "public, max-age=1, must-revalidate"
"""Of the checkpoint: a second spares the ledger a crowd, and is no time in which anybody would miss an entry."""
FOR_AN_HOUR = "public, max-age=3600"
"""Of the register of processing activities: its list grows with a new program, and else never changes."""
NEVER = "no-store"
_OPEN = {"Access-Control-Allow-Origin": "*", "X-Content-Type-Options": "nosniff"}
"""A resident's browser checks the log itself, from whatever page it is on."""
_BINARY = "application/octet-stream"
_GZIP_LEVEL = 1  # commitments are random: a better search finds no more

CurrentNote = Callable[[], Awaitable[str]]
"""Returns the published checkpoint's note; raises RegieError LEDGER_UNAVAILABLE while there is none."""

_log = structlog.get_logger()


def log_app(source: Reader, origin: str, current: CurrentNote, pool: Executor) -> Starlette:
    """Return the application; reads run in ``pool``.

    The log is served under the path of its origin (``example.com/log`` under ``/log``), so that a proxy that answers
    for the origin's host passes paths on as they are.
    """
    return PublicLog(source, origin, current, pool).app()


class PublicLog:
    """Answers for one log."""

    def __init__(self, source: Reader, origin: str, current: CurrentNote, pool: Executor) -> None:
        """Serve what ``source`` reads, and ``current`` as its checkpoint."""
        self._source, self._current, self._pool = source, current, pool
        self.prefix = prefix_of(origin)

    def app(self) -> Starlette:
        """Return the application."""
        # One route: paths are matched as they were sent. A router would decode %2E and call it the same file.
        routes = [Route("/{path:path}", self._answer, methods=["GET"])]
        handlers = {HTTPException: _refused}
        return Starlette(routes=routes, exception_handlers=handlers)  # type: ignore[arg-type]  # starlette's own example

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._resource(request)
        except HTTPException:
            raise
        except RegieError as error:
            _log.warning("log_not_served", reason=error.reason)
            raise HTTPException(503, "the log cannot be read now", {"Retry-After": "5"}) from None
        except Exception as error:  # noqa: BLE001  (its text could hold data; the server must not print it)
            _log.error("incident", role="log", exception_type=type(error).__name__)
            raise HTTPException(500, "this is a mistake of the log") from None

    async def _resource(self, request: Request) -> Response:
        if (document := processing.published(_sent(request))) is not None:
            body = json.dumps(document, ensure_ascii=False, indent=1).encode()
            return _respond(request, body, "application/json", FOR_AN_HOUR)
        name = self._name(request)
        if name == "checkpoint":
            note = (await self._current()).encode()
            return _respond(request, note, "text/plain; charset=utf-8", FOR_A_MOMENT)
        try:
            path = TilePath.parse(name)
        except FormatError:
            raise _absent() from None
        data = await asyncio.get_running_loop().run_in_executor(self._pool, self._read, path)
        return _respond(request, data, _BINARY, FOR_EVER, compressible=path.level is None)

    def _name(self, request: Request) -> str:
        sent = _sent(request)
        if not sent.startswith(self.prefix + "/"):
            raise _absent()
        return sent[len(self.prefix) + 1 :]

    def _read(self, path: TilePath) -> bytes:
        with self._source.snapshot() as snapshot:
            # A partial tile of every smaller size is served too: a checkpoint of that size may have been published.
            if tile_width(path.level or 0, path.index, snapshot.head().size) < path.width:
                raise _absent()
            return _bundle(snapshot, path) if path.level is None else _tile(snapshot, path.level, path)


def _sent(request: Request) -> str:
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    try:
        return str(raw.decode("ascii"))
    except UnicodeDecodeError:
        raise _absent() from None


def prefix_of(origin: str) -> str:
    """Return the path part of an origin, "" when it has none: where below a host the log is."""
    _, slash, path = origin.partition("/")
    return f"{slash}{path}".rstrip("/")


def _tile(snapshot: Snapshot, level: int, path: TilePath) -> bytes:
    data = snapshot.tile(level, path.index, path.width)
    # Never a short tile under a name that caches keep for ever.
    if len(data) != 32 * path.width:
        raise RegieError("LEDGER_UNAVAILABLE", f"{path.format()} is not whole in the database")
    return data


def _bundle(snapshot: Snapshot, path: TilePath) -> bytes:
    entries = snapshot.entries(path.index * TILE_WIDTH, path.width)
    if len(entries) != path.width:
        raise RegieError("LEDGER_UNAVAILABLE", f"{path.format()} is not whole in the database")
    return format_bundle(entries)


def _respond(request: Request, body: bytes, kind: str, cache: str, *, compressible: bool = False) -> Response:
    tag = sha256(body).hexdigest()[:32]
    headers = {"Cache-Control": cache, **_OPEN}
    if compressible:
        headers["Vary"] = "Accept-Encoding"
        if _accepts_gzip(request):
            body, tag = gzip.compress(body, _GZIP_LEVEL, mtime=0), f"{tag}-gzip"
            headers["Content-Encoding"] = "gzip"
    headers["ETag"] = f'"{tag}"'
    if _has(request, tag):
        headers.pop("Content-Encoding", None)
        return Response(status_code=304, headers=headers)
    return Response(body, headers={**headers, "Content-Type": kind})


def _accepts_gzip(request: Request) -> bool:
    """Tell whether gzip is named with a weight above zero (RFC 9110 section 12.5.3)."""
    for part in request.headers.get("accept-encoding", "").split(","):
        coding, _, weight = part.partition(";")
        if coding.strip().lower() == "gzip":
            return weight.replace(" ", "").rstrip("0.") not in ("q=", "Q=")
    return False


def _has(request: Request, tag: str) -> bool:
    """Tell whether the caller holds this version (RFC 9110 section 13.1.2, weak comparison)."""
    held = [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]
    return f'"{tag}"' in held or "*" in held


def _absent() -> HTTPException:
    return HTTPException(404, "this log has no such resource")


def _refused(_: Request, error: HTTPException) -> Response:
    headers = {**_OPEN, "Cache-Control": NEVER, **(error.headers or {})}
    return PlainTextResponse(f"{error.detail}\n", error.status_code, headers)
