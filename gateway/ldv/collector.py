"""Where records go: a collector over OTLP/HTTP, or a file. Both say which records they took before the cursor moves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TextIO

import httpx2
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from consent_ledger.clock import Clock
from gateway.ldv.book import Placed
from gateway.ldv.record import Value, json_line, request_of
from gateway.ldv.state import Refused

PROTOBUF = "application/x-protobuf"
SECONDS = 20.0
_FAULTS_OF_CONTENT = frozenset({400, 413, 422})
"""Answers that concern what was sent: less of it may be taken. Any other is its own state, and is waited for."""
_SUSPICIOUS = 16
"""A collector that takes none of so many single records is not refusing records: it is set up wrongly."""
_LONGEST_WAIT = 3600.0


class CollectorDown(Exception):  # noqa: N818  (a state, read as a word)
    """The collector takes nothing now; ``seconds`` is how long it asks to be left alone, if it says so."""

    def __init__(self, why: str, seconds: float | None = None) -> None:
        """Say why; the text holds nothing that was sent."""
        super().__init__(why)
        self.why, self.seconds = why, seconds


@dataclass(slots=True)
class _Verdict:
    taken: int = 0
    refused: list[Refused] = field(default_factory=list)


class Collector:
    """A collector at an endpoint. Made by ``open_collector``."""

    def __init__(self, endpoint: str, http: httpx2.AsyncClient, clock: Clock) -> None:
        """Export to an endpoint (``https://.../v1/traces``)."""
        self._endpoint, self._http, self._clock = endpoint, http, clock

    async def take(self, resource: Mapping[str, Value], items: Sequence[Placed]) -> list[Refused]:
        """Return once every record is taken or named as refused; raises CollectorDown when none can be taken now.

        A request that is refused for what it holds is halved until the records at fault stand alone. What was taken
        of it before comes again, under the same ids.
        """
        verdict = _Verdict()
        await self._offer(resource, items, verdict)
        if verdict.refused and not verdict.taken:
            # One that is refused alone says nothing: the next ones tell whether it is the record or the collector.
            raise CollectorDown(f"the collector takes none of {len(items)} records: {verdict.refused[0].why}")
        return verdict.refused

    async def _offer(self, resource: Mapping[str, Value], items: Sequence[Placed], verdict: _Verdict) -> None:
        body = await asyncio.to_thread(request_of, resource, [item.record for item in items])
        why = await self._post(body)
        if why is None:
            verdict.taken += len(items)
        elif len(items) > 1:
            half = len(items) // 2
            await self._offer(resource, items[:half], verdict)
            await self._offer(resource, items[half:], verdict)
        else:
            verdict.refused.append(Refused(items[0].place, why))
            if not verdict.taken and len(verdict.refused) >= _SUSPICIOUS:
                raise CollectorDown(f"the collector takes no record at all: {why}")

    async def _post(self, body: bytes) -> str | None:
        """Send one request; returns None when all of it was taken, or why something of it was not."""
        try:
            answer = await self._http.post(self._endpoint, content=body, headers={"Content-Type": PROTOBUF})
        except httpx2.HTTPError as error:
            raise CollectorDown(f"the collector cannot be reached: {type(error).__name__}") from None
        if answer.status_code in _FAULTS_OF_CONTENT:
            return f"answered {answer.status_code}"
        if answer.status_code != 200:
            raise CollectorDown(f"the collector answers {answer.status_code}", self._wait(answer))
        try:
            rejected = ExportTraceServiceResponse.FromString(answer.content).partial_success.rejected_spans
        except DecodeError:
            raise CollectorDown("the collector's answer is not that of OTLP over HTTP with protobuf") from None
        return f"{rejected} rejected (partial success)" if rejected else None

    def _wait(self, answer: httpx2.Response) -> float | None:
        """Read Retry-After: seconds or a date (RFC 9110 section 10.2.3)."""
        said = answer.headers.get("retry-after", "").strip()
        if said.isdigit():
            return min(float(said), _LONGEST_WAIT)
        try:
            return min(max(0.0, parsedate_to_datetime(said).timestamp() - self._clock() / 1000), _LONGEST_WAIT)
        except ValueError:
            return None


@asynccontextmanager
async def open_collector(endpoint: str, clock: Clock) -> AsyncIterator[Collector]:
    """Open a collector; nothing is sent yet."""
    async with httpx2.AsyncClient(timeout=SECONDS, follow_redirects=False) as http:
        yield Collector(endpoint, http, clock)


class LinesFile:
    """A new file of OTLP/JSON lines, one record on each."""

    def __init__(self, file: TextIO) -> None:
        """Write to an open file."""
        self._file = file

    @classmethod
    def create(cls, path: Path) -> LinesFile:
        """Make the file, readable for its owner only; raises OSError when it exists."""
        return cls(os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"))

    async def take(self, resource: Mapping[str, Value], items: Sequence[Placed]) -> list[Refused]:
        """Write records, so that they are on the disk when this returns."""
        await asyncio.to_thread(self._write, resource, items)
        return []

    def _write(self, resource: Mapping[str, Value], items: Sequence[Placed]) -> None:
        self._file.writelines(json_line(resource, item.record) + "\n" for item in items)
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
