"""The participants' directory, read from the log and believed only as far as it proves itself.

The operator that serves it could otherwise give one agency a key of its own choice (pseudonyms.md, "Keys").
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from google.protobuf.message import DecodeError

from consent_ledger.clock import Clock, system_clock
from consent_ledger.errors import RegieError
from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.keys import AnyVerifier, parse_verifier, parse_verifiers
from consent_ledger.log.merkle import leaf_hash, verify_consistency, verify_inclusion
from consent_ledger.registry import Registry
from consent_ledger.v1 import events_pb2, log_pb2, log_pb2_grpc
from gateway.crypto import signatures
from gateway.directory.authority import verify_participant_key
from gateway.directory.channels import UNREACHABLE, explain, open_channel
from gateway.directory.identity import oin_of
from gateway.errors import from_rpc
from gateway.home import Home, Organisation, Role
from gateway.telemetry import traces
from gateway.v1 import directory_pb2, directory_pb2_grpc

FETCH_SECONDS = 10.0
LABEL_SUPPORT = b"regie/s/support/v1"


class Directory:
    """The newest directory that proved itself.

    ``accept`` raises RegieError PROOF_INVALID or SIGNATURE_INVALID and keeps the old one when anything does not check:
    signature of the checkpoint, inclusion of every entry, sequence without a gap, nothing taken back, certificates of
    the home's authority that carry the OIN, and every key signed by its owner's certificate key.
    """

    def __init__(self, home: Home, remember: Path | None = None) -> None:
        self._pinned = parse_verifiers(home.log_verifier_key)
        self._authority = x509.load_pem_x509_certificate(home.authority)
        self._remember = remember
        self._registry: Registry | None = None
        self._entries: list[bytes] = []
        self.response: log_pb2.GetPublicEventsResponse | None = None
        self.checkpoint = self._recall()

    @property
    def registry(self) -> Registry:
        """The participants; raises RegieError LEDGER_UNAVAILABLE while none has been verified yet."""
        if self._registry is None:
            raise RegieError("LEDGER_UNAVAILABLE", "the directory of participants has not been verified yet")
        return self._registry

    def _log_keys(self) -> list[AnyVerifier]:
        """The keys of the settings, and those the log itself added since; never one that it retired."""
        if self._registry is None:
            return list(self._pinned)
        retired = self._registry.retired_log_keys
        added = [parse_verifier(key) for key in self._registry.log_keys]
        return [key for key in (*self._pinned, *added) if key.format() not in retired]

    def open(self, response: log_pb2.GetPublicEventsResponse) -> Checkpoint:
        """Return the checkpoint of a response once its signature checks and it goes back on nothing signed before."""
        try:
            fresh = open_checkpoint(response.checkpoint, self._log_keys())
        except VerificationError as error:
            raise RegieError("SIGNATURE_INVALID", f"checkpoint of the directory: {error}", "checkpoint") from None
        known = self.checkpoint
        if known and (fresh.size < known.size or (fresh.size == known.size and fresh.root != known.root)):
            raise RegieError(
                "PROOF_INVALID",
                f"expected a log of at least {known.size} entries with the history seen before, got {fresh.size}: "
                "the ledger went back on what it signed",
                "checkpoint",
            )
        return fresh

    def accept(self, response: log_pb2.GetPublicEventsResponse, consistency: Sequence[bytes] | None = None) -> Registry:
        """Verify everything and make it the directory; ``consistency`` is a path from the checkpoint known before."""
        if self._registry is not None and response == self.response:
            return self._registry
        fresh = self.open(response)
        try:
            if consistency is not None and self.checkpoint:
                old = self.checkpoint
                verify_consistency(old.size, fresh.size, old.root, fresh.root, consistency)
            for entry in response.entries:
                path = [entry.path[at : at + 32] for at in range(0, len(entry.path), 32)]
                verify_inclusion(entry.index, fresh.size, leaf_hash(entry.entry), fresh.root, path)
        except VerificationError as error:
            raise RegieError("PROOF_INVALID", f"directory: {error}", "entries") from None
        entries = [entry.entry for entry in response.entries]
        if entries[: len(self._entries)] != self._entries:
            raise RegieError("PROOF_INVALID", "expected the directory to continue the one seen before", "entries")
        if self._registry is None or len(entries) > len(self._entries):
            self._registry = self._fold(response)
        self._entries, self.checkpoint, self.response = entries, fresh, response
        self._store(response.checkpoint)
        return self._registry

    def _fold(self, response: log_pb2.GetPublicEventsResponse) -> Registry:
        registry = Registry()
        for number, entry in enumerate(response.entries, start=1):
            event = _public_event(entry.entry)
            if event.sequence != number:
                raise RegieError("PROOF_INVALID", f"expected public event {number}, got {event.sequence}", "entries")
            self._check(registry, event)
            registry = registry.apply(entry.index, event)
        return registry

    def _check(self, registry: Registry, event: events_pb2.PublicEvent) -> None:
        match event.WhichOneof("body"):
            case "participant_registered":
                self._check_certificate(event.participant_registered)
            case "participant_key_added":
                added = event.participant_key_added
                holder = registry.participant(added.oin).certificate
                verify_participant_key(holder, added.oin, added.key.usage, added.key.public_key, added.signature)
            case "participant_support_declared":
                _check_support(registry, event.participant_support_declared)

    def _check_certificate(self, registered: events_pb2.ParticipantRegistered) -> None:
        """Check who issued it and whose it is; its dates concern connections, and old entries stay readable."""
        try:
            certificate = x509.load_der_x509_certificate(registered.certificate)
            certificate.verify_directly_issued_by(self._authority)
        except (ValueError, TypeError, InvalidSignature):
            raise RegieError(
                "SIGNATURE_INVALID", f"the certificate of participant {registered.oin} is not of the home's authority"
            ) from None
        if oin_of(certificate) != registered.oin:
            raise RegieError("SIGNATURE_INVALID", f"the certificate of participant {registered.oin} names another OIN")

    def _recall(self) -> Checkpoint | None:
        """Read the newest checkpoint this organisation ever verified, so that a restart forgets nothing."""
        if self._remember is None or not self._remember.exists():
            return None
        try:
            return open_checkpoint(self._remember.read_bytes(), self._pinned)
        except VerificationError:
            raise RegieError(
                "SIGNATURE_INVALID",
                f"{self._remember.name} is not a checkpoint of this home's log: was the log replaced?",
            ) from None

    def _store(self, note: str) -> None:
        if self._remember is not None:
            fresh = self._remember.with_suffix(".new")
            fresh.write_text(note, "utf-8")
            fresh.replace(self._remember)


def _check_support(registry: Registry, event: events_pb2.ParticipantSupportDeclared) -> None:
    """Check that a participant itself said what it supports, with a key that it had then."""
    try:
        said = events_pb2.SupportDeclaration.FromString(event.declaration)
    except DecodeError:
        raise RegieError("PROOF_INVALID", "expected a SupportDeclaration, got other bytes", "entries") from None
    key = registry.participant(said.oin).key_by_id(event.key_id)
    digest = hashlib.sha256(event.declaration).digest()
    signatures.verify(key.public, LABEL_SUPPORT, event.signature, digest)


def _public_event(entry: bytes) -> events_pb2.PublicEvent:
    leaf = events_pb2.Leaf()
    try:
        leaf.ParseFromString(entry)
    except DecodeError:
        raise RegieError("PROOF_INVALID", "expected a leaf of the log, got other bytes", "entries") from None
    if leaf.WhichOneof("content") != "public":
        raise RegieError("PROOF_INVALID", "expected a public event, got a committed one", "entries")
    return leaf.public


class DirectoryClient:
    """Fetches and verifies the directory: agencies and viewer from the gateway, gateway and T2 from the ledger."""

    def __init__(
        self, home: Home, organisation: Organisation, role: Role = "gateway", clock: Clock = system_clock
    ) -> None:
        self._home, self._organisation, self._role, self._clock = home, organisation, role, clock
        self._channel: grpc.aio.Channel | None = None
        self._turn = asyncio.Lock()
        self.directory = Directory(home, organisation.data / "checkpoint.note")

    async def fetch(self, timeout: float = FETCH_SECONDS) -> Registry:  # noqa: ASYNC109 - gRPC takes it as a deadline
        """Return the newest directory; raises RegieError, with one sentence on why a connection fails."""
        async with self._turn:
            if self._channel is None:
                self._channel = open_channel(self._home, self._organisation, self._role)
            try:
                response = await self._get(self._channel, timeout)
                proof = await self._consistency(self._channel, response, timeout)
            except grpc.aio.AioRpcError as error:
                raise await explained(error, self._home, self._organisation, self._role, self._clock) from None
            return self.directory.accept(response, proof)

    async def _get(self, channel: grpc.aio.Channel, seconds: float) -> log_pb2.GetPublicEventsResponse:
        metadata = traces.outgoing()
        if self._role == "ledger":
            log = log_pb2_grpc.LogServiceStub(channel)
            return await log.GetPublicEvents(log_pb2.GetPublicEventsRequest(), timeout=seconds, metadata=metadata)
        stub = directory_pb2_grpc.DirectoryServiceStub(channel)
        answer = await stub.GetDirectory(directory_pb2.GetDirectoryRequest(), timeout=seconds, metadata=metadata)
        return answer.events

    async def _consistency(
        self, channel: grpc.aio.Channel, response: log_pb2.GetPublicEventsResponse, seconds: float
    ) -> Sequence[bytes] | None:
        """Ask the ledger to prove that its log only grew; through the gateway there is nobody to ask."""
        old, fresh = self.directory.checkpoint, self.directory.open(response)
        if self._role != "ledger" or old is None or old.size in {0, fresh.size}:
            return None
        request = log_pb2.GetConsistencyProofRequest(old_size=old.size, new_size=fresh.size)
        proof = await log_pb2_grpc.LogServiceStub(channel).GetConsistencyProof(request, timeout=seconds)
        return list(proof.hashes)

    async def close(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            await self._channel.close()


async def explained(
    error: grpc.aio.AioRpcError, home: Home, organisation: Organisation, role: Role, clock: Clock = system_clock
) -> RegieError:
    """Return the refusal a call carries, or, when the connection itself failed, the reason why."""
    refusal = from_rpc(error, UNREACHABLE[role])
    if refusal.reason != UNREACHABLE[role] or error.code() != grpc.StatusCode.UNAVAILABLE:
        return refusal
    if any(key == "grpc-status-details-bin" for key, _ in error.trailing_metadata() or ()):
        return refusal
    return await asyncio.to_thread(explain, home, organisation, role, clock)
