"""Setting canaries up: the recipient makes and enrols them; the portal and the sender take over the cards."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from consent_ledger.errors import RegieError
from consent_ledger.purpose import Purpose
from consent_ledger.registry import Participant, Registry
from consent_ledger.v1 import events_pb2
from gateway.crypto import rows
from gateway.sdk import choices
from gateway.sdk.agency import Agency
from gateway.sdk.canary.cards import CanaryResident, Card, HeldCanary
from gateway.sdk.canary.store import CanaryStore
from gateway.sdk.enrolment import enrolment_database
from gateway.sdk.evaluation import CHUNK, RowEvaluator
from gateway.sdk.rows import MONTHS, ChoiceRow


@dataclass(frozen=True, slots=True)
class WrittenCard:
    """A card and the file that holds it."""

    card: Card
    path: Path


async def set_up(
    agency: Agency, folder: Path, *, senders: Sequence[str] = (), purposes: Sequence[str] = (), count: int = 2
) -> list[WrittenCard]:
    """Make and enrol canaries for every sender and purpose that this recipient receives from, and write their cards.

    Each costs one row of the enrolment quota. Narrowed by ``senders`` and ``purposes``. Cards made before stay known.
    Raises RegieError PARTY_UNKNOWN when nothing fits, OSError when a card's file is there already, and as
    ``RowEvaluator.evaluate``.
    """
    registry, me = await agency.registry(), await agency.me()
    pairs = _pairs(registry, me, senders, purposes)
    if not pairs:
        raise RegieError("PARTY_UNKNOWN", "this organisation receives nothing from such a sender for such a purpose")
    now = agency.clock()
    await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
    written = []
    for sender, purpose in pairs:
        card = Card(
            sender=sender.oin,
            recipient=me.oin,
            purpose=purpose.id,
            purpose_version=purpose.version,
            months=max(months for months in MONTHS if months <= purpose.longest_validity_months),
            created_ms=now,
            secrets=tuple(agency.rng(32) for _ in range(count)),
        )
        path = folder / f"canary-{sender.oin}-{me.oin}-{purpose.id}.json"
        # Enrolled first: a card that is given away is one whose signals will be recognised.
        await _enrol(agency, card)
        card.write(path)
        written.append(WrittenCard(card, path))
    return written


def _pairs(
    registry: Registry, me: Participant, senders: Sequence[str], purposes: Sequence[str]
) -> list[tuple[Participant, Purpose]]:
    return [
        (sender, purpose)
        for purpose in registry.purposes
        if not (purpose.prohibited or purpose.retired) and me.kind in purpose.recipient_kinds
        if not purposes or purpose.id in purposes
        for sender in registry.participants
        if not sender.suspended and sender.kind in purpose.sender_kinds
        if not senders or sender.oin in senders
    ]


async def _enrol(agency: Agency, card: Card) -> None:
    indices = await stored_indices(agency, card.purpose, card.canaries)
    held = [replace(canary, stored_index=index) for canary, index in zip(card.canaries, indices, strict=True)]
    with CanaryStore.open(agency.organisation) as store:
        await store.hold(held)


async def stored_indices(agency: Agency, purpose: str, canaries: Sequence[HeldCanary]) -> list[bytes]:
    """Return the stored index of canaries in this recipient's own domain, through both evaluators.

    Raises RegieError as ``RowEvaluator.evaluate``.
    """
    with enrolment_database(agency.organisation) as database:  # where the evaluators' public values are pinned
        evaluator = RowEvaluator(agency, database, "recipient")
        elements: list[bytes] = []
        for at in range(0, len(canaries), CHUNK):
            elements += await evaluator.evaluate(purpose, [canary.message for canary in canaries[at : at + CHUNK]])
        domain = await evaluator.domain(purpose)
    closing = int.from_bytes(agency.organisation.key("closing"), "big")
    return await asyncio.to_thread(rows.close, closing, domain, elements, agency.workers)


async def join(agency: Agency, cards: Sequence[Card]) -> int:
    """Take cards over: the portal records a choice for each canary, a sender sends them along. Returns how many.

    Raises RegieError FIELD_INVALID for a card that is for others or has expired, and as ``Portal.record``.
    """
    registry, me = await agency.registry(), await agency.me()
    canaries = [canary for card in cards for canary in card.canaries]
    for canary in canaries:
        if me.kind != "viewer" and me.oin != canary.sender:
            raise RegieError("FIELD_INVALID", "this card is for another sender, and for the portal", "card")
        if canary.expires_ms <= agency.clock():
            raise RegieError("FIELD_INVALID", "this card has expired: ask its recipient for a new one", "card")
    if me.kind == "viewer":
        canaries = await _choose(agency, registry, [(card, canary) for card in cards for canary in card.canaries])
    with CanaryStore.open(agency.organisation) as store:
        await store.hold(canaries)
    return len(canaries)


async def _choose(agency: Agency, registry: Registry, dealt: Sequence[tuple[Card, HeldCanary]]) -> list[HeldCanary]:
    """Record a yes for every canary; for the ledger it is one like any other."""
    wishes = []
    for card, canary in dealt:
        purpose = registry.purpose(canary.purpose)
        resident = stand_in(registry, canary)
        row = ChoiceRow(resident, canary.sender, canary.recipient, canary.purpose, (), "JA", card.months)
        for error in choices.check_choice(row, registry):
            raise RegieError("FIELD_INVALID", f"{error.field}: {error.reason}", "card")
        channels = registry.participant(canary.recipient).channels
        if channels and events_pb2.CHANNEL_BRIEF not in channels:  # else nobody could be approached by letter (R34)
            wanted = events_pb2.Preferences(channels=[events_pb2.Channel.ValueType(channel) for channel in channels])
            wishes.append(choices.preference(resident, (canary.purpose,), wanted))
        wishes.append(choices.choice(row, purpose))
    done = await agency.portal().record(wishes, again=True)
    recorded = [
        result
        for wish, result in zip(wishes, done.results, strict=True)
        if wish.about or isinstance(result, RegieError)
    ]
    for result in recorded:
        if isinstance(result, RegieError):
            raise result
    return [
        replace(canary, log_index=index)
        for (_, canary), index in zip(dealt, recorded, strict=True)
        if isinstance(index, int)
    ]


def stand_in(registry: Registry, canary: HeldCanary) -> CanaryResident:
    """Return a canary as the resident that the portal takes it for."""
    return CanaryResident.of(canary, registry.purpose(canary.purpose).schemes[0])
