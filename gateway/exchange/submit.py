"""Submitting a batch: admit, evaluate, ask T2 and the ledger, store, and only then answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError
from sqlalchemy import Connection

from consent_ledger.clock import DAY_MS
from consent_ledger.errors import RegieError
from consent_ledger.hashing import length_prefixed, sha256
from consent_ledger.registry import Registry
from consent_ledger.v1 import decisions_pb2, decisions_pb2_grpc, events_pb2
from consent_ledger.v1.batch_pb2 import BatchHeader
from gateway.crypto import gateway_side, signatures
from gateway.crypto.batch import SealedBatch
from gateway.crypto.gateway_side import Admitted
from gateway.database import Database
from gateway.evaluator import rules, stores
from gateway.evaluator.hop import ask
from gateway.evaluator.keys import EvaluatorKeys
from gateway.evaluator.rules import FEW
from gateway.exchange import inbox, refusals
from gateway.exchange.inbox import Answered, Kept
from gateway.exchange.turns import Turns
from gateway.settings import Means
from gateway.telemetry import traces
from gateway.telemetry.logs import get_logger
from gateway.v1 import evaluator_pb2, evaluator_pb2_grpc

T = TypeVar("T")
LABEL_DECISION = b"regie/s/decision/v1"
Counted = Callable[[BatchHeader, Mapping[events_pb2.Outcome.ValueType, int]], None]
"""Called once with the answers of a batch, when they are stored."""


@dataclass(frozen=True, slots=True)
class _Flight:
    request_hash: bytes
    task: asyncio.Task[Answered]


class Submitter:
    """Decides batches; several at once, but each (sender, batch id) one at a time."""

    def __init__(
        self,
        keys: EvaluatorKeys,
        database: Database,
        registry: Callable[[], Registry],
        *,
        pseudonyms: grpc.aio.Channel,
        ledger: grpc.aio.Channel,
        stored: Callable[[str], None],
        means: Means,
        counted: Counted = lambda _header, _outcomes: None,
    ) -> None:
        self._counted = counted
        self._keys, self._database, self._registry = keys, database, registry
        self._second = evaluator_pb2_grpc.EvaluatorServiceStub(pseudonyms)
        self._decision = decisions_pb2_grpc.DecisionServiceStub(ledger)
        self._stored = stored
        self._settings, self._clock, self._pool = means.settings, means.clock, means.pool
        self._flights: dict[tuple[str, bytes], _Flight] = {}
        self._turns = Turns(self._settings.signals_at_once)

    async def submit(self, batch: SealedBatch, header: BatchHeader, seconds: float) -> Answered:
        """Return the ledger's signed decisions on a batch; ``header`` is the batch's, parsed, and of the caller.

        The same bytes at the same time wait for one piece of work, which goes on when its caller goes away: the sender
        will ask again and find the answer. Raises RegieError.
        """
        once = stores.Request("signals", header.sender, header.batch_id, _request_hash(batch), header.expires_ms)
        key = (once.party, once.id)
        flight = self._flights.get(key)
        if flight is None:
            if len(self._flights) >= self._settings.batches_in_flight:
                raise RegieError("OVERLOADED", "too many batches at once: send this one again in a moment")
            work = _Work(batch, header, once, seconds, traces.traceparent())
            flight = _Flight(once.hash, asyncio.create_task(self._in_turn(work)))
            self._flights[key] = flight
            flight.task.add_done_callback(lambda task: self._landed(key, task))
        elif flight.request_hash != once.hash:
            raise stores.reused(once)
        return await asyncio.shield(flight.task)

    def _landed(self, key: tuple[str, bytes], task: asyncio.Task[Answered]) -> None:
        self._flights.pop(key, None)
        if not task.cancelled():
            task.exception()  # mark as seen: the caller may be gone

    async def finish(self) -> None:
        """Wait for the batches in flight."""
        await asyncio.gather(*(flight.task for flight in self._flights.values()), return_exceptions=True)

    async def _in_turn(self, work: _Work) -> Answered:
        if work.header.count <= FEW:  # done before a turn would come, and nothing to whoever has one
            return await self._decide_once(work)
        async with self._turns.turn(work.header.count):
            return await self._decide_once(work)

    async def _decide_once(self, work: _Work) -> Answered:
        header = work.header
        with traces.stage("admit"):
            admitted = await self._admit(work)
        if isinstance(admitted, Answered):
            return admitted
        with traces.stage("evaluate"):
            first = await self._claim_and_evaluate(work, admitted)
        if isinstance(first, Answered):
            return first
        for_ledger, for_recipient = await self._evaluate_again(work, *first)
        response = await self._ask_ledger(work, admitted, for_ledger)
        with traces.stage("keep"):
            decisions = self._verified(response, work, admitted, for_ledger)
            kept = await self._compute(header.count, self._keep, work, admitted, decisions, for_recipient)
            answer = Answered(response.decision_list, response.signature)
            await self._store(work, answer, kept, decisions)
        if kept is not None:
            self._stored(header.recipient)
        return answer

    async def _store(
        self, work: _Work, answer: Answered, kept: Kept | None, decisions: decisions_pb2.DecisionList
    ) -> None:
        header, most = work.header, self._settings.sender_refusals_per_hour
        outcomes = Counter(decisions.outcomes)
        refused = header.count - outcomes[events_pb2.OUTCOME_ACCEPTED]

        def store(connection: Connection) -> tuple[bool, bool]:
            if not inbox.store(connection, work.once, answer, kept):
                return False, False
            now_ms = self._clock()
            return True, refusals.settle(
                connection, header.sender, header.count, refused=refused, now_ms=now_ms, most=most
            )

        fresh, too_many = await self._database.run(store)
        if fresh:
            self._counted(header, outcomes)
        if too_many:
            refusals.alarm(header.sender, most)

    async def _admit(self, work: _Work) -> Admitted | Answered:
        """Check a batch; one that was answered before has that answer, whatever is wrong with it by now."""
        header = work.header
        if header.count > FEW and (known := await self._answered_before(work)) is not None:
            return known  # of a few, the claim finds it: checking them again costs less than looking twice
        try:
            self._check(header)
            sender = self._registry().participant(header.sender).key_by_id(header.sender_key_id).public
            return await self._compute(header.count, gateway_side.admit, work.batch, sender, header.count, self._pool)
        except RegieError:
            known = await self._answered_before(work)
            if known is None:
                raise
            return known

    async def _claim_and_evaluate(self, work: _Work, admitted: Admitted) -> tuple[bytes, bytes] | Answered:
        """Claim a batch and evaluate it; of a few signals both at once, since nothing leaves before both are done."""
        header = work.header
        if header.count > FEW:
            if (known := await self._claim(work)) is not None:
                return known
            return await self._compute(header.count, self._first, admitted, header)
        known, first = await asyncio.gather(self._claim(work), self._evaluate_here(admitted, header))
        return known or first

    async def _evaluate_here(self, admitted: Admitted, header: BatchHeader) -> tuple[bytes, bytes]:
        return self._first(admitted, header)

    async def _answered_before(self, work: _Work) -> Answered | None:
        return await self._database.run(lambda connection: inbox.find_answer(connection, work.once))

    async def _compute(self, count: int, function: Callable[..., T], *arguments: object) -> T:
        """Run what ``count`` signals cost: of a few here, since that is less than going to another thread and back."""
        if count <= FEW:
            return function(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    def _check(self, header: BatchHeader) -> None:
        """Check what a header says about time, epochs and operators; who may receive is the ledger's to decide."""
        rules.require_fresh(header.created_ms, header.expires_ms, self._clock())
        rules.require_epoch(header.ledger_epoch, self._settings, "header.ledger_epoch")
        rules.require_epoch(header.recipient_epoch, self._settings, "header.recipient_epoch")
        registry = self._registry()
        for role in ("gateway", "pseudonyms", "ledger", "viewer"):
            expected, named = registry.operator(role).oin, getattr(header, role)
            if named != expected:
                raise RegieError("FIELD_INVALID", f"expected {role} {expected}, got another", f"header.{role}")

    async def _claim(self, work: _Work) -> Answered | None:
        """Remember the batch and charge its sender once, before anybody else hears of it (pseudonyms.md rule 1).

        Returns the answer when it was answered before. A crash after this costs nothing: the same bytes pass it again
        without being charged.
        """
        header, now_ms = work.header, self._clock()
        charge = rules.signal_charge(header, now_ms, self._settings)
        most = self._settings.sender_refusals_per_hour

        def claim(connection: Connection) -> Answered | None:
            if not stores.claim(connection, work.once):
                return inbox.find_answer(connection, work.once)
            refusals.admit(connection, header.sender, header.count, now_ms, most)
            stores.charge(connection, charge)
            return None

        try:
            return await self._database.run(claim)
        except RegieError as error:
            if error.reason == "QUOTA_EXCEEDED":
                away = header.sender, header.count, now_ms
                await self._database.run(lambda connection: refusals.turned_away(connection, *away))
            raise

    def _first(self, admitted: Admitted, header: BatchHeader) -> tuple[bytes, bytes]:
        ledger, recipient = map(self._keys.factor, rules.domains(header))
        return gateway_side.first_evaluation(admitted.elements, ledger, recipient, self._pool)

    async def _evaluate_again(self, work: _Work, for_ledger: bytes, for_recipient: bytes) -> tuple[bytes, bytes]:
        request = evaluator_pb2.EvaluateSignalsRequest(
            header=work.batch.header,
            sealed_pseudonyms=work.batch.sealed_pseudonyms,
            signature=work.batch.signature_pseudonyms,
            ledger_elements=for_ledger,
            recipient_elements=for_recipient,
        )
        answer = await ask(self._second.EvaluateSignals, request, work.seconds, "EVALUATOR_UNAVAILABLE")
        if len(answer.ledger_elements) != len(for_ledger) or len(answer.recipient_elements) != len(for_recipient):
            get_logger().error("ALARM: pseudonym service answered with other counts", reason="EVALUATOR_UNAVAILABLE")
            raise RegieError("EVALUATOR_UNAVAILABLE", "the pseudonym service gave no usable answer: try again later")
        return answer.ledger_elements, answer.recipient_elements

    async def _ask_ledger(self, work: _Work, admitted: Admitted, evaluated: bytes) -> decisions_pb2.DecideResponse:
        """Ask for decisions. A retry asks with identical bytes, since both evaluations are deterministic."""
        request = decisions_pb2.DecideRequest(
            header=work.batch.header,
            sealed_ledger=work.batch.sealed_ledger,
            root=admitted.root,
            signature=work.batch.signature_ledger,
            evaluated=evaluated,
        )
        return await ask(self._decision.Decide, request, work.seconds, "LEDGER_UNAVAILABLE")

    def _verified(
        self, response: decisions_pb2.DecideResponse, work: _Work, admitted: Admitted, evaluated: bytes
    ) -> decisions_pb2.DecisionList:
        """Return the decisions once the ledger's signature over exactly our request holds; else fail closed."""
        decisions = decisions_pb2.DecisionList()
        try:
            signer = self._registry().operator("ledger").key("sign").public
            signatures.verify(signer, LABEL_DECISION, response.signature, sha256(response.decision_list))
            decisions.ParseFromString(response.decision_list)
        except (RegieError, DecodeError):
            raise _distrusted() from None
        asked = gateway_side.decision_request_hash(
            admitted.header_hash, work.batch.sealed_ledger, admitted.root, evaluated
        )
        named = (decisions.header_hash, decisions.request_hash, decisions.root, len(decisions.outcomes))
        if named != (admitted.header_hash, asked, admitted.root, work.header.count):
            raise _distrusted()
        return decisions

    def _keep(
        self, work: _Work, admitted: Admitted, decisions: decisions_pb2.DecisionList, evaluated: bytes
    ) -> Kept | None:
        """Return the permitted signals; the refused ones end here."""
        at = [i for i, outcome in enumerate(decisions.outcomes) if outcome == events_pb2.OUTCOME_ACCEPTED]
        if not at:
            return None
        batch, header = work.batch, work.header
        purpose = self._registry().find_purpose(header.purpose)
        retention_days = purpose.retention_days if purpose is not None else 0
        return Kept(
            header_hash=admitted.header_hash,
            recipient=header.recipient,
            header=batch.header,
            sealed_recipient=batch.sealed_recipient,
            sealed_viewer=batch.sealed_viewer,
            signature_recipient=batch.signature_recipient,
            root=admitted.root,
            permitted=len(at),
            ciphertext_size=batch.ciphertext_size,
            positions=b"".join(admitted.positions[i].to_bytes(2, "big") for i in at),
            commitments=b"".join(admitted.commitments[i] for i in at),
            ciphertexts=b"".join(admitted.ciphertexts[i] for i in at),
            paths=b"".join(admitted.path(admitted.positions[i]) for i in at),
            evaluated=b"".join(evaluated[32 * i : 32 * i + 32] for i in at),
            expires_ms=header.expires_ms,
            retain_until_ms=self._clock() + retention_days * DAY_MS,
            traceparent=work.traceparent,
        )


@dataclass(frozen=True, slots=True)
class _Work:
    batch: SealedBatch
    header: BatchHeader
    once: stores.Request
    seconds: float
    traceparent: str  # of the call that submitted it: delivery and outcome belong to its trace


def _request_hash(batch: SealedBatch) -> bytes:
    """Hash every field of a request, so that a retry counts as one only with identical bytes."""
    return sha256(
        length_prefixed(
            batch.header,
            batch.blinded,
            batch.sealed_pseudonyms,
            batch.sealed_ledger,
            batch.sealed_recipient,
            batch.sealed_viewer,
            batch.positions,
            batch.commitments,
            batch.ciphertexts,
            batch.ciphertext_size.to_bytes(4, "big"),
            batch.filler_seed,
            batch.signature_gateway,
            batch.signature_pseudonyms,
            batch.signature_ledger,
            batch.signature_recipient,
        )
    )


def _distrusted() -> RegieError:
    get_logger().error("ALARM: the ledger's answer does not verify", reason="LEDGER_UNAVAILABLE")
    return RegieError("LEDGER_UNAVAILABLE", "the ledger's answer does not verify: nothing was accepted")
