"""What waits for a resident: questions of a signal (AS4c), what a desk recorded (R37), and what they try alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2, events_pb2
from consent_ledger.viewer.parties import Party, party
from consent_ledger.viewer.telling import Choice, tell_choice

Stage = Literal["open", "may", "solved"]
"""The resident tries it alone; the sender may report it again; it is over and nothing was reported again."""
_OF_HAND = (events_pb2.CAPTURED_VIA_DESK, events_pb2.CAPTURED_VIA_PAPER)


class SelfFirst(NamedTuple):
    """Something the resident wanted to try alone first."""

    choice: Choice
    stage: Stage
    until_ms: int


class Waiting(NamedTuple):
    """Everything that waits, in the order it ends; ``alone`` newest first."""

    asked: list[Choice]
    to_confirm: list[Choice]
    alone: list[SelfFirst]


def waiting(registry: Registry, choices: Iterable[consents_pb2.ChoiceRecord], now_ms: int) -> Waiting:
    """Return what waits for a resident with these choices."""
    told = [tell_choice(registry, record, now_ms) for record in choices]
    asked = [each for each in told if each.record.asked.open]
    to_confirm = [each for each in told if each.state == "confirm" and each.record.captured_via in _OF_HAND]
    alone = [_self_first(each, now_ms) for each in told if each.record.HasField("self_first")]
    return Waiting(
        sorted(asked, key=lambda each: each.record.asked.deadline_ms),
        sorted(to_confirm, key=lambda each: each.record.valid_from_ms),
        [each for each in alone if each],
    )


def asked_items(choice: Choice, exchanges: Iterable[consents_pb2.ExchangeRecord]) -> tuple[str, ...]:
    """Return the items that the question was about, as far as these exchanges tell; else all that the choice allows."""
    for exchange in exchanges:
        if exchange.log_index == choice.record.asked.log_index:
            return tuple(exchange.items)
    return tuple(choice.record.items)


class Contactable(NamedTuple):
    """An organisation that can be asked something, about one purpose."""

    party: Party
    purpose: str

    @property
    def key(self) -> str:
        """How a form names it."""
        return f"{self.party.oin}/{self.purpose}"


def contactable(registry: Registry, record: consents_pb2.GetRecordResponse) -> list[Contactable]:
    """Return whom a resident can ask: who takes part in a choice of theirs, or in what was shared or tried.

    A recipient is among them only once it received something: it must not learn of anything else.
    """
    pairs = [(exchange.sender, exchange.purpose) for exchange in record.exchanges]
    pairs += [(exchange.recipient, exchange.purpose) for exchange in record.exchanges if exchange.released_index]
    pairs += [(choice.scope.sender, choice.scope.purpose) for choice in record.choices]
    found = {Contactable(party(registry, oin), purpose) for oin, purpose in pairs if registry.find_participant(oin)}
    return sorted(found, key=lambda each: (each.party.name, each.purpose))


def _self_first(choice: Choice, now_ms: int) -> SelfFirst | None:
    window = choice.record.self_first
    if window.solved:
        return SelfFirst(choice, "solved", window.report_until_ms)
    if now_ms <= window.self_until_ms:
        return SelfFirst(choice, "open", window.self_until_ms)
    return SelfFirst(choice, "may", window.report_until_ms) if now_ms <= window.report_until_ms else None
