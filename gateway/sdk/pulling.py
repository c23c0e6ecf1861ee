"""Bringing batches from the gateway into the inbox: pull, verify, store, acknowledge; each step may be repeated."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from dataclasses import replace
from hashlib import sha256

from consent_ledger.errors import RegieError
from consent_ledger.registry import Registry
from consent_ledger.v1 import decisions_pb2
from gateway.crypto import signatures
from gateway.crypto.recipient_side import RecipientKeys
from gateway.sdk.agency import Agency
from gateway.sdk.canary.sightings import Sighting, recognise
from gateway.sdk.inbox import OFFERED, STORED, BatchRecord, Inbox, SignalRecord
from gateway.sdk.opening import open_delivery, read_header
from gateway.sdk.remote import UNREACHABLE, patiently
from gateway.telemetry import traces
from gateway.telemetry.propagation import sound
from gateway.telemetry.traces import Journey
from gateway.v1 import exchange_pb2

LABEL_PULL = b"regie/s/pull/v1"
LABEL_ACKNOWLEDGE = b"regie/s/ack/v1"
MOST_OFFERS = 8
IN_FLIGHT = 3
"""Batches under way at once: one at the ledger, one that is verified, one that is stored. Each is a few MB."""
RETRY_SECONDS = 2.0
PATIENCE_SECONDS = 10.0

Refusal = Callable[[str, RegieError], None]
"""Called with a batch id (hex) and why its delivery is refused or the gateway cannot be reached (batch id empty)."""

Seen = Callable[[Sighting], None]
"""Called with every canary that came; one that does not fit says that an evaluator used a wrong factor."""


class Puller:
    """Brings batches from the gateway into the inbox, several at a time."""

    def __init__(self, agency: Agency, inbox: Inbox, keys: RecipientKeys, refused: Refusal, seen: Seen) -> None:
        self._agency, self._inbox, self._keys, self._refused, self._seen = agency, inbox, keys, refused, seen
        self._signing = signatures.signing_key(agency.organisation.key("sign"))
        self._bad: set[bytes] = set()

    async def arrivals(self, wait_seconds: int, *, follow: bool) -> AsyncGenerator[None, None]:
        """Fetch what is offered; yields after each batch that was dealt with: stored and acknowledged, or refused.

        While the caller works on one, the next are under way. Raises RegieError when the gateway is out of reach; with
        ``follow``, ``refused`` is told, and this ends after a pause.
        """
        try:
            async with aclosing(self._arrivals(wait_seconds)) as arrived:
                async for _ in arrived:
                    yield
        except RegieError as error:
            if not follow or error.reason not in UNREACHABLE:
                raise
            self._refused("", error)
            await self._agency.pause(RETRY_SECONDS)

    async def _arrivals(self, wait_seconds: int) -> AsyncGenerator[None, None]:
        for batch in await self._inbox.in_state(STORED):  # stored, and then we stopped before the gateway knew
            with self._journey(batch):
                await self._acknowledge(batch)
        # Offers that an earlier run did not get to are still leased to us: pull them, and do not wait for new ones.
        left = [batch for batch in await self._inbox.in_state(OFFERED) if batch.header_hash not in self._bad]
        offered = deque(left or await self._offers(wait_seconds))
        under_way: deque[tuple[bytes, asyncio.Task[None]]] = deque()
        try:
            while offered or under_way:
                while offered and len(under_way) < IN_FLIGHT:
                    batch = offered.popleft()
                    under_way.append((batch.header_hash, asyncio.create_task(self._traced(batch))))
                if not offered:  # the next offers come while the last batches are under way
                    offered.extend(await self._offers(0, {header_hash for header_hash, _ in under_way}))
                _, task = under_way[0]
                await task
                under_way.popleft()
                yield
        finally:
            for _, task in under_way:
                task.cancel()
            await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)

    async def _traced(self, batch: BatchRecord) -> None:
        with self._journey(batch):
            await self._fetch(batch)

    def _journey(self, batch: BatchRecord) -> Journey:
        """Go on with the trace that the batch was submitted in."""
        header, _ = read_header(batch.header)
        journey = self._agency.tracing.begin("delivery", batch.traceparent)
        with journey.within():
            traces.describe(
                purpose=header.purpose, sender=header.sender, recipient=header.recipient, count=header.count
            )
        return journey

    async def _offers(self, wait_seconds: int, under_way: Collection[bytes] = ()) -> list[BatchRecord]:
        """Return what is newly offered; a batch under way is offered again when it takes longer than its lease."""
        agency = self._agency
        request = exchange_pb2.PullRequest(wait_seconds=wait_seconds, max_batches=MOST_OFFERS)
        answer = await patiently(lambda: agency.remote.pull(request), PATIENCE_SECONDS, agency.pause)
        batches = []
        for offer in answer.offers:
            _, batch = read_header(offer.header)
            batch = replace(batch, traceparent=sound(offer.traceparent))
            state = await self._inbox.state(batch.header_hash)
            if state not in {None, OFFERED}:
                with self._journey(batch):
                    await self._acknowledge(batch)
            elif batch.header_hash not in self._bad and batch.header_hash not in under_way:
                batches.append(batch)
        await self._inbox.offered(batches)
        return batches

    async def _fetch(self, batch: BatchRecord) -> None:
        """Pull, verify and store one batch; only then is it acknowledged."""
        agency = self._agency
        if await self._inbox.state(batch.header_hash) is None:
            # Its (sender, batch id) belongs to another batch: the gateway or the sender plays tricks.
            self._refuse(batch, RegieError("BATCH_ID_REUSED", "another batch had this id before"))
            return
        try:
            records = await self._open(batch)
        except RegieError as error:
            if error.reason in UNREACHABLE | {"INTERNAL"}:
                raise
            await self._inbox.forget(batch.header_hash)
            if error.reason != "BATCH_UNKNOWN":  # it expired before we came to it
                self._refuse(batch, error)
            return
        signals, canaries, sightings = await recognise(agency.organisation, records)
        await self._inbox.store(batch.header_hash, signals, canaries)
        for sighting in sightings:
            self._seen(sighting)
        await self._acknowledge(batch)

    def _refuse(self, batch: BatchRecord, error: RegieError) -> None:
        self._bad.add(batch.header_hash)
        self._refused(batch.batch_id.hex(), error)

    async def _open(self, batch: BatchRecord) -> list[SignalRecord]:
        agency = self._agency
        nonce = agency.rng(32)
        request = exchange_pb2.PullRequest(pulls=[await self._pull(batch, nonce)])
        with traces.stage("pull", traces.CLIENT):
            answer = await patiently(lambda: agency.remote.pull(request), PATIENCE_SECONDS, agency.pause)
        if len(answer.deliveries) != 1:
            raise RegieError("PROOF_INVALID", f"expected one delivery, got {len(answer.deliveries)}", "deliveries")
        delivery = answer.deliveries[0]
        try:
            return await self._verify(delivery, batch, nonce, await agency.registry())
        except RegieError as error:
            if error.reason not in {"SIGNATURE_INVALID", "KEY_UNKNOWN", "PARTY_UNKNOWN"}:
                raise
        # A key may have been replaced since the directory was read.
        return await self._verify(delivery, batch, nonce, await agency.registry(fresh=True))

    async def _verify(
        self, delivery: exchange_pb2.Delivery, batch: BatchRecord, nonce: bytes, registry: Registry
    ) -> list[SignalRecord]:
        agency = self._agency
        with traces.stage("open"):
            return await asyncio.to_thread(
                open_delivery,
                delivery,
                batch,
                nonce=nonce,
                keys=self._keys,
                registry=registry,
                recipient=agency.oin,
                log_verifier_key=agency.home.log_verifier_key,
                now_ms=agency.clock(),
                workers=agency.workers,
            )

    async def _pull(self, batch: BatchRecord, nonce: bytes) -> decisions_pb2.SignedPull:
        agency = self._agency
        pull = decisions_pb2.Pull(
            header_hash=batch.header_hash,
            nonce=nonce,
            time_ms=agency.clock(),
            recipient=agency.oin,
            recipient_key_id=(await agency.me()).key("sign").key_id,
        ).SerializeToString(deterministic=True)
        signature = signatures.sign(self._signing, LABEL_PULL, sha256(pull).digest())
        return decisions_pb2.SignedPull(pull=pull, signature=signature)

    async def _acknowledge(self, batch: BatchRecord) -> None:
        agency = self._agency
        said = decisions_pb2.Acknowledgement(
            header_hash=batch.header_hash,
            time_ms=agency.clock(),
            recipient=agency.oin,
            recipient_key_id=(await agency.me()).key("sign").key_id,
        ).SerializeToString(deterministic=True)
        signature = signatures.sign(self._signing, LABEL_ACKNOWLEDGE, sha256(said).digest())
        request = exchange_pb2.AcknowledgeRequest(
            acknowledgement=decisions_pb2.AcknowledgeRequest(acknowledgement=said, signature=signature)
        )
        try:
            with traces.stage("acknowledge", traces.CLIENT):
                await patiently(lambda: agency.remote.acknowledge(request), PATIENCE_SECONDS, agency.pause)
        except RegieError as error:
            if error.reason != "BATCH_UNKNOWN":  # expired in between: there is nothing left to acknowledge
                raise
        await self._inbox.acknowledged(batch.header_hash)
