"""What agencies hand to the SDK: rows as values, whether they come from a file or from a program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

from gateway.crypto.identifiers import ADDRESS, BSN, AddressBirthDate, Bsn
from gateway.v1 import signals_pb2

STEPS: dict[str, signals_pb2.Step.ValueType] = {
    "reminder": signals_pb2.STEP_REMINDER,
    "contact": signals_pb2.STEP_CONTACT,
    "help_pointed": signals_pb2.STEP_HELP_POINTED,
    "offer_made": signals_pb2.STEP_OFFER_MADE,
}
ANSWERS = ("JA", "NEE", "VRAAG_MIJ_EERST", "EERST_ZELF")
MONTHS = (3, 6, 12)


@dataclass(frozen=True, slots=True)
class ArrearsRow:
    """A bill in arrears. ``months`` leaves the sender only as a band; ``reference`` never leaves it."""

    scheme: ClassVar[str] = ADDRESS
    natural_item: ClassVar[str] = "betalingsachterstand"
    signal_type: ClassVar[str] = "arrears"

    reference: str
    person: AddressBirthDate
    months: Decimal
    end_of_supply: bool
    warm_handover: bool
    signal_date: date
    steps: tuple[str, ...] = ()

    @property
    def fact(self) -> tuple[Any, ...]:
        """What is said, without about whom."""
        return self.months, self.end_of_supply, self.warm_handover, self.signal_date, self.steps

    @staticmethod
    def signal_of(fact: tuple[Any, ...], partner: signals_pb2.PartnerKind.ValueType) -> signals_pb2.Signal:
        """Return the derived facts that are shared."""
        months, end_of_supply, warm_handover, signal_date, steps = fact
        return signals_pb2.Signal(
            arrears=signals_pb2.ArrearsSignal(
                partner=partner,
                duration=duration_band(months),
                end_of_supply=end_of_supply,
                warm_handover=warm_handover,
                signal_date=signal_date.isoformat(),
                steps=sorted(STEPS[step] for step in steps),
            )
        )


@dataclass(frozen=True, slots=True)
class IncomeRow:
    """An income that fell: the band of the drop in percents and the period, never the income."""

    scheme: ClassVar[str] = BSN
    natural_item: ClassVar[str] = "inkomen_gedaald"
    signal_type: ClassVar[str] = "income_drop"

    reference: str
    person: Bsn
    drop_band: tuple[int, int]
    period: str

    @property
    def fact(self) -> tuple[Any, ...]:
        """What is said, without about whom."""
        return self.drop_band, self.period

    @staticmethod
    def signal_of(fact: tuple[Any, ...], _partner: signals_pb2.PartnerKind.ValueType) -> signals_pb2.Signal:
        """Return the derived facts that are shared."""
        (low, high), period = fact
        band = signals_pb2.PercentBand(low=low, high=high)
        return signals_pb2.Signal(income_drop=signals_pb2.IncomeDropSignal(drop=band, period=period))


SignalRow = ArrearsRow | IncomeRow
SignalOf = Callable[[tuple[Any, ...], signals_pb2.PartnerKind.ValueType], signals_pb2.Signal]


class Prepared(NamedTuple):
    """A row as it is sent: its reference, the identifier's message bytes and the Signal bytes, made once.

    ``signal_ref`` (16 bytes) is drawn at random unless the row brings its own.
    """

    reference: str
    message: bytes
    payload: bytes
    signal_ref: bytes = b""


def prepare(row: SignalRow, partner: signals_pb2.PartnerKind.ValueType) -> Prepared:
    """Make what is sent of a row by a sender of this kind."""
    return Prepared(row.reference, row.person.message(), _payload(row.signal_of, row.fact, partner))


@lru_cache(maxsize=4096)
def _payload(signal_of: SignalOf, fact: tuple[Any, ...], partner: signals_pb2.PartnerKind.ValueType) -> bytes:
    """Return Signal bytes; a file says few different things about many people, so each is written once."""
    return signal_of(fact, partner).SerializeToString(deterministic=True)


@dataclass(frozen=True, slots=True)
class Resident:
    """The identifiers of one resident, as far as they are known: at least one of them."""

    bsn: Bsn | None
    address: AddressBirthDate | None

    def message(self, scheme: str) -> bytes | None:
        """Return the identifier's message bytes in a scheme; None when it is not known."""
        person = {BSN: self.bsn, ADDRESS: self.address}.get(scheme)
        return person.message() if person else None


@dataclass(frozen=True, slots=True)
class ResidentRow:
    """A resident of a municipality, under the municipality's own reference."""

    resident_ref: str
    resident: Resident


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """A resident's choice for one sender, recipient and purpose. No items: every item the purpose lists."""

    resident: Resident
    sender: str
    recipient: str
    purpose: str
    items: tuple[str, ...]
    answer: str
    months: int | None
    threshold: int = 0  # only signals of at least this severity (consent_ledger/severity.py); 0: every signal
    life_event: bool = False  # "Er is iets veranderd" led to it


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """What a recipient did about one delivery.

    ``channel`` is one of ``describe.CHANNELS``; empty: nobody was approached. ``result`` and ``part_of_day`` are in the
    words of DDAS (gateway/sdk/ddas.py) and stay with the recipient, as does ``reached``; the resident reads ``offer``,
    or the result where that is empty. Language and form of address, when empty, are as the resident wished.
    """

    delivery_id: str
    when_ms: int
    channel: str
    offer: str
    result: str = ""
    reached: bool | None = None
    part_of_day: str = ""
    language: str = ""
    form_of_address: str = ""
    other_person: bool = False


def duration_band(months: Decimal) -> signals_pb2.DurationBand.ValueType:
    """Return the band of a number of months: under 1, 1 to 2, 2 to 3 (bounds included above), over 3."""
    if months < 1:
        return signals_pb2.DURATION_BAND_UNDER_1_MONTH
    if months <= 2:
        return signals_pb2.DURATION_BAND_1_TO_2_MONTHS
    if months <= 3:
        return signals_pb2.DURATION_BAND_2_TO_3_MONTHS
    return signals_pb2.DURATION_BAND_OVER_3_MONTHS
