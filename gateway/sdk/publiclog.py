"""A public log over HTTP (c2sp.org/tlog-tiles), read as a stranger reads it: nothing it says is believed here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx2

from consent_ledger.errors import RegieError
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.note import MAX_NOTE_BYTES
from consent_ledger.log.paths import MAX_ENTRY_BYTES, TilePath, format_bundle, parse_bundle
from consent_ledger.log.tiles import TILE_WIDTH

LONGEST = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)
"""Bytes of the largest entry bundle; what goes on behind that is not read."""
ATTEMPTS = 4
FIRST_PAUSE = 0.2
SECONDS = 20.0
CONNECTIONS = 8
_NOT_FOUND = 404
_OK = 200
_SERVER_ERRORS = 500


class PublicLogClient:
    """Fetches the resources of one log. Made by ``public_log``."""

    def __init__(
        self, prefix: str, http: httpx2.AsyncClient, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Read below a URL prefix; ``pause`` waits between attempts."""
        self._prefix, self._http, self._pause = prefix.rstrip("/"), http, pause

    async def checkpoint(self) -> str:
        """Return the checkpoint's note, unverified."""
        data = await self._get("checkpoint", MAX_NOTE_BYTES)
        if data is None:
            raise VerificationError(f"there is no log at {self._prefix}: it has no checkpoint")
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise VerificationError("checkpoint: expected UTF-8") from None

    async def fetch(self, path: TilePath) -> bytes:
        """Return a tile or an entry bundle, unverified (``verify.published.Fetch``).

        A log may drop a partial one once there is a full one: then that is read instead (tlog-tiles, "Partial Tiles").
        """
        data = await self._get(path.format(), LONGEST)
        if data is None and path.width < TILE_WIDTH:
            full = await self._get(TilePath(path.level, path.index).format(), LONGEST)
            data = full if full is None else _cut(full, path)
        if data is None:
            raise VerificationError(f"{path.format()}: expected a resource that the checkpoint's size needs, got none")
        return data

    async def _get(self, name: str, longest: int) -> bytes | None:
        """Return the bytes, None when there is no such resource; raises RegieError when the log cannot be reached."""
        problem = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._pause(FIRST_PAUSE * 2 ** (attempt - 1))
            try:
                status, data = await self._read(name, longest)
            except httpx2.HTTPError as error:
                problem = type(error).__name__
                continue
            if status == _OK:
                return data
            if status == _NOT_FOUND:
                return None
            problem = f"status {status}"
            if status < _SERVER_ERRORS:
                break
        raise RegieError("LEDGER_UNAVAILABLE", f"the log at {self._prefix} does not give {name}: {problem}")

    async def _read(self, name: str, longest: int) -> tuple[int, bytes]:
        async with self._http.stream("GET", f"{self._prefix}/{name}") as answer:
            data = bytearray()
            if answer.status_code == _OK:
                async for part in answer.aiter_bytes():
                    data += part
                    if len(data) > longest:
                        raise VerificationError(f"{name}: expected at most {longest} bytes, got more")
            return answer.status_code, bytes(data)


@asynccontextmanager
async def public_log(prefix: str) -> AsyncIterator[PublicLogClient]:
    """Open a client of the log at this URL prefix."""
    limits = httpx2.Limits(max_connections=CONNECTIONS)
    async with httpx2.AsyncClient(timeout=SECONDS, limits=limits) as http:
        yield PublicLogClient(prefix, http)


def _cut(full: bytes, path: TilePath) -> bytes:
    if path.level is None:
        return format_bundle(parse_bundle(full)[: path.width])
    return full[: 32 * path.width]
