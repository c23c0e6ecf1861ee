"""The gateway relays the directory, so that agencies need one connection; they verify it themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from consent_ledger.errors import RegieError
from consent_ledger.registry import Registry, check_separation
from gateway.directory.client import DirectoryClient
from gateway.directory.identity import Context
from gateway.interceptors import incident
from gateway.telemetry.logs import get_logger
from gateway.v1 import directory_pb2, directory_pb2_grpc

RETRY_SECONDS = 0.3
LEAST_SECONDS_BETWEEN = 0.5


class DirectoryKeeper:
    """Keeps a service's directory fresh, also while the ledger is not there yet.

    ``ready`` is set by the first verified directory. ``failed`` is set, with the reason in ``fatal``, when the
    operators are not separate: the service must stop then (pseudonyms.md, "Operators").
    """

    def __init__(self, client: DirectoryClient, *, demo: bool, seconds: float) -> None:
        self._client, self._demo, self._seconds = client, demo, seconds
        self._last = 0.0
        self._task: asyncio.Task[None] | None = None
        self.ready = asyncio.Event()
        self.failed = asyncio.Event()
        self.fatal: RegieError | None = None

    def registry(self) -> Registry:
        """Return the directory as last verified; raises RegieError LEDGER_UNAVAILABLE before the first."""
        return self._client.directory.registry

    def start(self) -> None:
        """Fetch now and every few seconds in the background."""
        self._task = asyncio.create_task(self._keep())

    async def refresh(self) -> None:
        """Fetch now, unless that was just done: somebody used a key that we do not know yet."""
        if monotonic() - self._last >= LEAST_SECONDS_BETWEEN:
            with suppress(RegieError):
                await self._fetch()

    async def _fetch(self) -> None:
        self._last = monotonic()
        registry = await self._client.fetch()
        if not self._demo:
            self._require_separation(registry)
        self.ready.set()

    def _require_separation(self, registry: Registry) -> None:
        try:
            check_separation(registry)
        except RegieError as error:
            self.fatal = error
            self.failed.set()
            self.ready.set()
            raise

    async def _keep(self) -> None:
        said = ""
        while self.fatal is None:
            pause = self._seconds
            try:
                await self._fetch()
                said = ""
            except RegieError as error:
                pause = self._seconds if self.ready.is_set() else RETRY_SECONDS
                if error.reason != said:  # once per outage, not once per attempt
                    get_logger().warning("directory not refreshed", reason=error.reason)
                said = error.reason
            except Exception as error:  # noqa: BLE001 - a fault of ours must not end the refreshing silently
                incident(error, role="directory")
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Stop refreshing and close the connection."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._client.close()

    def response(self) -> directory_pb2.GetDirectoryResponse:
        """Return the ledger's own words, as verified; raises RegieError LEDGER_UNAVAILABLE before the first."""
        self._client.directory.registry  # noqa: B018 - raises while there is none
        return directory_pb2.GetDirectoryResponse(events=self._client.directory.response)


class DirectoryService(directory_pb2_grpc.DirectoryServiceServicer):
    """Serves what the keeper holds."""

    def __init__(self, response: Callable[[], directory_pb2.GetDirectoryResponse]) -> None:
        self._response = response

    async def GetDirectory(  # noqa: N802 - gRPC's name
        self, _request: directory_pb2.GetDirectoryRequest, _context: Context
    ) -> directory_pb2.GetDirectoryResponse:
        """Return the public events with their proofs."""
        return self._response()
