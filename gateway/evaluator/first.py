"""T1: rows are evaluated first at the gateway, then at T2; the caller gets both proofs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc

from consent_ledger.errors import RegieError
from consent_ledger.registry import Participant, Registry
from gateway.crypto import rows
from gateway.crypto.oprf import Domain
from gateway.database import Database
from gateway.directory.identity import Context, require_same
from gateway.evaluator import messages, rules, stores
from gateway.evaluator.hop import ask, seconds_left
from gateway.evaluator.keys import EvaluatorKeys
from gateway.settings import Means
from gateway.telemetry import traces
from gateway.v1 import evaluator_pb2 as pb
from gateway.v1 import evaluator_pb2_grpc
from gateway.validation import parse


class FirstEvaluator(evaluator_pb2_grpc.EvaluatorServiceServicer):
    """Serves row owners: recipients in their own domains, the portal in the ledger's."""

    def __init__(
        self,
        keys: EvaluatorKeys,
        database: Database,
        registry: Callable[[], Registry],
        peer: Callable[[Context], Participant],
        pseudonyms: grpc.aio.Channel,
        *,
        means: Means,
    ) -> None:
        self._keys, self._database, self._registry, self._peer = keys, database, registry, peer
        self._settings, self._clock, self._pool, self._rng = means.settings, means.clock, means.pool, means.rng
        self._second = evaluator_pb2_grpc.EvaluatorServiceStub(pseudonyms)

    async def EvaluateRows(  # noqa: N802 - gRPC's name
        self, request: pb.EvaluateRowsRequest, context: Context
    ) -> pb.EvaluateRowsResponse:
        """Return Y = s1*B and Z = s2*Y with their proofs, in the order asked."""
        asked = parse(pb.RowRequest, request.request, "request")
        caller, registry = self._peer(context), self._registry()
        require_same(asked.caller, caller, "request.caller")
        if request.HasField("first"):
            raise RegieError("FIELD_INVALID", "only the gateway sends an evaluation", "first")
        public = caller.key_by_id(asked.caller_key_id).public
        rows.verify_request(public, request.request, request.blinded, request.signature)
        expires_ms = rules.require_recent(asked, self._clock(), self._settings)
        rules.require_epoch(asked.epoch, self._settings, "request.epoch")
        domain = rules.row_domain(asked, caller, registry)
        count = messages.row_count(request.blinded)
        traces.describe(purpose=asked.purpose, sender=asked.caller, recipient=asked.target, count=count)

        charge = rules.row_charge(asked, caller, count, self._clock(), self._settings)
        once = stores.Request("rows", asked.caller, asked.request_id, messages.rows_hash(request), expires_ms)
        await self._database.run(lambda connection: stores.claim_and_charge(connection, once, charge))
        first = await asyncio.get_running_loop().run_in_executor(self._pool, self._evaluate, domain, request.blinded)
        onward = pb.EvaluateRowsRequest(
            request=request.request,
            blinded=request.blinded,
            signature=request.signature,
            first=messages.to_evaluation(first),
        )
        seconds = seconds_left(context, self._settings.hop_seconds)
        answer = await ask(self._second.EvaluateRows, onward, seconds, "EVALUATOR_UNAVAILABLE")
        return pb.EvaluateRowsResponse(first=onward.first, second=answer.second)

    async def EvaluateSignals(  # noqa: N802 - gRPC's name
        self, _request: pb.EvaluateSignalsRequest, _context: Context
    ) -> pb.EvaluateSignalsResponse:
        """Refuse: signals are evaluated first inside SubmitBatch. The table of kinds lets nobody come this far."""
        raise RegieError("PEER_KIND_NOT_SERVED", "signals are submitted to ExchangeService")

    def _evaluate(self, domain: Domain, blinded: bytes) -> rows.Evaluation:
        factor, key = self._keys.proven(domain)
        return rows.evaluate(factor, key, blinded, self._rng, self._pool)
