"""LogService: the transparency log over gRPC, for anybody; read from durable state, never through the writer."""

# ruff: noqa: N802, ARG002  (methods have the names and parameters of the contract)
from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

import grpc.aio

from consent_ledger.errors import RegieError
from consent_ledger.log.tiles import consistency_path, inclusion_path, inclusion_paths
from consent_ledger.sequencer import Sequencer
from consent_ledger.storage.reader import Snapshot
from consent_ledger.v1 import log_pb2 as pb
from consent_ledger.v1.log_pb2_grpc import LogServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]
Result = TypeVar("Result")
_MOST_ENTRIES = 4_096


class LogService(LogServiceServicer):
    """Entries and proofs of one ledger."""

    def __init__(self, sequencer: Sequencer, pool: Executor) -> None:
        """Serve what the sequencer's reader sees; reads run in ``pool``."""
        self._reader = sequencer.reader
        self._pool = pool

    async def GetCheckpoint(self, request: pb.GetCheckpointRequest, context: Context) -> pb.GetCheckpointResponse:
        """Return the newest signed checkpoint."""
        head = await self._read(lambda snapshot: snapshot.head())
        return pb.GetCheckpointResponse(checkpoint=head.checkpoint)

    async def GetEntries(self, request: pb.GetEntriesRequest, context: Context) -> pb.GetEntriesResponse:
        """Return consecutive entries from a start; none beyond the end of the log."""
        start, count = _index(request.start, "start"), min(request.count, _MOST_ENTRIES)
        entries = await self._read(lambda snapshot: snapshot.entries(start, count))
        return pb.GetEntriesResponse(entries=entries)

    async def GetInclusionProof(
        self, request: pb.GetInclusionProofRequest, context: Context
    ) -> pb.GetInclusionProofResponse:
        """Return the proof that an entry is in the tree of a size."""

        def prove(snapshot: Snapshot) -> list[bytes]:
            _check_size(request.size, snapshot, "size")
            if request.index >= request.size:
                raise RegieError("FIELD_INVALID", "this index is not in a tree of this size", field="index")
            return inclusion_path(request.index, request.size, snapshot.tile)

        return pb.GetInclusionProofResponse(hashes=await self._read(prove))

    async def GetConsistencyProof(
        self, request: pb.GetConsistencyProofRequest, context: Context
    ) -> pb.GetConsistencyProofResponse:
        """Return the proof that one tree begins with another."""

        def prove(snapshot: Snapshot) -> list[bytes]:
            _check_size(request.new_size, snapshot, "new_size")
            if request.old_size > request.new_size:
                raise RegieError("FIELD_INVALID", "the old size is larger than the new one", field="old_size")
            return consistency_path(request.old_size, request.new_size, snapshot.tile)

        return pb.GetConsistencyProofResponse(hashes=await self._read(prove))

    async def GetPublicEvents(self, request: pb.GetPublicEventsRequest, context: Context) -> pb.GetPublicEventsResponse:
        """Return all public events, proven in the tree of one checkpoint."""
        return await self._read(_public_events)

    async def _read(self, function: Callable[[Snapshot], Result]) -> Result:
        def run() -> Result:
            with self._reader.snapshot() as snapshot:
                return function(snapshot)

        return await asyncio.get_running_loop().run_in_executor(self._pool, run)


def _public_events(snapshot: Snapshot) -> pb.GetPublicEventsResponse:
    head = snapshot.head()
    entries = snapshot.public_entries()
    paths = inclusion_paths([index for index, _ in entries], head.size, snapshot.tile)
    return pb.GetPublicEventsResponse(
        checkpoint=head.checkpoint,
        entries=[
            pb.PublicEntry(index=index, entry=entry, path=b"".join(path))
            for (index, entry), path in zip(entries, paths, strict=True)
        ],
    )


def _check_size(size: int, snapshot: Snapshot, field: str) -> None:
    newest = snapshot.head().size
    if size > newest:
        raise RegieError("FIELD_INVALID", f"the log has size {newest}", field=field)


def _index(value: int, field: str) -> int:
    """A log index fits SQLite's integers; a larger one names nothing."""
    if value >= 2**62:
        raise RegieError("FIELD_INVALID", "no log is that long", field=field)
    return value
