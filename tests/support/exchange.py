"""The gateway's services around the parties of tests.support.crypto, with a ledger whose decisions the test says."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import grpc

from consent_ledger.errors import RegieError
from consent_ledger.hashing import sha256
from consent_ledger.registry import Key, Participant
from consent_ledger.v1 import decisions_pb2, events_pb2
from gateway.crypto import gateway_side, recipient_side, signatures
from gateway.crypto.batch import SealedBatch, SignalInput, seal_batch
from gateway.crypto.identifiers import Bsn
from gateway.database import Database
from gateway.errors import DETAILS_KEY, to_status
from gateway.evaluator import stores
from gateway.evaluator.first import FirstEvaluator
from gateway.evaluator.keys import EvaluatorKeys
from gateway.evaluator.second import SecondEvaluator
from gateway.exchange import tables
from gateway.exchange.delivery import Deliverer, Doorbell
from gateway.exchange.service import ExchangeService
from gateway.exchange.submit import LABEL_DECISION, Submitter
from gateway.exchange.unresolved import UnresolvedCounts
from gateway.settings import Means, Settings
from gateway.v1 import exchange_pb2 as pb
from tests.support.crypto import GATEWAY, LEDGER, NOW, PSEUDONYMS, PURPOSE, RECIPIENT, SENDER, VIEWER, World

KINDS = {
    SENDER: "energy_supplier",
    RECIPIENT: "municipality",
    LEDGER: "ledger",
    GATEWAY: "gateway",
    PSEUDONYMS: "pseudonyms",
    VIEWER: "viewer",
}


class Directory:
    """What the services ask of a Registry."""

    def __init__(self, world: World) -> None:
        self.by_oin = {
            oin: Participant(
                oin, kind, oin, private_party=False, certificate=b"", population=100, keys=self._keys(world, oin)
            )
            for oin, kind in KINDS.items()
        }
        purpose = SimpleNamespace(recipient_kinds=("municipality",), prohibited=False, retention_days=30)
        self.purposes = {PURPOSE: purpose, "handhaving": SimpleNamespace(**{**vars(purpose), "prohibited": True})}

    @staticmethod
    def _keys(world: World, oin: str) -> tuple[Key, ...]:
        if oin not in world.public:
            world.sign[oin] = signatures.signing_key(world.rng.randbytes(32))
            world.public[oin] = signatures.public_bytes(world.sign[oin])
        public = world.public[oin]
        return (Key(signatures.key_id(signatures.USAGE_SIGN, public), "sign", public, b""),)

    def participant(self, oin: str) -> Participant:
        if oin not in self.by_oin:
            raise RegieError("PARTY_UNKNOWN", "unknown")
        return self.by_oin[oin]

    def operator(self, kind: str) -> Participant:
        return next(participant for participant in self.by_oin.values() if participant.kind == kind)

    def find_purpose(self, identity: str):
        return self.purposes.get(identity)

    def purpose(self, identity: str):
        if identity not in self.purposes:
            raise RegieError("PURPOSE_UNKNOWN", "unknown")
        return self.purposes[identity]

    def change(self, oin: str, **changes: object) -> None:
        self.by_oin[oin] = replace(self.by_oin[oin], **changes)


class Wire:
    """A channel to a servicer in this process: requests and answers are serialised as on the wire."""

    def __init__(self, servicer: object) -> None:
        self.servicer = servicer
        self.requests: list[object] = []
        self.traces: list[str] = []  # trace ids of the requests

    def unary_unary(self, method, request_serializer, response_deserializer, **_):
        async def call(request, timeout=None, metadata=()):  # noqa: ASYNC109 - gRPC's name
            self.requests.append(request)
            self.traces.append(dict(metadata).get("traceparent", "--").split("-")[1])
            try:
                answer = await getattr(self.servicer, method.rsplit("/", 1)[1])(request, CONTEXT)
            except RegieError as error:
                metadata = grpc.aio.Metadata((DETAILS_KEY, to_status(error).SerializeToString()))
                code = grpc.StatusCode[error.status]
                raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, error.message) from None
            return response_deserializer(answer.SerializeToString())

        return call


CONTEXT = SimpleNamespace(time_remaining=lambda: None)


@dataclass
class Ledger:
    """Decides as the test says; ``refused`` holds positions. ``down`` makes it unreachable."""

    world: World
    refused: set[int] = field(default_factory=set)
    down: bool = False
    forge: bool = False
    answers: dict[bytes, decisions_pb2.DecideResponse] = field(default_factory=dict)
    released: list[bytes] = field(default_factory=list)
    acknowledged: list[bytes] = field(default_factory=list)

    async def Decide(self, request, _context):  # noqa: N802 - gRPC's name
        self._answer_or_not()
        hh = self.world.ledger.header_hash(request.header)
        if hh not in self.answers:
            opened = self.world.open_request(request)
            outcomes = [
                events_pb2.OUTCOME_GEEN_TOESTEMMING if position in self.refused else events_pb2.OUTCOME_ACCEPTED
                for position in opened.positions
            ]
            asked = gateway_side.decision_request_hash(hh, request.sealed_ledger, request.root, request.evaluated)
            decisions = decisions_pb2.DecisionList(
                header_hash=hh,
                request_hash=bytes(32) if self.forge else asked,
                root=request.root,
                outcomes=outcomes,
                log_indices=range(len(outcomes)),
                checkpoint=f"decided {len(self.answers)}",
            ).SerializeToString()
            signature = self.world.ledger.sign(LABEL_DECISION, sha256(decisions))
            self.answers[hh] = decisions_pb2.DecideResponse(decision_list=decisions, signature=signature)
        return self.answers[hh]

    async def Release(self, request, _context):  # noqa: N802 - gRPC's name
        self._answer_or_not()
        pull = decisions_pb2.Pull.FromString(request.pull.pull)
        self.released.append(pull.header_hash)
        statement = decisions_pb2.ReleaseStatement(header_hash=pull.header_hash, nonce=pull.nonce).SerializeToString()
        signature = self.world.ledger.sign(recipient_side.LABEL_RELEASE, sha256(statement))
        return decisions_pb2.ReleaseResponse(sealed=b"sealed", statement=statement, signature=signature)

    async def Acknowledge(self, request, _context):  # noqa: N802 - gRPC's name
        self._answer_or_not()
        self.acknowledged.append(request.acknowledgement)
        return decisions_pb2.AcknowledgeResponse()

    async def ReportOutcome(self, _request, _context):  # noqa: N802 - gRPC's name
        self._answer_or_not()
        return decisions_pb2.ReportOutcomeResponse(log_index=42)

    def _answer_or_not(self) -> None:
        if self.down:
            raise RegieError("LEDGER_UNAVAILABLE", "down")


class TestWorld(World):
    __test__ = False

    def seal(self, numbers, *, batch_id=None, **changed):
        """As World's, with any header field to choose."""
        batch_id = batch_id or self.rng.randbytes(16)
        signals = [
            SignalInput(Bsn(number).message(), at.to_bytes(16, "big"), b"signal %d" % at)
            for at, number in enumerate(numbers)
        ]
        count = changed.pop("count", len(numbers))
        header = self.header(batch_id, count, **changed)
        return seal_batch(header, batch_id, signals, self.sender_keys, rng=self.rng.randbytes)

    def open_request(self, request):
        hh = self.ledger.header_hash(request.header)
        return self.ledger.open_batch(PURPOSE, self.epoch, hh, request.sealed_ledger, request.evaluated)


class Town:
    """T1 and T2 with their databases in ``folder``; ``restart`` is what a crash and a new start leave."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder, self.settings = folder, Settings(**settings)
        self.world = TestWorld()
        self.directory = Directory(self.world)
        self.ledger = Ledger(self.world)
        self.now = NOW
        self.caller = SENDER
        self.pool = ThreadPoolExecutor(2)
        self.start()

    def start(self) -> None:
        world, means = self.world, Means(self.settings, lambda: self.now, self.pool, os.urandom)
        registry = lambda: self.directory  # noqa: E731  (one line)
        self.pseudonyms_db = Database(self.folder / "pseudonyms.db", stores.TABLES)
        self.gateway_db = Database(self.folder / "gateway.db", tables.TABLES)
        second_keys = EvaluatorKeys(PSEUDONYMS, world.master2, world.sign[PSEUDONYMS])
        first_keys = EvaluatorKeys(GATEWAY, world.master1, world.sign[GATEWAY])
        gateway = lambda _: self.directory.participant(GATEWAY)  # noqa: E731  (one line)
        caller = lambda _: self.directory.participant(self.caller)  # noqa: E731  (one line)
        self.second = SecondEvaluator(second_keys, world.t2, self.pseudonyms_db, registry, gateway, means=means)
        self.to_second, self.to_ledger = Wire(self.second), Wire(self.ledger)
        self.doorbell = Doorbell()
        self.submitter = Submitter(
            first_keys,
            self.gateway_db,
            registry,
            pseudonyms=self.to_second,
            ledger=self.to_ledger,
            stored=self.doorbell.ring,
            means=means,
        )
        self.deliverer = Deliverer(self.gateway_db, self.to_ledger, self.doorbell, means=means)
        self.counts = UnresolvedCounts(self.gateway_db, registry, lambda: self.now)
        self.exchange = ExchangeService(self.submitter, self.deliverer, self.counts, caller, 5.0)
        self.first = FirstEvaluator(first_keys, self.gateway_db, registry, caller, self.to_second, means=means)

    def close(self) -> None:
        self.gateway_db.close()
        self.pseudonyms_db.close()

    def restart(self) -> None:
        self.close()
        self.start()

    async def submit(self, batch: SealedBatch) -> decisions_pb2.DecisionList:
        answer = await self.exchange.SubmitBatch(submit_request(batch), CONTEXT)
        return decisions_pb2.DecisionList.FromString(answer.decision_list)

    async def offers(self, **request: object) -> list[pb.Offer]:
        self.caller = RECIPIENT
        return list((await self.exchange.Pull(pb.PullRequest(**request), CONTEXT)).offers)

    def signed_pull(self, header_hash: bytes, **changed: object) -> decisions_pb2.SignedPull:
        fields = {
            "header_hash": header_hash,
            "nonce": os.urandom(32),
            "time_ms": self.now,
            "recipient": RECIPIENT,
            "recipient_key_id": bytes(8),
        }
        pull = decisions_pb2.Pull(**{**fields, **changed}).SerializeToString()
        return decisions_pb2.SignedPull(pull=pull, signature=bytes(64))

    async def deliveries(self, *header_hashes: bytes, **changed: object) -> list[pb.Delivery]:
        self.caller = RECIPIENT
        pulls = [self.signed_pull(header_hash, **changed) for header_hash in header_hashes]
        return list((await self.exchange.Pull(pb.PullRequest(pulls=pulls), CONTEXT)).deliveries)

    async def acknowledge(self, header_hash: bytes, recipient: str = RECIPIENT) -> None:
        self.caller = RECIPIENT
        said = decisions_pb2.Acknowledgement(
            header_hash=header_hash, time_ms=self.now, recipient=recipient, recipient_key_id=bytes(8)
        )
        inner = decisions_pb2.AcknowledgeRequest(acknowledgement=said.SerializeToString(), signature=bytes(64))
        await self.exchange.Acknowledge(pb.AcknowledgeRequest(acknowledgement=inner), CONTEXT)

    def files(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted(self.folder.iterdir()))


def submit_request(batch: SealedBatch) -> pb.SubmitBatchRequest:
    return pb.SubmitBatchRequest(**{name: getattr(batch, name) for name in SealedBatch.__dataclass_fields__})
