"""What each party can see of its canaries: whether every factor is still the one that it was set up with.

A wrong factor shows in one place or another, depending on whose domain and which path it is in: the table in
docs/adr/0006-canaries.md reads the findings of all three parties together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from consent_ledger.clock import DAY_MS
from consent_ledger.errors import RegieError
from consent_ledger.v1 import consents_pb2, events_pb2
from gateway.sdk.agency import Agency
from gateway.sdk.canary.cards import HeldCanary
from gateway.sdk.canary.setting import stand_in, stored_indices
from gateway.sdk.canary.store import PENDING, CanaryStore
from gateway.sdk.dispatch import COUNTS
from gateway.sdk.inbox import CanaryRecord, canaries_seen

WITHIN_DAYS = 35
"""Partners send in weekly or monthly runs: a canary that has not come for longer is missed."""

_DOUBTS = frozenset({"PROOF_INVALID", "SIGNATURE_INVALID", "ELEMENT_INVALID"})
"""What a row evaluation refuses when an evaluator is not the one it was; all else says that nothing was checked."""

Status = Literal["ok", "alarm", "waiting"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``path``: rows (evaluated now), signals (as they came or were answered), choices.

    ``time_ms`` is that of the newest canary it speaks of; 0: none.
    """

    path: Literal["rows", "signals", "choices"]
    sender: str
    recipient: str
    purpose: str
    status: Status
    detail: str
    time_ms: int = 0


async def check(agency: Agency, *, within_days: int = WITHIN_DAYS) -> list[Finding]:
    """Look at all canaries of this organisation, as far as its kind can.

    Raises RegieError PARTY_UNKNOWN when it has none, and when a party that is needed cannot be reached.
    """
    if not CanaryStore.exists(agency.organisation):
        raise RegieError("PARTY_UNKNOWN", "this organisation has no canaries: see `regie canary setup` and `join`")
    me, now = await agency.me(), agency.clock()
    with CanaryStore.open(agency.organisation) as store:
        cards = await store.current(now)
        sent = {party: await store.sent(canaries) for party, canaries in cards.items()}
        everything = await store.all()
    findings = [_expired(party) for party, canaries in cards.items() if not canaries]
    cards = {party: canaries for party, canaries in cards.items() if canaries}
    findings += await _outdated(agency, cards)
    if me.kind == "viewer":
        for party, canaries in cards.items():
            findings += [await _choice(agency, party, canary, now) for canary in canaries]
        return findings
    for party in cards:
        if party[0] == me.oin:
            answers = [(one.outcome, one.sent_ms) for one in sent[party]]
            findings.append(_answered(party, answers))
    mine = {party: canaries for party, canaries in cards.items() if party[1] == me.oin}
    findings += await _rows(agency, mine, now)
    seen = await canaries_seen(agency.organisation) if mine else []
    known = {canary.id: canary for canary in everything}
    for party, canaries in mine.items():
        came = [record for record in seen if (record.sender, record.purpose) == (party[0], party[2])]
        findings.append(_came(party, came, known, since_ms=canaries[0].created_ms, now_ms=now, within_days=within_days))
    return findings


Party = tuple[str, str, str]
"""Sender, recipient, purpose."""


def _expired(party: Party) -> Finding:
    return Finding("choices", *party, "alarm", "the card has expired, so nothing is watched: set up a new one")


async def _outdated(agency: Agency, cards: dict[Party, list[HeldCanary]]) -> list[Finding]:
    registry = await agency.registry()
    text = "the purpose has changed since: the card's choices count no more, set up a new one"
    return [
        Finding("choices", *party, "alarm", text)
        for party, canaries in cards.items()
        if (purpose := registry.find_purpose(party[2])) is None or purpose.version != canaries[0].purpose_version
    ]


async def _rows(agency: Agency, cards: dict[Party, list[HeldCanary]], now_ms: int) -> list[Finding]:
    """Evaluate one row per purpose, another one each day: it is charged to a small daily quota."""
    findings = []
    for purpose in dict.fromkeys(party[2] for party in cards):
        canaries = [canary for party, held in cards.items() if party[2] == purpose for canary in held]
        canary = canaries[now_ms // DAY_MS % len(canaries)]
        status, detail = await _row(agency, canary)
        findings.append(Finding("rows", canary.sender, canary.recipient, purpose, status, detail, now_ms))
    return findings


async def _row(agency: Agency, canary: HeldCanary) -> tuple[Status, str]:
    try:
        (index,) = await stored_indices(agency, canary.purpose, [canary])
    except RegieError as error:
        if error.reason not in _DOUBTS:
            raise
        return "alarm", f"an evaluator is not what it was: {error.message}"
    if index != canary.stored_index:
        return "alarm", "another pseudonym than enrolled: a factor, or this organisation's closing key, has changed"
    return "ok", "enrolled pseudonym found again"


def _came(
    party: Party,
    came: Sequence[CanaryRecord],
    known: dict[bytes, HeldCanary],
    *,
    since_ms: int,
    now_ms: int,
    within_days: int,
) -> Finding:
    """Judge the canaries that came from one sender, newest first, by the newest one."""
    missed_ms = now_ms - within_days * DAY_MS
    if not came or came[0].received_ms < missed_ms:
        text = f"none came in {within_days} days: does the sender send, and what are its canaries answered?"
        status: Status = "alarm" if max(since_ms, came[0].received_ms if came else 0) < missed_ms else "waiting"
        return Finding("signals", *party, status, text if status == "alarm" else "none came yet")
    wrong = [
        record
        for record in came
        if record.received_ms >= missed_ms and known[record.canary].stored_index != record.stored_index
    ]
    newest = came[0]
    if newest in wrong:
        text = "the newest came under another pseudonym than enrolled: an evaluator uses a wrong factor for signals"
        return Finding("signals", *party, "alarm", text, newest.received_ms)
    text = f"the newest fits; {len(wrong)} of the last {within_days} days did not" if wrong else "the newest fits"
    return Finding("signals", *party, "ok", text, newest.received_ms)


def _answered(party: Party, answers: Sequence[tuple[int, int]]) -> Finding:
    """Judge the answers to a sender's canaries, newest first, by the newest one that is there."""
    found = next(((outcome, sent_ms) for outcome, sent_ms in answers if outcome != PENDING), None)
    if found is None:
        return Finding("signals", *party, "waiting", "none was answered yet")
    outcome, sent_ms = found
    if outcome == events_pb2.OUTCOME_ACCEPTED:
        return Finding("signals", *party, "ok", "the newest was accepted", sent_ms)
    name = COUNTS[events_pb2.Outcome.ValueType(outcome)]
    text = f"the newest was answered {name}: a wrong factor for the ledger, or the portal has not joined"
    return Finding("signals", *party, "alarm", text, sent_ms)


async def _choice(agency: Agency, party: Party, canary: HeldCanary, now_ms: int) -> Finding:
    """Look a canary up at the ledger as the portal looks a resident up."""
    try:
        record = await agency.portal().look_up(stand_in(await agency.registry(), canary), limit=1)
    except RegieError as error:
        if error.reason not in _DOUBTS:
            raise
        return Finding("choices", *party, "alarm", f"an evaluator is not what it was: {error.message}", now_ms)
    if any(_holds(choice, canary, now_ms) for choice in record.choices):
        return Finding("choices", *party, "ok", "its choice stands at the ledger", now_ms)
    text = "the ledger does not find its choice: a factor, or the ledger's closing key, has changed"
    return Finding("choices", *party, "alarm", text, now_ms)


def _holds(choice: consents_pb2.ChoiceRecord, canary: HeldCanary, now_ms: int) -> bool:
    scope = choice.scope
    mine = (scope.sender, scope.recipient, scope.purpose) == (canary.sender, canary.recipient, canary.purpose)
    return mine and choice.log_index == canary.log_index and not choice.withdrawn_ms and now_ms < choice.valid_until_ms
