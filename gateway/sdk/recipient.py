"""Receiving: pull, verify, store, acknowledge, hand over; each step may be repeated and none is skipped."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from consent_ledger.registry import Registry
from consent_ledger.v1 import events_pb2
from gateway.sdk.agency import Agency
from gateway.sdk.describe import preference_values, signal_values
from gateway.sdk.enrolment import enrolment_database, resolve
from gateway.sdk.inbox import (
    HANDED_OVER,
    HANDED_OVER_UNRESOLVED,
    WAITING,
    Inbox,
    SignalRecord,
)
from gateway.sdk.opening import recipient_keys
from gateway.sdk.outcomes import Reporter
from gateway.sdk.outcomestore import outcome_database
from gateway.sdk.pulling import Puller, Refusal, Seen
from gateway.sdk.rows import OutcomeRow
from gateway.sdk.unresolved import UnresolvedReporter
from gateway.telemetry import traces
from gateway.v1 import signals_pb2

AT_ONCE = 1000
"""Stored signals that are resolved together."""
WAIT_SECONDS = 20


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
        await self._inbox.hand_over([self._state()])

    def _state(self) -> tuple[int, int]:
        """Return its number, and what it is once the caller is done."""
        return self._record.number, HANDED_OVER if self.resident_ref is not None else HANDED_OVER_UNRESOLVED

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


@dataclass(frozen=True, slots=True)
class DeliveredBatch:
    """Signals of one sender and purpose that came together, at most 1000, none of them handed over before."""

    deliveries: tuple[Delivery, ...]
    _inbox: Inbox = field(repr=False)

    async def done(self) -> None:
        """Say that all of them are safe with the caller: one wait for the disk, where ``Delivery.done`` is one each."""
        await self._inbox.hand_over([delivery._state() for delivery in self.deliveries])  # noqa: SLF001  (its part)


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
        async with aclosing(self.batches(follow=follow, refused=refused, canary=canary)) as batches:
            async for batch in batches:
                for delivery in batch.deliveries:
                    yield delivery

    async def batches(
        self,
        *,
        follow: bool = False,
        refused: Refusal = lambda _batch, _error: None,
        canary: Seen = lambda _sighting: None,
    ) -> AsyncGenerator[DeliveredBatch, None]:
        """Yield what ``deliveries`` yields, as many together as came together; the next are fetched meanwhile.

        Who keeps a whole batch and then awaits its ``done`` waits for the disk once. What it kept is handed over again
        at the next start when this process stops in between. Raises as ``deliveries``.
        """
        registry = await self._agency.registry()
        registry.participant(self._agency.oin).key("hpke")
        with Inbox.open(self._agency.organisation) as inbox:
            puller = Puller(self._agency, inbox, recipient_keys(self._agency.organisation), refused, canary)
            reporter = UnresolvedReporter(self._agency)
            handing = _HandingOver(self._agency, inbox, registry)
            for ready in await handing.everything():
                with handing.over(ready) as batch:
                    yield batch
            while True:
                await reporter.report()  # of days that are over: when it is told says nothing about a signal
                more = False
                async with aclosing(puller.arrivals(WAIT_SECONDS if follow else 0, follow=follow)) as arrivals:
                    async for _ in arrivals:
                        more = True
                        for ready in await handing.new():
                            with handing.over(ready) as batch:
                                yield batch
                for ready in await handing.everything():
                    with handing.over(ready) as batch:
                        yield batch
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


class _Ready(NamedTuple):
    """Stored signals of one batch that are to be handed over now, and the residents of those that have one."""

    records: list[SignalRecord]
    references: Mapping[bytes, str]
    traceparent: str


class _HandingOver:
    """Turns what is stored and not handed over into deliveries: each once a run, and again once it is resolvable."""

    def __init__(self, agency: Agency, inbox: Inbox, registry: Registry) -> None:
        self._agency, self._inbox, self._registry = agency, inbox, registry
        self._given = 0  # the newest signal that was made ready in this run

    async def everything(self) -> list[_Ready]:
        """Return what was stored since the last call, and what has become resolvable since it was handed over."""
        ready = await self.new()
        unresolved = await self._inbox.unresolved()
        for at in range(0, len(unresolved), AT_ONCE):
            chunk = unresolved[at : at + AT_ONCE]
            known = await self._resolve([index for _, index in chunk])
            records = await self._inbox.numbered([number for number, index in chunk if index in known])
            ready += await self._by_batch(records, known)
        return ready

    async def new(self) -> list[_Ready]:
        """Return what was stored since the last call."""
        ready: list[_Ready] = []
        records = await self._inbox.waiting(WAITING, after=self._given)
        for at in range(0, len(records), AT_ONCE):
            chunk = records[at : at + AT_ONCE]
            references = await self._resolve([record.stored_index for record in chunk])
            ready += await self._by_batch(chunk, references)
            self._given = chunk[-1].number
        return ready

    async def _resolve(self, indices: Sequence[bytes]) -> dict[bytes, str]:
        with enrolment_database(self._agency.organisation) as enrolment:
            return await resolve(enrolment, indices)

    async def _by_batch(self, records: Sequence[SignalRecord], references: Mapping[bytes, str]) -> list[_Ready]:
        trails = await self._inbox.traceparents({record.header_hash for record in records})
        groups = groupby(records, key=attrgetter("header_hash"))
        return [_Ready(list(group), references, trails.get(header_hash, "")) for header_hash, group in groups]

    @contextmanager
    def over(self, ready: _Ready) -> Iterator[DeliveredBatch]:
        """Hand over one batch within its span, which is not entered: the caller's work is not ours."""
        first, journey = ready.records[0], self._agency.tracing.begin("hand over", ready.traceparent)
        with journey.within():
            traces.describe(
                purpose=first.purpose, sender=first.sender, recipient=self._agency.oin, count=len(ready.records)
            )
        try:
            sender = self._registry.find_participant(first.sender)
            name = sender.name if sender else ""
            references, inbox = ready.references, self._inbox
            found = [_delivery(record, references.get(record.stored_index), name, inbox) for record in ready.records]
            yield DeliveredBatch(tuple(found), inbox)
        finally:
            journey.end()


def _delivery(record: SignalRecord, reference: str | None, sender_name: str, inbox: Inbox) -> Delivery:
    return Delivery(
        delivery_id=f"{record.batch_id.hex()}-{record.position}",
        resident_ref=reference,
        sender=record.sender,
        sender_name=sender_name,
        purpose=record.purpose,
        signal=signals_pb2.Signal.FromString(record.signal),
        preferences=events_pb2.Preferences.FromString(record.preferences),
        explanation_nl=record.explanation_nl,
        explanation_en=record.explanation_en,
        receipt=record.receipt,
        _record=record,
        _inbox=inbox,
    )
