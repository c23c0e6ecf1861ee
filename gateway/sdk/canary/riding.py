"""At the sender: a canary goes along with a send, in a batch with real signals, and its answer says whether L found it.

The canary is one row among those of a batch: blinded, sealed and placed like them. It never goes alone unless asked
for, since a batch of one would tell the gateway what it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from consent_ledger.clock import DAY_MS
from consent_ledger.errors import RegieError
from consent_ledger.purpose import Purpose
from consent_ledger.v1 import events_pb2
from gateway.home import Organisation
from gateway.sdk.canary.cards import HeldCanary
from gateway.sdk.canary.store import PENDING, CanaryStore, SentCanary
from gateway.sdk.dispatch import BATCH_SIZE, COUNTS, Dispatch, Summary
from gateway.sdk.outbox import UNANSWERED, Outbox, Run
from gateway.sdk.rows import Prepared
from gateway.sdk.sealing import Letter

PENDING_MS = 3 * DAY_MS
"""A batch lives less long: a canary without an answer by then has none."""

CAP_MS = 31 * DAY_MS
"""A little more than the 30 days over which the ledger counts exchanges (R29)."""

_OUTCOMES = {name: number for number, name in COUNTS.items()}
_UNANSWERED = "probeer_later"


class Rider:
    """One canary on its way with one send."""

    def __init__(self, organisation: Organisation, canary: HeldCanary, day: int, row: Prepared) -> None:
        """Made by ``due``."""
        self.row = row
        self._organisation, self._canary, self._day = organisation, canary, day
        self._answer: str | None = None
        self._keyed, self._alone = (b"", row), False

    @classmethod
    async def due(cls, organisation: Organisation, letter: Letter, now_ms: int, *, alone: bool = False) -> Rider | None:
        """Return today's canary for the recipient and purpose of a letter, or one that has no answer yet; else None.

        At most one a day goes along, and each as often as the purpose lets one resident be heard of. Asked for
        ``alone``, the reason why there is none is raised: RegieError PARTY_UNKNOWN, FIELD_INVALID or QUOTA_EXCEEDED.
        """
        try:
            return await cls._due(organisation, letter, now_ms, alone=alone)
        except RegieError:
            if alone:
                raise
            return None

    @classmethod
    async def _due(cls, organisation: Organisation, letter: Letter, now_ms: int, *, alone: bool) -> Rider | None:
        if not CanaryStore.exists(organisation):
            raise RegieError("PARTY_UNKNOWN", "no card of canaries is held: get one from the recipient", "to")
        _check_letter(letter)
        party = (letter.sender.oin, letter.recipient.oin, letter.purpose.id)
        with CanaryStore.open(organisation) as store:
            await store.give_up(now_ms - PENDING_MS)
            canaries = (await store.current(now_ms)).get(party, [])
            usable = [canary for canary in canaries if canary.purpose_version == letter.purpose.version]
            if not usable:
                raise RegieError("PARTY_UNKNOWN", "no card for this recipient and purpose is valid now", "to")
            sent = await store.sent(usable)
            pending = next((one for one in sent if one.outcome == PENDING), None)
            today = now_ms // DAY_MS
            if pending is not None:
                canary, day = next(c for c in usable if c.id == pending.canary), pending.day
            elif not alone and any(one.day == today for one in sent):
                return None
            else:
                canary, day = _next(usable, sent, letter.purpose, now_ms), today
                await store.send(canary.id, day, now_ms)
        return cls(organisation, canary, day, canary.prepared(day, letter.purpose.signal_type))

    def board(self, keyed: tuple[bytes, Prepared], *, alone: bool) -> None:
        """Give it its key in the outbox; ``alone``: it goes also when no real row does."""
        self._keyed, self._alone = keyed, alone

    async def along(self, dispatch: Dispatch, outbox: Outbox, run: Run, rows: Iterator[tuple[bytes, Prepared]]) -> None:
        """Take all rows, and the canary once a real row waits beside it: in a batch of its own it would be known."""
        settled = await self._look(outbox, run)
        size = BATCH_SIZE - 1  # room for the canary in the first batch
        while chunk := list(islice(rows, size)):
            await dispatch.take(chunk)
            if not settled and dispatch.waits:
                await dispatch.take([self._keyed])
                settled = True
            size = BATCH_SIZE
        if not settled and self._alone:
            await dispatch.take([self._keyed])

    async def _look(self, outbox: Outbox, run: Run) -> bool:
        """Take the answer that an interrupted send had for it, if it had."""
        key, _ = self._keyed
        standing = (await outbox.look_up(run, [key])).get(key)
        if standing is None or standing.open or standing.outcome == UNANSWERED:
            return False
        self._answer = COUNTS[events_pb2.Outcome.ValueType(standing.outcome)]
        return True

    async def settle(self, summary: Summary) -> None:
        """Take it out of a summary, and keep its answer."""
        answer = summary.answers.pop(self.row.reference, None)
        if answer is not None:
            summary.rows -= 1
            summary.counts[answer] -= 1
            self._answer = answer
        summary.canary = self._answer
        if self._answer is not None and self._answer != _UNANSWERED:
            with CanaryStore.open(self._organisation) as store:
                await store.answered(self._canary.id, self._day, _OUTCOMES[self._answer])


def _check_letter(letter: Letter) -> None:
    """A canary's choice covers what the purpose lists, observed: with anything else it would be refused, rightly."""
    if letter.purpose.prohibited or letter.basis != "observed" or not set(letter.items) <= letter.purpose.item_names:
        raise RegieError("FIELD_INVALID", "a canary goes with what the purpose allows only", "purpose")


def _next(canaries: Sequence[HeldCanary], sent: Sequence[SentCanary], purpose: Purpose, now_ms: int) -> HeldCanary:
    """Return the canary that was used least; raises RegieError QUOTA_EXCEEDED when all were used as often as they may.

    One use is kept back: a canary whose answer was lost may have been counted by the ledger nevertheless.
    """
    cap = purpose.most_exchanges_per_30_days
    most = max(1, cap - 1) if cap else len(sent) + 1
    uses = Counter(one.canary for one in sent if one.sent_ms > now_ms - CAP_MS)
    today = {one.canary for one in sent if one.day == now_ms // DAY_MS}
    free = [canary for canary in canaries if uses[canary.id] < most and canary.id not in today]
    if not free:
        raise RegieError(
            "QUOTA_EXCEEDED", "every canary was used today, or as often in 30 days as the purpose allows for one person"
        )
    return min(free, key=lambda canary: uses[canary.id])
