"""LogService: the transparency log over gRPC; read from durable state, never through the writer."""

# ruff: noqa: N802, ARG002  (methods have the names and parameters of the contract)
from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from time import monotonic
from typing import Any, TypeVar

import grpc.aio

from consent_ledger.errors import RegieError
from consent_ledger.log.tiles import consistency_path, inclusion_path, inclusion_paths
from consent_ledger.registry import Participant
from consent_ledger.sequencer import Sequencer
from consent_ledger.service.access import SEES_PRIVATE, may_open
from consent_ledger.service.decision import check_kind
from consent_ledger.service.ports import Peer
from consent_ledger.storage.ports import Snapshot
from consent_ledger.v1 import events_pb2
from consent_ledger.v1 import log_pb2 as pb
from consent_ledger.v1.log_pb2_grpc import LogServiceServicer
from consent_ledger.writing.access import AccessWork

Context = grpc.aio.ServicerContext[Any, Any]
Result = TypeVar("Result")
_MOST_ENTRIES = 4_096
PUBLIC_SECONDS = 10.0
"""Every role asks for the public events every few seconds. While none is added they get the same bytes, which costs
neither proofs here nor their verification there; a new event is given at once."""


class LogService(LogServiceServicer):
    """Entries and proofs of one ledger."""

    def __init__(self, sequencer: Sequencer, pool: Executor, peer: Peer) -> None:
        """Serve what the sequencer's reader sees; ``peer`` names who calls, reads run in ``pool``."""
        self._sequencer = sequencer
        self._reader = sequencer.reader
        self._pool = pool
        self._peer = peer
        # Sequence number of the last public event, until when to give it, and the answer.
        self._public: tuple[int, float, pb.GetPublicEventsResponse] | None = None

    async def GetCheckpoint(self, request: pb.GetCheckpointRequest, context: Context) -> pb.GetCheckpointResponse:
        """Return the newest signed checkpoint, or the newest published one."""

        def newest(snapshot: Snapshot) -> str:
            published = snapshot.published() if request.published else None
            return published.note if published else snapshot.head().checkpoint

        return pb.GetCheckpointResponse(checkpoint=await self._read(newest))

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
        """Return all public events, proven under one checkpoint: the newest, or one that was it a moment ago."""
        sequence, now = self._sequencer.registry.sequence, monotonic()
        if self._public is None or self._public[0] != sequence or now > self._public[1]:
            response = await self._read(_public_events)
            self._public = (sequence, now + PUBLIC_SECONDS, response)
        return self._public[2]

    async def GetEvents(self, request: pb.GetEventsRequest, context: Context) -> pb.GetEventsResponse:
        """Return entries proven in the tree of the newest checkpoint, opened as far as the caller may see them."""
        who = self._peer(context)
        return await self._read(
            lambda snapshot: _events(snapshot, list(request.indices), who, bare=request.openings_only)
        )

    async def RecordAccess(self, request: pb.RecordAccessRequest, context: Context) -> pb.RecordAccessResponse:
        """Record that an auditor looks at something; answers once it is durable."""
        auditor = self._peer(context)
        check_kind(auditor, "auditor")
        return await asyncio.wrap_future(self._sequencer.submit(AccessWork(auditor.oin, request)))

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


def _events(snapshot: Snapshot, indices: list[int], who: Participant, *, bare: bool) -> pb.GetEventsResponse:
    head = snapshot.head()
    if max(indices) >= head.size:
        raise RegieError("FIELD_INVALID", f"the log has size {head.size}", field="indices")
    paths = [] if bare else inclusion_paths(indices, head.size, snapshot.tile)
    payloads = snapshot.payloads(indices)
    response = pb.GetEventsResponse(checkpoint=head.checkpoint)
    for place, index in enumerate(indices):
        proven = response.entries.add(index=index)
        if not bare:
            proven.entry, proven.path = snapshot.entries(index, 1)[0], b"".join(paths[place])
        payload = payloads.get(index)
        if payload is not None and may_open(who, events_pb2.Event.FromString(payload.event)):
            private = payload.private if who.kind in SEES_PRIVATE else b""
            proven.opened.CopyFrom(pb.OpenedEvent(salt=payload.salt, event=payload.event, private_part=private))
    return response


def _check_size(size: int, snapshot: Snapshot, field: str) -> None:
    newest = snapshot.head().size
    if size > newest:
        raise RegieError("FIELD_INVALID", f"the log has size {newest}", field=field)


def _index(value: int, field: str) -> int:
    """A log index fits SQLite's integers; a larger one names nothing."""
    if value >= 2**62:
        raise RegieError("FIELD_INVALID", "no log is that long", field=field)
    return value
