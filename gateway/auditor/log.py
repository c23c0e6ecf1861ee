"""The ledger as the console asks it: the log with what opens it, and that somebody looks."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, cast

import grpc

from consent_ledger.clock import Clock
from consent_ledger.v1 import log_pb2, log_pb2_grpc
from gateway.directory.channels import open_channel
from gateway.directory.client import explained
from gateway.home import Home, Organisation
from gateway.telemetry import traces

CALL_SECONDS = 30.0


class Log:
    """One connection to the ledger as the auditing organisation; calls raise RegieError. A ``follow.Source``."""

    def __init__(self, home: Home, organisation: Organisation, clock: Clock) -> None:
        """Connect when first asked."""
        self._home, self._organisation, self._clock = home, organisation, clock
        self._channel = open_channel(home, organisation, "ledger")
        self._stub = log_pb2_grpc.LogServiceStub(self._channel)

    async def checkpoint(self, *, published: bool = False) -> str:
        """Return the newest checkpoint, or the newest published one with its witnesses' lines; unverified."""
        answer = await self._ask("GetCheckpoint", log_pb2.GetCheckpointRequest(published=published))
        return cast("str", answer.checkpoint)

    async def entries(self, start: int, count: int) -> Sequence[bytes]:
        """Return consecutive entries."""
        answer = await self._ask("GetEntries", log_pb2.GetEntriesRequest(start=start, count=count))
        return cast("Sequence[bytes]", answer.entries)

    async def openings(self, indices: Sequence[int]) -> Sequence[log_pb2.ProvenEntry]:
        """Return what opens entries, in this order, with neither entry nor proof; at most 1024."""
        request = log_pb2.GetEventsRequest(indices=indices, openings_only=True)
        return cast("Sequence[log_pb2.ProvenEntry]", (await self._ask("GetEvents", request)).entries)

    async def events(self, indices: Sequence[int]) -> log_pb2.GetEventsResponse:
        """Return entries with what opens them, proven in the newest checkpoint; at most 1024."""
        answer = await self._ask("GetEvents", log_pb2.GetEventsRequest(indices=indices))
        return cast("log_pb2.GetEventsResponse", answer)

    async def public_events(self) -> log_pb2.GetPublicEventsResponse:
        """Return all public events with their proofs, unverified."""
        answer: log_pb2.GetPublicEventsResponse = await self._ask("GetPublicEvents", log_pb2.GetPublicEventsRequest())
        return answer

    async def consistency(self, old_size: int, new_size: int) -> Sequence[bytes]:
        """Return the proof that one tree begins with another."""
        request = log_pb2.GetConsistencyProofRequest(old_size=old_size, new_size=new_size)
        return cast("Sequence[bytes]", (await self._ask("GetConsistencyProof", request)).hashes)

    async def inclusion(self, index: int, size: int) -> Sequence[bytes]:
        """Return the proof that an entry is in the tree of a size."""
        answer = await self._ask("GetInclusionProof", log_pb2.GetInclusionProofRequest(index=index, size=size))
        return cast("Sequence[bytes]", answer.hashes)

    async def record_access(self, request: log_pb2.RecordAccessRequest) -> int:
        """Record that somebody looks; returns the index of the entry that says so, once it is durable."""
        return cast("int", (await self._ask("RecordAccess", request)).log_index)

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def _ask(self, method: str, request: Any) -> Any:
        call: Awaitable[Any] = getattr(self._stub, method)(request, timeout=CALL_SECONDS, metadata=traces.outgoing())
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise await explained(error, self._home, self._organisation, "ledger", self._clock) from None
