"""A purpose: the whole text and rules of one reason to share, as published in the log (ledger.md, "Events")."""

from __future__ import annotations

from dataclasses import dataclass

from consent_ledger.v1 import events_pb2 as pb

_KIND = "PARTICIPANT_KIND_"
_SIGNAL = "SIGNAL_TYPE_"


def kind_name(kind: pb.ParticipantKind.ValueType) -> str:
    """Return the lower-case name of a kind of participant, for example "energy_supplier"."""
    return pb.ParticipantKind.Name(kind).removeprefix(_KIND).lower()


def kind_value(name: str) -> pb.ParticipantKind.ValueType:
    """Return the enum value of a kind; raises ValueError for a name that is none."""
    return pb.ParticipantKind.Value(_KIND + name.upper())


@dataclass(frozen=True, slots=True)
class Text:
    """One sentence in both languages of the product."""

    nl: str
    en: str

    @classmethod
    def from_proto(cls, message: pb.Text) -> Text:
        """Read it from its message."""
        return cls(message.nl, message.en)

    def to_proto(self) -> pb.Text:
        """Write it as its message."""
        return pb.Text(nl=self.nl, en=self.en)


NO_TEXT = Text("", "")


@dataclass(frozen=True, slots=True)
class Item:
    """One data item of a purpose's closed list."""

    name: str
    label: Text


@dataclass(frozen=True, slots=True)
class Purpose:
    """Text and rules of one version of a purpose; ``kinds`` are lower-case names, durations are in the unit named."""

    id: str
    version: int
    title: Text
    description: Text
    legal_ground: Text
    items: tuple[Item, ...]
    schemes: tuple[str, ...]
    sender_kinds: tuple[str, ...]
    recipient_kinds: tuple[str, ...]
    not_shared: Text = NO_TEXT
    next_step: Text = NO_TEXT
    prohibited: bool = False
    prohibited_because: Text = NO_TEXT
    signal_type: str = ""  # "ARREARS", "INCOME_DROP", or "" when no signal is defined
    longest_validity_months: int = 12
    most_exchanges_per_30_days: int = 0  # 0: no ceiling
    retention_days: int = 0
    self_first_days: int = 14
    ask_days: int = 14
    fold_later: bool = False
    required_steps: tuple[str, ...] = ()
    ledger_retention_days: int = 0  # what no longer decides is erased after so many days; 0: no version said so yet
    retired: bool = False  # by a later PurposeRetired event; not part of the published message

    @property
    def item_names(self) -> frozenset[str]:
        """The closed list of data items."""
        return frozenset(item.name for item in self.items)

    def label(self, name: str) -> Text:
        """Return what an item is called to people; an item outside the list is shown by its own name."""
        return next((item.label for item in self.items if item.name == name), Text(name, name))

    @classmethod
    def from_proto(cls, message: pb.Purpose) -> Purpose:
        """Read a published purpose."""
        signal = pb.SignalType.Name(message.signal_type).removeprefix(_SIGNAL)
        return cls(
            id=message.id,
            version=message.version,
            title=Text.from_proto(message.title),
            description=Text.from_proto(message.description),
            legal_ground=Text.from_proto(message.legal_ground),
            items=tuple(Item(item.name, Text.from_proto(item.label)) for item in message.items),
            schemes=tuple(message.schemes),
            sender_kinds=tuple(kind_name(kind) for kind in message.sender_kinds),
            recipient_kinds=tuple(kind_name(kind) for kind in message.recipient_kinds),
            not_shared=Text.from_proto(message.not_shared),
            next_step=Text.from_proto(message.next_step),
            prohibited=message.prohibited,
            prohibited_because=Text.from_proto(message.prohibited_because),
            signal_type="" if signal == "UNSPECIFIED" else signal,
            longest_validity_months=message.longest_validity_months,
            most_exchanges_per_30_days=message.most_exchanges_per_30_days,
            retention_days=message.retention_days,
            self_first_days=message.self_first_days,
            ask_days=message.ask_days,
            fold_later=message.fold_later,
            required_steps=tuple(message.required_steps),
            ledger_retention_days=message.ledger_retention_days,
        )

    def to_proto(self) -> pb.Purpose:
        """Write it as it is published."""
        return pb.Purpose(
            id=self.id,
            version=self.version,
            title=self.title.to_proto(),
            description=self.description.to_proto(),
            legal_ground=self.legal_ground.to_proto(),
            prohibited=self.prohibited,
            prohibited_because=self.prohibited_because.to_proto() if self.prohibited else None,
            sender_kinds=[kind_value(kind) for kind in self.sender_kinds],
            recipient_kinds=[kind_value(kind) for kind in self.recipient_kinds],
            items=[pb.PurposeItem(name=item.name, label=item.label.to_proto()) for item in self.items],
            not_shared=self.not_shared.to_proto(),
            schemes=self.schemes,
            signal_type=pb.SignalType.Value(_SIGNAL + (self.signal_type or "UNSPECIFIED")),
            longest_validity_months=self.longest_validity_months,
            most_exchanges_per_30_days=self.most_exchanges_per_30_days,
            retention_days=self.retention_days,
            self_first_days=self.self_first_days,
            ask_days=self.ask_days,
            fold_later=self.fold_later,
            required_steps=self.required_steps,
            next_step=self.next_step.to_proto(),
            ledger_retention_days=self.ledger_retention_days,
        )
