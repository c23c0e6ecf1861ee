"""Receiving: pull, verify, store, acknowledge, hand over; each step may be repeated and none is skipped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from typing import Any

from consent_ledger.errors import RegieError
from consent_ledger.registry import Registry
from consent_ledger.v1 import decisions_pb2, events_pb2
from gateway.crypto import signatures
from gateway.crypto.recipient_side import RecipientKeys
from gateway.sdk.agency import Agency
from gateway.sdk.canary.sightings import Sighting, recognise
from gateway.sdk.describe import preference_values, signal_values
from gateway.sdk.enrolment import enrolment_database, resolve
from gateway.sdk.inbox import (
    HANDED_OVER,
    HANDED_OVER_UNRESOLVED,
    OFFERED,
    STORED,
    WAITING,
    BatchRecord,
    Inbox,
    SignalRecord,
)
from gateway.sdk.opening import open_delivery, read_header, recipient_keys
from gateway.sdk.outcomes import Reporter
from gateway.sdk.outcomestore import outcome_database
from gateway.sdk.remote import UNREACHABLE, patiently
from gateway.sdk.rows import OutcomeRow
from gateway.sdk.unresolved import UnresolvedReporter
from gateway.telemetry import traces
from gateway.telemetry.propagation import sound
from gateway.telemetry.traces import Journey
from gateway.v1 import exchange_pb2, signals_pb2

LABEL_PULL = b"regie/s/pull/v1"
LABEL_ACKNOWLEDGE = b"regie/s/ack/v1"
MOST_OFFERS = 8
AT_ONCE = 1000
"""Stored signals that are resolved together."""
WAIT_SECONDS = 20
RETRY_SECONDS = 2.0
PATIENCE_SECONDS = 10.0

Refusal = Callable[[str, RegieError], None]
"""Called with a batch id (hex) and why its delivery is refused or the gateway cannot be reached (batch id empty)."""

Seen = Callable[[Sighting], None]
"""Called with every canary that came; one that does not fit says that an evaluator used a wrong factor."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One signal, verified and stored. ``resident_ref`` is None when no enrolled resident has its pseudonym.

    The same delivery is handed over again at the next start until ``done`` is awaited.
    """

    delivery_id: str
    resident_ref: str | None
    sender: str
    sender_name: str
    purpose: str
    signal: signals_pb2.Signal
    preferences: events_pb2.Preferences
    explanation_nl: str
    explanation_en: str
    receipt: str
    _record: SignalRecord = field(repr=False)
    _inbox: Inbox = field(repr=False)

    async def done(self) -> None:
        """Say that the signal is safe with the caller. One without a resident comes again once it can be resolved."""
        state = HANDED_OVER if self.resident_ref is not None else HANDED_OVER_UNRESOLVED
        await self._inbox.hand_over(self._record.number, state)

    def values(self) -> dict[str, Any]:
        """Return the delivery as JSON-ready values."""
        return {
            "delivery_id": self.delivery_id,
            "resident_ref": self.resident_ref,
            "sender": self.sender,
            "sender_name": self.sender_name,
            "purpose": self.purpose,
            "signal": signal_values(self.signal),
            "preferences": preference_values(self.preferences),
            "explanation": {"nl": self.explanation_nl, "en": self.explanation_en},
            "receipt": self.receipt,
        }


class Recipient:
    """Receives signals for one organisation."""

    def __init__(self, agency: Agency) -> None:
        """Receive for this agency."""
        self._agency = agency

    async def deliveries(
        self,
        *,
        follow: bool = False,
        refused: Refusal = lambda _batch, _error: None,
        canary: Seen = lambda _sighting: None,
    ) -> AsyncGenerator[Delivery, None]:
        """Yield every signal that waits; with ``follow``, go on as new ones arrive. Canaries are not yielded.

        A delivery that does not verify is neither stored nor acknowledged: ``refused`` is told, and the others go on.
        Raises RegieError when the gateway is out of reach (with ``follow``, ``refused`` is told and it is tried again).
        """
        registry = await self._agency.registry()
        registry.participant(self._agency.oin).key("hpke")
        with Inbox.open(self._agency.organisation) as inbox:
            puller = _Puller(self._agency, inbox, recipient_keys(self._agency.organisation), refused, canary)
            reporter = UnresolvedReporter(self._agency)
            given: set[int] = set()
            async for delivery in self._waiting(inbox, given):
                yield delivery
            while True:
                await reporter.report()  # of days that are over: when it is told says nothing about a signal
                more = await puller.round(WAIT_SECONDS if follow else 0, follow=follow)
                async for delivery in self._waiting(inbox, given):
                    yield delivery
                if not (more or follow):
                    return

    async def report(
        self,
        delivery_id: str,
        *,
        offer: str,
        channel: str,
        when_ms: int,
        language: str = "",
        form_of_address: str = "",
        other_person: bool = False,
    ) -> int:
        """Report what was done with a delivery, sealed to the ledger; returns the log index of the report.

        ``channel`` is one of ``describe.CHANNELS``, or empty when nobody was approached. The same again changes
        nothing. Raises RegieError FIELD_INVALID for an unknown delivery or channel.
        """
        row = OutcomeRow(
            delivery_id=delivery_id,
            when_ms=when_ms,
            channel=channel,
            offer=offer,
            language=language,
            form_of_address=form_of_address,
            other_person=other_person,
        )
        with outcome_database(self._agency.organisation) as database:
            index, _ = await Reporter(self._agency, database).report(row)
        return index

    async def _waiting(self, inbox: Inbox, given: set[int]) -> AsyncIterator[Delivery]:
        """Yield what is stored and not handed over, and what has become resolvable since."""
        records = await inbox.waiting(WAITING, HANDED_OVER_UNRESOLVED)
        registry = await self._agency.registry()
        for at in range(0, len(records), AT_ONCE):
            chunk = records[at : at + AT_ONCE]
            with enrolment_database(self._agency.organisation) as enrolment:
                references = await resolve(enrolment, [record.stored_index for record in chunk])
            due = [record for record in chunk if _is_due(record, references, given)]
            trails = await inbox.traceparents({record.header_hash for record in due})
            for header_hash, group in groupby(due, key=attrgetter("header_hash")):
                of_batch = list(group)
                journey = self._journey(of_batch, trails.get(header_hash, ""))
                try:
                    for record in of_batch:
                        given.add(record.number)
                        yield _delivery(record, references.get(record.stored_index), registry, inbox)
                finally:
                    journey.end()

    def _journey(self, records: Sequence[SignalRecord], traceparent: str) -> Journey:
        """Begin the span of handing over signals of one batch. It is not entered: the caller's work is not ours."""
        first, journey = records[0], self._agency.tracing.begin("hand over", traceparent)
        with journey.within():
            traces.describe(purpose=first.purpose, sender=first.sender, recipient=self._agency.oin, count=len(records))
        return journey


def _is_due(record: SignalRecord, references: Mapping[bytes, str], given: Collection[int]) -> bool:
    """Tell whether a signal is to be handed over now: once a run, and again when its resident is known at last."""
    if record.handed_over == HANDED_OVER_UNRESOLVED:
        return record.stored_index in references
    return record.handed_over == WAITING and record.number not in given


def _delivery(record: SignalRecord, reference: str | None, registry: Registry, inbox: Inbox) -> Delivery:
    sender = registry.find_participant(record.sender)
    return Delivery(
        delivery_id=f"{record.batch_id.hex()}-{record.position}",
        resident_ref=reference,
        sender=record.sender,
        sender_name=sender.name if sender else "",
        purpose=record.purpose,
        signal=signals_pb2.Signal.FromString(record.signal),
        preferences=events_pb2.Preferences.FromString(record.preferences),
        explanation_nl=record.explanation_nl,
        explanation_en=record.explanation_en,
        receipt=record.receipt,
        _record=record,
        _inbox=inbox,
    )


class _Puller:
    """Brings batches from the gateway into the inbox."""

    def __init__(self, agency: Agency, inbox: Inbox, keys: RecipientKeys, refused: Refusal, seen: Seen) -> None:
        self._agency, self._inbox, self._keys, self._refused, self._seen = agency, inbox, keys, refused, seen
        self._signing = signatures.signing_key(agency.organisation.key("sign"))
        self._bad: set[bytes] = set()

    async def round(self, wait_seconds: int, *, follow: bool) -> bool:
        """Fetch what is offered; returns whether there was anything new."""
        try:
            return await self._round(wait_seconds)
        except RegieError as error:
            if not follow or error.reason not in UNREACHABLE:
                raise
            self._refused("", error)
            await self._agency.pause(RETRY_SECONDS)
            return False

    async def _round(self, wait_seconds: int) -> bool:
        for batch in await self._inbox.in_state(STORED):  # stored, and then we stopped before the gateway knew
            with self._journey(batch):
                await self._acknowledge(batch)
        # Offers that an earlier run did not get to are still leased to us: pull them, and do not wait for new ones.
        left = [batch for batch in await self._inbox.in_state(OFFERED) if batch.header_hash not in self._bad]
        batches = left or await self._offers(wait_seconds)
        for batch in batches:
            with self._journey(batch):
                await self._fetch(batch)
        return bool(batches)

    def _journey(self, batch: BatchRecord) -> Journey:
        """Go on with the trace that the batch was submitted in."""
        header, _ = read_header(batch.header)
        journey = self._agency.tracing.begin("delivery", batch.traceparent)
        with journey.within():
            traces.describe(
                purpose=header.purpose, sender=header.sender, recipient=header.recipient, count=header.count
            )
        return journey

    async def _offers(self, wait_seconds: int) -> list[BatchRecord]:
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
            elif batch.header_hash not in self._bad:
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
