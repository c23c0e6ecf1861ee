"""A gateway that decides by itself and signs as the ledger: for the sender's tests, which are about what goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from consent_ledger.errors import RegieError
from consent_ledger.hashing import header_hash
from consent_ledger.log.checkpoint import Checkpoint, sign_checkpoint
from consent_ledger.log.keys import LogKeys
from consent_ledger.registry import Registry
from consent_ledger.v1 import batch_pb2, decisions_pb2, events_pb2
from gateway.crypto import signatures, tree
from gateway.home import Home
from gateway.v1 import exchange_pb2
from tests.support.servers import registry_of

SUPPLIER, TAX_OFFICE, CITY = "00000099000000005001", "00000099000000006001", "00000099000000007001"
PURPOSE = "vroegsignalering-energie"
Trouble = Callable[[exchange_pb2.SubmitBatchRequest], None]


def lost(_request) -> None:
    """The connection breaks before the gateway reads anything."""
    raise RegieError("GATEWAY_UNAVAILABLE", "connection lost")


def refusal(reason: str) -> Trouble:
    """The gateway refuses."""

    def trouble(_request) -> None:
        raise RegieError(reason, "refused")

    return trouble


class AnswerLostError(Exception):
    """The gateway decided, and then the connection broke."""


def lost_after(_request) -> None:
    """The connection breaks after the decision."""
    raise AnswerLostError


@dataclass
class FakeGateway:
    """Answers submissions; ``troubles`` are used up one a call, None is no trouble."""

    home: Home
    outcome: int = events_pb2.OUTCOME_ACCEPTED
    troubles: list[Trouble | None] = field(default_factory=list)
    calls: list[bytes] = field(default_factory=list)
    answered: dict[bytes, tuple[bytes, exchange_pb2.SubmitBatchResponse]] = field(default_factory=dict)
    decided: int = 0
    change: Callable[[decisions_pb2.DecisionList], None] = lambda _: None
    forge: bool = False

    def __post_init__(self):
        self.registry = registry_of(self.home)

    async def directory(self) -> Registry:
        return self.registry

    async def close(self) -> None:
        return None

    async def submit(self, request: exchange_pb2.SubmitBatchRequest) -> exchange_pb2.SubmitBatchResponse:
        data = request.SerializeToString(deterministic=True)
        self.calls.append(data)
        trouble = self.troubles.pop(0) if self.troubles else None
        try:
            if trouble:
                trouble(request)
        except AnswerLostError:
            self._decide(request, data)
            raise RegieError("GATEWAY_UNAVAILABLE", "connection lost") from None
        return self._decide(request, data)

    def _decide(self, request, data):
        header = batch_pb2.BatchHeader.FromString(request.header)
        if header.batch_id in self.answered:
            before, answer = self.answered[header.batch_id]
            assert before == data, "the same batch id with other bytes"
            return answer
        hh = header_hash(request.header)
        positions = tree.decode_positions(request.positions, header.count)
        size = request.ciphertext_size
        leaves = {
            position: tree.leaf(
                position, request.commitments[32 * at : 32 * at + 32], request.ciphertexts[size * at : size * at + size]
            )
            for at, position in enumerate(positions)
        }
        ledger = self.home.operator("ledger")
        signer = LogKeys.parse(ledger.text_key("log")).signers[0]
        first = 100 + self.decided
        self.decided += header.count
        decisions = decisions_pb2.DecisionList(
            header_hash=hh,
            root=tree.BatchTree(hh, request.filler_seed, leaves).root,
            outcomes=[self.outcome] * header.count,
            log_indices=range(first, first + header.count),
            checkpoint=sign_checkpoint(Checkpoint(signer.name, first + header.count, bytes(32)), [signer]),
        )
        self.change(decisions)
        signed = decisions.SerializeToString()
        key = signatures.signing_key(bytes(32) if self.forge else ledger.key("sign"))
        signature = signatures.sign(key, b"regie/s/decision/v1", sha256(signed).digest())
        answer = exchange_pb2.SubmitBatchResponse(decision_list=signed, ledger_signature=signature)
        self.answered[header.batch_id] = (data, answer)
        return answer
