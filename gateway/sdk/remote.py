"""The operators as an agency calls them; every failure is a RegieError that says why and what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from consent_ledger.clock import Clock
from consent_ledger.errors import RegieError
from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2, consents_pb2_grpc, log_pb2, log_pb2_grpc
from gateway.directory.channels import open_channel
from gateway.directory.client import DirectoryClient, explained
from gateway.home import Home, Organisation, Role
from gateway.telemetry import traces
from gateway.v1 import evaluator_pb2, evaluator_pb2_grpc, exchange_pb2, exchange_pb2_grpc

T = TypeVar("T")
Pause = Callable[[float], Awaitable[None]]
"""Waits that many seconds; tests pass one that does not."""

CALL_SECONDS = 60.0
UNREACHABLE = frozenset({"GATEWAY_UNAVAILABLE", "LEDGER_UNAVAILABLE", "EVALUATOR_UNAVAILABLE", "OVERLOADED"})
"""Nothing is known to have happened: the same bytes may be sent again."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


class Remote(Protocol):
    """What the SDK needs of the operators. All calls raise RegieError."""

    async def directory(self) -> Registry:
        """Return the newest verified directory."""
        ...

    async def submit(self, request: exchange_pb2.SubmitBatchRequest) -> exchange_pb2.SubmitBatchResponse:
        """Submit a batch to the gateway."""
        ...

    async def pull(self, request: exchange_pb2.PullRequest) -> exchange_pb2.PullResponse:
        """Ask the gateway for offers or deliveries."""
        ...

    async def acknowledge(self, request: exchange_pb2.AcknowledgeRequest) -> None:
        """Tell the gateway that a batch is stored."""
        ...

    async def report(self, request: exchange_pb2.ReportOutcomeRequest) -> exchange_pb2.ReportOutcomeResponse:
        """Report what was done with a signal."""
        ...

    async def declare_support(self, request: exchange_pb2.DeclareSupportRequest) -> exchange_pb2.DeclareSupportResponse:
        """Declare which channels this recipient supports."""
        ...

    async def list_tasks(self, request: exchange_pb2.ListTasksRequest) -> exchange_pb2.ListTasksResponse:
        """Ask what this organisation is asked to do."""
        ...

    async def report_task(self, request: exchange_pb2.ReportTaskRequest) -> exchange_pb2.ReportTaskResponse:
        """Report what was done about a task."""
        ...

    async def report_unresolved(self, request: exchange_pb2.ReportUnresolvedRequest) -> None:
        """Tell the gateway how many signals of a closed day could not be resolved."""
        ...

    async def evaluate_rows(self, request: evaluator_pb2.EvaluateRowsRequest) -> evaluator_pb2.EvaluateRowsResponse:
        """Have rows evaluated by both evaluators."""
        ...

    async def record(self, request: consents_pb2.RecordRequest) -> consents_pb2.RecordResponse:
        """Record choices at the ledger."""
        ...

    async def get_record(self, request: consents_pb2.GetRecordRequest) -> consents_pb2.GetRecordResponse:
        """Ask the ledger what it holds about one resident."""
        ...

    async def preview_erasure(self, request: consents_pb2.PreviewErasureRequest) -> consents_pb2.PreviewErasureResponse:
        """Ask the ledger what an erasure would erase."""
        ...

    async def erase(self, request: consents_pb2.EraseRequest) -> consents_pb2.EraseResponse:
        """Have the ledger erase what it holds about one resident."""
        ...

    async def get_copy(self, request: exchange_pb2.GetCopyRequest) -> exchange_pb2.GetCopyResponse:
        """Ask the gateway for the sealed copy of one signal."""
        ...

    async def get_entry(self, request: consents_pb2.GetEntryRequest) -> consents_pb2.GetEntryResponse:
        """Ask the ledger for one entry about a resident."""
        ...

    async def get_proof(self, request: consents_pb2.GetProofRequest) -> consents_pb2.GetProofResponse:
        """Ask the ledger for the proof of one entry about a resident."""
        ...

    async def get_chain(self, request: consents_pb2.GetChainRequest) -> consents_pb2.GetChainResponse:
        """Ask the ledger for the chains of a resident's rows."""
        ...

    async def open_copy(self, request: consents_pb2.OpenCopyRequest) -> consents_pb2.OpenCopyResponse:
        """Ask the ledger for what opens the copy of one signal."""
        ...

    async def get_summary(self, request: consents_pb2.GetSummaryRequest) -> consents_pb2.GetSummaryResponse:
        """Ask the ledger for counts over a resident's exchanges."""
        ...

    async def get_others(self, request: consents_pb2.GetOthersRequest) -> consents_pb2.GetOthersResponse:
        """Ask the ledger who else looks at a resident's record or acts in it."""
        ...

    async def published_checkpoint(self) -> str:
        """Return the log's newest published checkpoint, with the lines of its witnesses."""
        ...

    async def inclusion(self, index: int, size: int) -> Sequence[bytes]:
        """Return the proof that an entry is in the tree of a size."""
        ...

    async def consistency(self, old_size: int, new_size: int) -> Sequence[bytes]:
        """Return the proof that one tree begins with another."""
        ...

    async def public_events(self) -> log_pb2.GetPublicEventsResponse:
        """Return all public events of the log."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class GrpcRemote:
    """The operators over mutual TLS, one connection to each that is used."""

    def __init__(self, home: Home, organisation: Organisation, clock: Clock) -> None:
        """Connect on first use."""
        self._home, self._organisation, self._clock = home, organisation, clock
        self._directory = DirectoryClient(home, organisation, "gateway", clock)
        self._channels: dict[Role, grpc.aio.Channel] = {}
        self._stubs: dict[tuple[Role, Callable[..., Any]], Any] = {}

    async def directory(self) -> Registry:
        """Fetch and verify the directory."""
        return await self._directory.fetch()

    @property
    def checkpoint_size(self) -> int:
        """Size of the log in the checkpoint of the newest directory; 0 before the first."""
        known = self._directory.directory.checkpoint
        return known.size if known else 0

    async def submit(self, request: exchange_pb2.SubmitBatchRequest) -> exchange_pb2.SubmitBatchResponse:
        """Call ExchangeService.SubmitBatch."""
        return await self._call("gateway", self._exchange().SubmitBatch, request)

    async def pull(self, request: exchange_pb2.PullRequest) -> exchange_pb2.PullResponse:
        """Call ExchangeService.Pull."""
        return await self._call("gateway", self._exchange().Pull, request, CALL_SECONDS + request.wait_seconds)

    async def acknowledge(self, request: exchange_pb2.AcknowledgeRequest) -> None:
        """Call ExchangeService.Acknowledge."""
        await self._call("gateway", self._exchange().Acknowledge, request)

    async def report(self, request: exchange_pb2.ReportOutcomeRequest) -> exchange_pb2.ReportOutcomeResponse:
        """Call ExchangeService.ReportOutcome."""
        return await self._call("gateway", self._exchange().ReportOutcome, request)

    async def declare_support(self, request: exchange_pb2.DeclareSupportRequest) -> exchange_pb2.DeclareSupportResponse:
        """Call ExchangeService.DeclareSupport."""
        return await self._call("gateway", self._exchange().DeclareSupport, request)

    async def list_tasks(self, request: exchange_pb2.ListTasksRequest) -> exchange_pb2.ListTasksResponse:
        """Call ExchangeService.ListTasks."""
        return await self._call("gateway", self._exchange().ListTasks, request)

    async def report_task(self, request: exchange_pb2.ReportTaskRequest) -> exchange_pb2.ReportTaskResponse:
        """Call ExchangeService.ReportTask."""
        return await self._call("gateway", self._exchange().ReportTask, request)

    async def report_unresolved(self, request: exchange_pb2.ReportUnresolvedRequest) -> None:
        """Call ExchangeService.ReportUnresolved."""
        await self._call("gateway", self._exchange().ReportUnresolved, request)

    async def evaluate_rows(self, request: evaluator_pb2.EvaluateRowsRequest) -> evaluator_pb2.EvaluateRowsResponse:
        """Call EvaluatorService.EvaluateRows of the gateway."""
        stub = self._stub("gateway", evaluator_pb2_grpc.EvaluatorServiceStub)
        return await self._call("gateway", stub.EvaluateRows, request)

    async def record(self, request: consents_pb2.RecordRequest) -> consents_pb2.RecordResponse:
        """Call ConsentService.Record of the ledger."""
        stub = self._stub("ledger", consents_pb2_grpc.ConsentServiceStub)
        return await self._call("ledger", stub.Record, request)

    async def get_record(self, request: consents_pb2.GetRecordRequest) -> consents_pb2.GetRecordResponse:
        """Call ConsentService.GetRecord of the ledger."""
        stub = self._stub("ledger", consents_pb2_grpc.ConsentServiceStub)
        return await self._call("ledger", stub.GetRecord, request)

    async def preview_erasure(self, request: consents_pb2.PreviewErasureRequest) -> consents_pb2.PreviewErasureResponse:
        """Call ConsentService.PreviewErasure of the ledger."""
        stub = self._stub("ledger", consents_pb2_grpc.ConsentServiceStub)
        return await self._call("ledger", stub.PreviewErasure, request)

    async def erase(self, request: consents_pb2.EraseRequest) -> consents_pb2.EraseResponse:
        """Call ConsentService.Erase of the ledger."""
        stub = self._stub("ledger", consents_pb2_grpc.ConsentServiceStub)
        return await self._call("ledger", stub.Erase, request)

    async def get_copy(self, request: exchange_pb2.GetCopyRequest) -> exchange_pb2.GetCopyResponse:
        """Call ExchangeService.GetCopy."""
        return await self._call("gateway", self._exchange().GetCopy, request)

    async def get_entry(self, request: consents_pb2.GetEntryRequest) -> consents_pb2.GetEntryResponse:
        """Call ConsentService.GetEntry of the ledger."""
        return await self._call("ledger", self._consent().GetEntry, request)

    async def get_proof(self, request: consents_pb2.GetProofRequest) -> consents_pb2.GetProofResponse:
        """Call ConsentService.GetProof of the ledger."""
        return await self._call("ledger", self._consent().GetProof, request)

    async def get_chain(self, request: consents_pb2.GetChainRequest) -> consents_pb2.GetChainResponse:
        """Call ConsentService.GetChain of the ledger."""
        return await self._call("ledger", self._consent().GetChain, request)

    async def open_copy(self, request: consents_pb2.OpenCopyRequest) -> consents_pb2.OpenCopyResponse:
        """Call ConsentService.OpenCopy of the ledger."""
        return await self._call("ledger", self._consent().OpenCopy, request)

    async def get_summary(self, request: consents_pb2.GetSummaryRequest) -> consents_pb2.GetSummaryResponse:
        """Call ConsentService.GetSummary of the ledger."""
        return await self._call("ledger", self._consent().GetSummary, request)

    async def get_others(self, request: consents_pb2.GetOthersRequest) -> consents_pb2.GetOthersResponse:
        """Call ConsentService.GetOthers of the ledger."""
        return await self._call("ledger", self._consent().GetOthers, request)

    async def checkpoint(self) -> str:
        """Return the ledger's newest signed checkpoint, as it gave it."""
        stub = self._stub("ledger", log_pb2_grpc.LogServiceStub)
        answer = await self._call("ledger", stub.GetCheckpoint, log_pb2.GetCheckpointRequest())
        return str(answer.checkpoint)

    async def published_checkpoint(self) -> str:
        """Call LogService.GetCheckpoint of the ledger for the published one."""
        request = log_pb2.GetCheckpointRequest(published=True)
        return str((await self._call("ledger", self._log().GetCheckpoint, request)).checkpoint)

    async def inclusion(self, index: int, size: int) -> Sequence[bytes]:
        """Call LogService.GetInclusionProof of the ledger."""
        request = log_pb2.GetInclusionProofRequest(index=index, size=size)
        return list((await self._call("ledger", self._log().GetInclusionProof, request)).hashes)

    async def consistency(self, old_size: int, new_size: int) -> Sequence[bytes]:
        """Call LogService.GetConsistencyProof of the ledger."""
        request = log_pb2.GetConsistencyProofRequest(old_size=old_size, new_size=new_size)
        return list((await self._call("ledger", self._log().GetConsistencyProof, request)).hashes)

    async def public_events(self) -> log_pb2.GetPublicEventsResponse:
        """Call LogService.GetPublicEvents of the ledger."""
        return await self._call("ledger", self._log().GetPublicEvents, log_pb2.GetPublicEventsRequest())

    async def entries(self, start: int, count: int) -> list[bytes]:
        """Return at most ``count`` entries of the log from ``start``."""
        stub = self._stub("ledger", log_pb2_grpc.LogServiceStub)
        answer = await self._call("ledger", stub.GetEntries, log_pb2.GetEntriesRequest(start=start, count=count))
        return list(answer.entries)

    async def events(self, indices: Sequence[int]) -> log_pb2.GetEventsResponse:
        """Return entries of the log with their proofs, opened as far as this organisation may see them; unverified."""
        stub = self._stub("ledger", log_pb2_grpc.LogServiceStub)
        return await self._call("ledger", stub.GetEvents, log_pb2.GetEventsRequest(indices=indices))

    async def close(self) -> None:
        """Close all connections."""
        await self._directory.close()
        for channel in self._channels.values():
            await channel.close()

    def _channel(self, role: Role) -> grpc.aio.Channel:
        if role not in self._channels:
            self._channels[role] = open_channel(self._home, self._organisation, role)
        return self._channels[role]

    def _stub(self, role: Role, make: Callable[[grpc.aio.Channel], T]) -> T:
        """Return the stub of a service; making one makes all methods of it, so it is made once."""
        if (role, make) not in self._stubs:
            self._stubs[role, make] = make(self._channel(role))
        stub: T = self._stubs[role, make]
        return stub

    def _consent(self) -> consents_pb2_grpc.ConsentServiceAsyncStub:
        return self._stub("ledger", consents_pb2_grpc.ConsentServiceStub)

    def _log(self) -> log_pb2_grpc.LogServiceAsyncStub:
        return self._stub("ledger", log_pb2_grpc.LogServiceStub)

    def _exchange(self) -> exchange_pb2_grpc.ExchangeServiceAsyncStub:
        return self._stub("gateway", exchange_pb2_grpc.ExchangeServiceStub)

    async def _call(
        self, role: Role, method: Callable[..., Awaitable[T]], request: Message, seconds: float = CALL_SECONDS
    ) -> T:
        try:
            return await method(request, timeout=seconds, metadata=traces.outgoing())
        except grpc.aio.AioRpcError as error:
            raise await explained(error, self._home, self._organisation, role, self._clock) from None


async def patiently(call: Callable[[], Awaitable[T]], seconds: float, pause: Pause = asyncio.sleep) -> T:
    """Return the call's answer, trying again with growing pauses of at most ``seconds`` in all while it is unreachable.

    INTERNAL is tried again too: the server cannot say whether it did what was asked. Other refusals are raised at once.
    """
    waited, wait = 0.0, FIRST_PAUSE
    while True:
        try:
            return await call()
        except RegieError as error:
            if error.reason not in UNREACHABLE | {"INTERNAL"} or waited >= seconds:
                raise
        await pause(wait)
        waited, wait = waited + wait, min(2 * wait, LONGEST_PAUSE)
