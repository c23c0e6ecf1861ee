"""ExchangeService: what agencies call. Protobuf ends here."""

from __future__ import annotations

from collections.abc import Callable

from consent_ledger.registry import Participant
from consent_ledger.v1.batch_pb2 import BatchHeader
from gateway.crypto.batch import SealedBatch
from gateway.directory.identity import Context, require_same
from gateway.evaluator.hop import SHAVED_SECONDS, seconds_left
from gateway.exchange.delivery import Deliverer
from gateway.exchange.submit import Submitter
from gateway.exchange.unresolved import UnresolvedCounts
from gateway.telemetry import traces
from gateway.v1 import exchange_pb2 as pb
from gateway.v1 import exchange_pb2_grpc
from gateway.validation import parse


class ExchangeService(exchange_pb2_grpc.ExchangeServiceServicer):
    """Names the caller, checks that the message speaks for it, and hands on."""

    def __init__(
        self,
        submitter: Submitter,
        deliverer: Deliverer,
        counts: UnresolvedCounts,
        peer: Callable[[Context], Participant],
        hop_seconds: float,
    ) -> None:
        self._submitter, self._deliverer, self._counts = submitter, deliverer, counts
        self._peer, self._hop_seconds = peer, hop_seconds

    async def SubmitBatch(  # noqa: N802 - gRPC's name
        self, request: pb.SubmitBatchRequest, context: Context
    ) -> pb.SubmitBatchResponse:
        """Decide a batch of the caller."""
        header = parse(BatchHeader, request.header, "header")
        require_same(header.sender, self._peer(context), "header.sender")
        traces.describe(purpose=header.purpose, sender=header.sender, recipient=header.recipient, count=header.count)
        seconds = seconds_left(context, self._hop_seconds)
        answer = await self._submitter.submit(sealed_batch(request), header, seconds)
        return pb.SubmitBatchResponse(decision_list=answer.decision_list, ledger_signature=answer.ledger_signature)

    async def Pull(self, request: pb.PullRequest, context: Context) -> pb.PullResponse:  # noqa: N802 - gRPC's name
        """Offer batches to the caller, or deliver those it pulls."""
        caller = self._peer(context)
        if request.pulls:
            seconds = seconds_left(context, self._hop_seconds)
            return pb.PullResponse(deliveries=await self._deliverer.deliver(caller, request.pulls, seconds))
        remaining = context.time_remaining()
        wait = float(request.wait_seconds)
        if remaining is not None:
            wait = max(0.0, min(wait, remaining - 2 * SHAVED_SECONDS))
        offers = await self._deliverer.offer(caller.oin, request.max_batches, wait)
        return pb.PullResponse(
            offers=[
                pb.Offer(
                    header=offer.header,
                    permitted=offer.permitted,
                    leased_until_ms=offer.leased_until_ms,
                    traceparent=offer.traceparent,
                )
                for offer in offers
            ]
        )

    async def Acknowledge(  # noqa: N802 - gRPC's name
        self, request: pb.AcknowledgeRequest, context: Context
    ) -> pb.AcknowledgeResponse:
        """Note that the caller has a batch."""
        seconds = seconds_left(context, self._hop_seconds)
        await self._deliverer.acknowledge(self._peer(context), request.acknowledgement, seconds)
        return pb.AcknowledgeResponse()

    async def ReportOutcome(  # noqa: N802 - gRPC's name
        self, request: pb.ReportOutcomeRequest, context: Context
    ) -> pb.ReportOutcomeResponse:
        """Relay what the caller did with a signal."""
        seconds = seconds_left(context, self._hop_seconds)
        index = await self._deliverer.report(self._peer(context), request.report, seconds)
        return pb.ReportOutcomeResponse(log_index=index)

    async def ListTasks(  # noqa: N802 - gRPC's name
        self, request: pb.ListTasksRequest, context: Context
    ) -> pb.ListTasksResponse:
        """Relay what is asked of the caller."""
        seconds = seconds_left(context, self._hop_seconds)
        answer = await self._deliverer.tasks(self._peer(context), request.list, seconds)
        return pb.ListTasksResponse(list=answer)

    async def ReportTask(  # noqa: N802 - gRPC's name
        self, request: pb.ReportTaskRequest, context: Context
    ) -> pb.ReportTaskResponse:
        """Relay what the caller did about a task."""
        seconds = seconds_left(context, self._hop_seconds)
        index = await self._deliverer.report_task(self._peer(context), request.report, seconds)
        return pb.ReportTaskResponse(log_index=index)

    async def DeclareSupport(  # noqa: N802 - gRPC's name
        self, request: pb.DeclareSupportRequest, context: Context
    ) -> pb.DeclareSupportResponse:
        """Relay through which channels the caller can approach residents."""
        seconds = seconds_left(context, self._hop_seconds)
        index = await self._deliverer.declare(self._peer(context), request.declare, seconds)
        return pb.DeclareSupportResponse(log_index=index)

    async def GetCopy(  # noqa: N802 - gRPC's name
        self, request: pb.GetCopyRequest, context: Context
    ) -> pb.GetCopyResponse:
        """Return the sealed copy of one signal to the viewer."""
        self._peer(context)
        return await self._deliverer.copy(request.header_hash, request.position)

    async def ReportUnresolved(  # noqa: N802 - gRPC's name
        self, request: pb.ReportUnresolvedRequest, context: Context
    ) -> pb.ReportUnresolvedResponse:
        """Keep how many signals of a closed day the caller could not resolve."""
        await self._counts.report(self._peer(context), request)
        return pb.ReportUnresolvedResponse()


def sealed_batch(request: pb.SubmitBatchRequest) -> SealedBatch:
    """Return the batch of a request; both have the same fields."""
    return SealedBatch(**{name: getattr(request, name) for name in SealedBatch.__dataclass_fields__})
