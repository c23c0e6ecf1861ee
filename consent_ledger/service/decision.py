"""DecisionService: the gateway asks, the ledger decides. Called by the gateway only; identifiers never come here.

Signatures are checked and group operations run in the pool, before the sequencer: its thread only decides and writes.
"""

# ruff: noqa: N802  (methods have the names of the contract)
from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from hashlib import sha256
from typing import Any, TypeVar

import grpc.aio

from consent_ledger.clock import Clock
from consent_ledger.errors import RegieError
from consent_ledger.registry import Participant
from consent_ledger.sequencer import Sequencer
from consent_ledger.service.ports import LedgerCrypto, NoTracer, Peer, Tracer
from consent_ledger.service.tasks import TaskDesk
from consent_ledger.service.tracing import trace_context
from consent_ledger.service.validation import parse
from consent_ledger.v1 import batch_pb2, events_pb2
from consent_ledger.v1 import decisions_pb2 as pb
from consent_ledger.v1.decisions_pb2_grpc import DecisionServiceServicer
from consent_ledger.writing.afterwards import AcknowledgeWork, OutcomeWork
from consent_ledger.writing.decision import DecideWork, check_fresh
from consent_ledger.writing.release import ReleaseWork
from consent_ledger.writing.support import SupportWork
from consent_ledger.writing.work import Work

SUITE = "regie-ristretto255-sha512-mlkem768x25519/1"
LEDGER_EPOCH = 1
"""The epoch of the ledger's domains; a rotation of it is a change of this constant and of every row."""

FEW = 4
"""Signals of one batch whose opening takes less than a millisecond."""

Context = grpc.aio.ServicerContext[Any, Any]
Result = TypeVar("Result")
Counted = Callable[[str, Mapping[int, int]], None]


class DecisionService(DecisionServiceServicer):
    """Decisions on exchanges, over one sequencer."""

    def __init__(
        self,
        sequencer: Sequencer,
        crypto: LedgerCrypto,
        clock: Clock,
        pool: Executor,
        peer: Peer,
        *,
        tracer: Tracer | None = None,
        counted: Counted = lambda _purpose, _reasons: None,
    ) -> None:
        """Serve with these keys; ``peer`` names who calls, ``pool`` runs group operations.

        ``counted`` is told the purpose of each decided batch and how often each reason held; of a repeat, nothing.
        """
        self._tracer = tracer or NoTracer()
        self._counted = counted
        self._sequencer = sequencer
        self._crypto = crypto
        self._clock = clock
        self._pool = pool
        self._peer = peer
        self._tasks = TaskDesk(sequencer, crypto)

    async def Decide(self, request: pb.DecideRequest, context: Context) -> pb.DecideResponse:
        """Decide a batch; the answer is signed and durable."""
        self._check_peer(context)
        trace_id, span_id = trace_context(context)
        with self._tracer.stage("open"):
            if len(request.evaluated) <= 32 * FEW:  # opened sooner than handed to another thread
                work = self._prepare_decide(request, trace_id, span_id)
            else:
                work = await self._in_pool(lambda: self._prepare_decide(request, trace_id, span_id))
            header = work.header
            self._tracer.describe(
                purpose=header.purpose, sender=header.sender, recipient=header.recipient, count=header.count
            )
        answer = await self._run(work)
        self._counted(header.purpose, work.reasons)
        return answer

    async def Release(self, request: pb.ReleaseRequest, context: Context) -> pb.ReleaseResponse:
        """Release a batch to the recipient that signed the pull."""
        self._check_peer(context)
        trace_id, span_id = trace_context(context)
        return await self._prepared(lambda: self._prepare_release(request.pull, trace_id, span_id))

    async def Acknowledge(self, request: pb.AcknowledgeRequest, context: Context) -> pb.AcknowledgeResponse:
        """Record that the recipient has the batch."""
        self._check_peer(context)
        return await self._prepared(lambda: self._prepare_acknowledge(request))

    async def ReportOutcome(self, request: pb.ReportOutcomeRequest, context: Context) -> pb.ReportOutcomeResponse:
        """Record what the recipient did."""
        self._check_peer(context)
        return await self._prepared(lambda: self._prepare_outcome(request))

    async def ListTasks(self, request: pb.ListTasksRequest, context: Context) -> pb.ListTasksResponse:
        """Tell an organisation what it is asked to do, sealed to it."""
        self._check_peer(context)
        return await self._in_pool(lambda: self._tasks.listed(request, self._clock()))

    async def ReportTask(self, request: pb.ReportTaskRequest, context: Context) -> pb.ReportTaskResponse:
        """Record what an organisation did about a task."""
        self._check_peer(context)
        return await self._prepared(lambda: self._tasks.work(request))

    async def DeclareSupport(self, request: pb.DeclareSupportRequest, context: Context) -> pb.DeclareSupportResponse:
        """Publish through which channels a recipient can approach residents."""
        self._check_peer(context)
        return await self._prepared(lambda: self._prepare_support(request))

    # -- preparing: everything that needs no transaction ------------------------------------------------------------

    def _prepare_decide(self, request: pb.DecideRequest, trace_id: bytes, span_id: bytes) -> DecideWork:
        header = self._header(request.header)
        check_fresh(header, self._clock())
        header_hash = self._crypto.header_hash(request.header)
        sender = self._sequencer.registry.participant(header.sender)
        key = _signing_key(sender, header.sender_key_id, "header.sender_key_id")
        self._crypto.verify_sender(key, header_hash, request.sealed_ledger, request.root, request.signature)
        opened = self._crypto.open_batch(
            header.purpose, header.ledger_epoch, header_hash, request.sealed_ledger, request.evaluated
        )
        positions, subjects = tuple(opened.positions), tuple(opened.subjects)
        if not len(positions) == len(subjects) == len(opened.severities) == header.count:
            raise RegieError("SEALED_PART_INVALID", "header and sealed part count different signals")
        return DecideWork(
            header=header,
            header_bytes=request.header,
            header_hash=header_hash,
            request_hash=decide_request_hash(request, header_hash),
            root=request.root,
            positions=positions,
            subjects=subjects,
            opening=opened.opening,
            sign=self._signs(b"regie/s/decision/v1"),
            trace_id=trace_id,
            span_id=span_id,
            severities=tuple(opened.severities),
        )

    def _header(self, data: bytes) -> batch_pb2.BatchHeader:
        """Parse a header and check that it is meant for this ledger and its current key."""
        if _suite(data) != SUITE:
            raise RegieError("SUITE_UNKNOWN", f"expected suite {SUITE}", field="header.suite")
        header = parse(batch_pb2.BatchHeader, data, "header")
        if header.ledger != self._sequencer.registry.operator("ledger").oin:
            raise RegieError("FIELD_INVALID", "this batch is for another ledger", field="header.ledger")
        if header.ledger_key_id != self._crypto.key_id:
            raise RegieError("KEY_UNKNOWN", "this is not the ledger's current key", field="header.ledger_key_id")
        if header.ledger_epoch != LEDGER_EPOCH:
            raise RegieError("FIELD_INVALID", f"expected epoch {LEDGER_EPOCH}", field="header.ledger_epoch")
        return header

    def _prepare_release(self, signed: pb.SignedPull, trace_id: bytes, span_id: bytes) -> ReleaseWork:
        pull = parse(pb.Pull, signed.pull, "pull")
        recipient, key = self._signer(pull.recipient, pull.recipient_key_id)
        digest = sha256(signed.pull).digest()
        self._crypto.verify(key, b"regie/s/pull/v1", signed.signature, digest)
        public = recipient.key("hpke").public

        def seal(content: bytes) -> bytes:
            return self._crypto.seal_release(public, pull.header_hash, pull.nonce, content)

        seal(b"")  # a key that cannot be sealed to is this request's error here; in the writer it would be fatal
        return ReleaseWork(
            pull=pull,
            request_hash=digest,
            seal=seal,
            sign=self._signs(b"regie/s/release/v1"),
            trace_id=trace_id,
            span_id=span_id,
        )

    def _prepare_acknowledge(self, request: pb.AcknowledgeRequest) -> AcknowledgeWork:
        said = parse(pb.Acknowledgement, request.acknowledgement, "acknowledgement")
        _, key = self._signer(said.recipient, said.recipient_key_id)
        digest = sha256(request.acknowledgement).digest()
        self._crypto.verify(key, b"regie/s/ack/v1", request.signature, digest)
        return AcknowledgeWork(said)

    def _prepare_outcome(self, request: pb.ReportOutcomeRequest) -> OutcomeWork:
        _, key = self._signer(request.recipient, request.recipient_key_id)
        digest = sha256(request.sealed).digest()
        self._crypto.verify(key, b"regie/s/outcome/v1", request.signature, request.header_hash, digest)
        report = parse(pb.OutcomeReport, self._crypto.open_outcome(request.header_hash, request.sealed), "report")
        name = sha256(b"regie/outcome/v1" + request.header_hash + digest).digest()
        return OutcomeWork(request.header_hash, request.recipient, report, name)

    def _prepare_support(self, request: pb.DeclareSupportRequest) -> SupportWork:
        said = parse(events_pb2.SupportDeclaration, request.declaration, "declaration")
        _, key = self._signer(said.oin, request.key_id)
        digest = sha256(request.declaration).digest()
        self._crypto.verify(key, b"regie/s/support/v1", request.signature, digest)
        return SupportWork(said, request)

    def _signer(self, oin: str, key_id: bytes) -> tuple[Participant, bytes]:
        """Return who says it signed, and its active public signing key of that id."""
        participant = self._sequencer.registry.participant(oin)
        return participant, _signing_key(participant, key_id, "recipient_key_id")

    # -- plumbing ---------------------------------------------------------------------------------------------------

    def _check_peer(self, context: Context) -> None:
        check_kind(self._peer(context), "gateway")

    def _signs(self, label: bytes) -> Callable[[bytes], bytes]:
        return lambda message: self._crypto.sign(label, sha256(message).digest())

    async def _in_pool(self, function: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    async def _prepared(self, prepare: Callable[[], Work[Result]]) -> Result:
        with self._tracer.stage("open"):
            work = await self._in_pool(prepare)
        return await self._run(work)

    async def _run(self, work: Work[Result]) -> Result:
        """Wait for the writer: its queue and the commit."""
        with self._tracer.stage("decide"):
            return await asyncio.wrap_future(self._sequencer.submit(work))


def check_kind(peer: Participant, kind: str) -> None:
    """Raise RegieError PEER_KIND_NOT_SERVED unless the caller is of the one kind that is served."""
    if peer.kind != kind:
        raise RegieError("PEER_KIND_NOT_SERVED", f"only the {kind} may call this, not a {peer.kind}")


def decide_request_hash(request: pb.DecideRequest, header_hash: bytes) -> bytes:
    """Return SHA-256("regie/decide/v1" || hh || SHA-256(toL) || root || SHA-256(E_L)) (decisions.proto)."""
    sealed, evaluated = sha256(request.sealed_ledger).digest(), sha256(request.evaluated).digest()
    return sha256(b"regie/decide/v1" + header_hash + sealed + request.root + evaluated).digest()


def _signing_key(participant: Participant, key_id: bytes, field: str) -> bytes:
    key = participant.key_by_id(key_id)
    if key.usage != "sign":
        raise RegieError("KEY_UNKNOWN", "this key is not for signing", field=field)
    return key.public


def _suite(header: bytes) -> str:
    """Read the suite ahead of everything else: other suites may have other rules."""
    try:
        return batch_pb2.BatchHeader.FromString(header).suite
    except Exception:  # noqa: BLE001  (unreadable: `parse` says so)
        return SUITE
