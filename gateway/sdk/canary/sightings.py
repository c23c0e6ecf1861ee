"""At the recipient: which of the signals that came are canaries, and whether their pseudonym is the enrolled one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consent_ledger.clock import DAY_MS
from gateway.home import Organisation
from gateway.sdk.canary.cards import HeldCanary
from gateway.sdk.canary.store import CanaryStore
from gateway.sdk.inbox import CanaryRecord, SignalRecord

DAYS_BEFORE, DAYS_AFTER = 8, 1
"""How many days before its receipt a canary may have been made (3 to be sealed, 3 to live, and a bad clock)."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A canary that came. Unless it ``fits``, its pseudonym is not the one it was enrolled with."""

    sender: str
    purpose: str
    fits: bool


async def recognise(
    organisation: Organisation, records: Sequence[SignalRecord]
) -> tuple[list[SignalRecord], list[CanaryRecord], list[Sighting]]:
    """Tell the canaries among one batch's signals from the others.

    They are known by their reference, which only who has the card can make, and not by their pseudonym: so also when
    that is wrong.
    """
    if not records or not CanaryStore.exists(organisation):
        return list(records), [], []
    with CanaryStore.open(organisation) as store:
        held = await store.all()
    expected = _references(held, records[0])
    signals: list[SignalRecord] = []
    canaries: list[CanaryRecord] = []
    sightings: list[Sighting] = []
    for record in records:
        canary = expected.get(record.signal_ref)
        if canary is None:
            signals.append(record)
            continue
        canaries.append(
            CanaryRecord(
                record.sender, record.signal_ref, canary.id, record.purpose, record.stored_index, record.received_ms
            )
        )
        sightings.append(Sighting(record.sender, record.purpose, record.stored_index == canary.stored_index))
    return signals, canaries, sightings


def _references(held: Sequence[HeldCanary], record: SignalRecord) -> dict[bytes, HeldCanary]:
    """Return the references that canaries of a batch's sender and purpose may have, at the time of a record of it."""
    today = record.received_ms // DAY_MS
    ours = [canary for canary in held if (canary.sender, canary.purpose) == (record.sender, record.purpose)]
    days = range(max(0, today - DAYS_BEFORE), today + DAYS_AFTER + 1)
    return {canary.signal_ref(day): canary for canary in ours for day in days}
