"""What an exchange and a choice look like to their resident: which of a few kinds, and the names in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from consent_ledger import severity
from consent_ledger.purpose import Item, Purpose, Text
from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2, events_pb2
from consent_ledger.viewer.parties import Party, party

ExchangeKind = Literal["shared", "blocked", "waiting", "asked", "self_first", "solved", "lapsed"]
ChoiceState = Literal["active", "starts", "confirm", "ends", "stopped", "ended", "no"]
BADGES: dict[str, str] = {
    "shared": "shared",
    "blocked": "blocked",
    "waiting": "waiting",
    "asked": "asked",
    "self_first": "asked",
    "solved": "neutral",
    "lapsed": "neutral",
    "active": "shared",
    "starts": "waiting",
    "confirm": "asked",
    "ends": "asked",
    "stopped": "blocked",
    "ended": "blocked",
    "no": "blocked",
}
"""Which badge (templates/macros.html) says it; the word in it says the same without colour."""
HOLDING: frozenset[ChoiceState] = frozenset({"active", "ends"})
OPEN: frozenset[ChoiceState] = HOLDING | {"starts", "confirm"}
"""States in which a resident can stop a choice."""
CAN_CHOOSE = (
    events_pb2.REASON_NO_CONSENT,
    events_pb2.REASON_REFUSED,
    events_pb2.REASON_WITHDRAWN,
    events_pb2.REASON_EXPIRED,
    events_pb2.REASON_BELOW_THRESHOLD,
    events_pb2.REASON_SCOPE_EXCEEDED,
)
"""Blocked for a reason that a choice of the resident can change."""


class Exchange(NamedTuple):
    """One exchange, told."""

    record: consents_pb2.ExchangeRecord
    kind: ExchangeKind
    sender: Party
    recipient: Party
    purpose: Purpose | None
    items: tuple[Text, ...]

    @property
    def title(self) -> Text:
        """What the purpose is called; its own number when the log does not know it."""
        return title_of(self.purpose, self.record.purpose)

    @property
    def badge(self) -> str:
        """The badge that says its kind."""
        return BADGES[self.kind]


class Choice(NamedTuple):
    """One choice, told."""

    record: consents_pb2.ChoiceRecord
    state: ChoiceState
    sender: Party
    recipient: Party
    purpose: Purpose | None
    items: tuple[Text, ...]
    replaced: bool = False
    """A later choice for the same parties counts instead."""

    @property
    def stoppable(self) -> bool:
        """Tell whether there is something to stop."""
        return self.state in OPEN and not self.replaced

    @property
    def title(self) -> Text:
        """What the purpose is called."""
        return title_of(self.purpose, self.record.scope.purpose)

    @property
    def badge(self) -> str:
        """The badge that says its state."""
        return BADGES[self.state]

    @property
    def threshold(self) -> Text | None:
        """From what on something is shared; None: always (R4)."""
        return severity.words(self.purpose, self.record.threshold) if self.purpose else None

    @property
    def private(self) -> bool:
        """Tell whether a company sends or receives (R11)."""
        return self.sender.private or self.recipient.private


def tell_exchange(
    registry: Registry, record: consents_pb2.ExchangeRecord, now_ms: int, closed: frozenset[int] = frozenset()
) -> Exchange:
    """Tell one exchange; ``closed`` are the questions that are answered or over (their log indices)."""
    purpose = registry.find_purpose(record.purpose)
    return Exchange(
        record,
        kind_of(record, now_ms, closed),
        party(registry, record.sender),
        party(registry, record.recipient),
        purpose,
        labels(purpose, record.items),
    )


def tell_choice(registry: Registry, record: consents_pb2.ChoiceRecord, now_ms: int) -> Choice:
    """Tell one choice."""
    scope, purpose = record.scope, registry.find_purpose(record.scope.purpose)
    return Choice(
        record,
        state_of(record, now_ms),
        party(registry, scope.sender),
        party(registry, scope.recipient),
        purpose,
        labels(purpose, record.items or [item.name for item in items_of(purpose)]),
    )


def tell_choices(registry: Registry, records: Iterable[consents_pb2.ChoiceRecord], now_ms: int) -> list[Choice]:
    """Tell choices, in the order given."""
    return [tell_choice(registry, record, now_ms) for record in records]


def tell_exchanges(registry: Registry, record: consents_pb2.GetRecordResponse, now_ms: int) -> list[Exchange]:
    """Tell one page of exchanges, newest first."""
    asked = (choice.asked for choice in record.choices if choice.HasField("asked"))
    closed = frozenset(question.log_index for question in asked if not question.open)
    return [tell_exchange(registry, exchange, now_ms, closed) for exchange in record.exchanges]


def kind_of(record: consents_pb2.ExchangeRecord, now_ms: int, closed: frozenset[int] = frozenset()) -> ExchangeKind:
    """Return what became of an exchange, as a page shows it at this time."""
    if record.withheld_reason:
        return "blocked"
    if record.released_index:
        return "shared"
    match record.reason:
        case events_pb2.REASON_ALLOWED:
            return "waiting" if record.waiting else "lapsed"
        case events_pb2.REASON_SELF_FIRST_WINDOW:
            return "solved" if record.solved_by_self else "self_first"
        case events_pb2.REASON_AWAITING_RESIDENT:
            return "asked" if now_ms <= record.date_ms and record.log_index not in closed else "lapsed"
        case _:
            return "blocked"


def state_of(record: consents_pb2.ChoiceRecord, now_ms: int) -> ChoiceState:
    """Return how a choice stands at this time; a pause is not part of it."""
    if record.mode == events_pb2.MODE_NEE:
        return "no"
    if record.withdrawn_ms or record.mode == events_pb2.MODE_UNSPECIFIED:
        return "stopped"
    if now_ms >= record.valid_until_ms:
        return "ended"
    if record.awaits_confirmation:
        return "confirm"
    if now_ms < record.valid_from_ms:
        return "starts"
    return "ends" if record.ends_within_days else "active"


def same_parties(one: events_pb2.Scope, other: events_pb2.Scope) -> bool:
    """Tell whether two choices are about the same sender, recipient and purpose, of whatever version."""
    return (one.sender, one.recipient, one.purpose) == (other.sender, other.recipient, other.purpose)


def title_of(purpose: Purpose | None, identity: str) -> Text:
    """Return a purpose's title."""
    return purpose.title if purpose else Text(identity, identity)


def labels(purpose: Purpose | None, names: Iterable[str]) -> tuple[Text, ...]:
    """Return what items are called."""
    return tuple(purpose.label(name) if purpose else Text(name, name) for name in names)


def items_of(purpose: Purpose | None) -> tuple[Item, ...]:
    """Return the closed list of a purpose."""
    return purpose.items if purpose else ()
