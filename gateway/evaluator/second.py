"""T2: the second evaluation, by another operator than the gateway and the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from consent_ledger.errors import RegieError
from consent_ledger.registry import Participant, Registry
from consent_ledger.v1.batch_pb2 import BatchHeader
from gateway.crypto import hpke, pseudonyms_side, rows
from gateway.crypto.oprf import Domain
from gateway.database import Database
from gateway.directory.identity import Context, require_same
from gateway.evaluator import messages, rules, stores
from gateway.evaluator.keys import EvaluatorKeys
from gateway.evaluator.rules import FEW
from gateway.settings import Means
from gateway.telemetry import traces
from gateway.v1 import evaluator_pb2 as pb
from gateway.v1 import evaluator_pb2_grpc
from gateway.validation import parse


class SecondEvaluator(evaluator_pb2_grpc.EvaluatorServiceServicer):
    """Serves the gateway. Every request is claimed and charged durably before it is answered (pseudonyms.md rule 1)."""

    def __init__(
        self,
        keys: EvaluatorKeys,
        private: hpke.PrivateKey,
        database: Database,
        registry: Callable[[], Registry],
        peer: Callable[[Context], Participant],
        *,
        means: Means,
    ) -> None:
        self._keys, self._private, self._database = keys, private, database
        self._registry, self._peer = registry, peer
        self._settings, self._clock, self._pool, self._rng = means.settings, means.clock, means.pool, means.rng

    async def EvaluateSignals(  # noqa: N802 - gRPC's name
        self, request: pb.EvaluateSignalsRequest, context: Context
    ) -> pb.EvaluateSignalsResponse:
        """Take the sender's blinding off a batch and add our factor: E_t = (s2_t * tau_t) * Y_t."""
        header = parse(BatchHeader, request.header, "header")
        traces.describe(purpose=header.purpose, sender=header.sender, recipient=header.recipient, count=header.count)
        require_same(header.gateway, self._peer(context), "header.gateway")
        sender = self._check_header(header)
        pseudonyms_side.verify_sender(sender, request.header, request.sealed_pseudonyms, request.signature)
        charge = rules.signal_charge(header, self._clock(), self._settings)
        once = stores.Request(
            "signals", header.sender, header.batch_id, messages.signals_hash(request), header.expires_ms
        )
        claim = self._database.run(lambda connection: stores.claim_and_charge(connection, once, charge))
        if header.count <= FEW:  # both at once: nothing leaves before the claim is durable
            with traces.stage("evaluate"):
                _, (ledger, recipient) = await asyncio.gather(claim, self._evaluate_here(header, request))
        else:
            await claim
            loop = asyncio.get_running_loop()
            with traces.stage("evaluate"):
                ledger, recipient = await loop.run_in_executor(self._pool, self._second_signals, header, request)
        return pb.EvaluateSignalsResponse(ledger_elements=ledger, recipient_elements=recipient)

    async def _evaluate_here(self, header: BatchHeader, request: pb.EvaluateSignalsRequest) -> tuple[bytes, bytes]:
        return self._second_signals(header, request)

    def _second_signals(self, header: BatchHeader, request: pb.EvaluateSignalsRequest) -> tuple[bytes, bytes]:
        ledger, recipient = rules.domains(header)
        return pseudonyms_side.second_evaluation(
            self._private,
            request.header,
            request.sealed_pseudonyms,
            (request.ledger_elements, request.recipient_elements),
            (self._keys.factor(ledger), self._keys.factor(recipient)),
            count=header.count,
            workers=self._pool,
        )

    def _check_header(self, header: BatchHeader) -> bytes:
        """Return the sender's signing key."""
        if header.pseudonyms != self._keys.oin:
            raise RegieError("FIELD_INVALID", "this batch names another pseudonym service", "header.pseudonyms")
        if header.pseudonyms_key_id != self._private.key_id:
            raise RegieError("KEY_UNKNOWN", "the batch is sealed to another key than ours", "header.pseudonyms_key_id")
        rules.require_fresh(header.created_ms, header.expires_ms, self._clock())
        rules.require_epoch(header.ledger_epoch, self._settings, "header.ledger_epoch")
        rules.require_epoch(header.recipient_epoch, self._settings, "header.recipient_epoch")
        return _active(self._registry(), header.sender, "header.sender").key_by_id(header.sender_key_id).public

    async def EvaluateRows(  # noqa: N802 - gRPC's name
        self, request: pb.EvaluateRowsRequest, _context: Context
    ) -> pb.EvaluateRowsResponse:
        """Check the caller and T1 ourselves, then evaluate T1's elements with a proof: T1 alone can ask for nothing."""
        asked = parse(pb.RowRequest, request.request, "request")
        if not request.HasField("first"):
            raise RegieError("FIELD_INVALID", "expected the gateway's evaluation", "first")
        registry, count = self._registry(), messages.row_count(request.blinded)
        caller = _active(registry, asked.caller, "request.caller")
        public = caller.key_by_id(asked.caller_key_id).public
        rows.verify_request(public, request.request, request.blinded, request.signature)
        expires_ms = rules.require_recent(asked, self._clock(), self._settings)
        rules.require_epoch(asked.epoch, self._settings, "request.epoch")
        domain = rules.row_domain(asked, caller, registry)
        first = messages.from_evaluation(request.first)
        rows.verify_domain_key(registry.operator("gateway").key("sign").public, domain, first.key)
        loop = asyncio.get_running_loop()
        elements = await loop.run_in_executor(self._pool, rows.verify_evaluation, request.blinded, first, self._pool)

        charge = rules.row_charge(asked, caller, count, self._clock(), self._settings)
        once = stores.Request("rows", asked.caller, asked.request_id, messages.rows_hash(request), expires_ms)

        def claim(connection: Connection) -> None:
            stores.pin(connection, first.key.domain, first.key.public_key)
            stores.claim_and_charge(connection, once, charge)

        await self._database.run(claim)
        second = await loop.run_in_executor(self._pool, self._second_rows, domain, elements)
        return pb.EvaluateRowsResponse(first=request.first, second=messages.to_evaluation(second))

    def _second_rows(self, domain: Domain, elements: Sequence[bytes]) -> rows.Evaluation:
        factor, key = self._keys.proven(domain)
        return rows.evaluate_decoded(factor, key, elements, self._rng, self._pool)


def _active(registry: Registry, oin: str, field: str) -> Participant:
    participant = registry.participant(oin)
    if participant.suspended:
        raise RegieError("PARTY_UNKNOWN", f"organisation {oin} is suspended", field)
    return participant
