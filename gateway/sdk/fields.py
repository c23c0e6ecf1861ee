"""Fields of a row: each parser says the rule that a value breaks, and never the value."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import TypeVar

from gateway.crypto.identifiers import AddressBirthDate, Bsn, IdentifierError
from gateway.sdk.csvfile import FieldError, Record
from gateway.sdk.ddas import PARTS_OF_DAY, RESULTS, RESULTS_BEFORE
from gateway.sdk.describe import CHANNELS
from gateway.sdk.rows import ANSWERS, MONTHS, STEPS, Resident

T = TypeVar("T")

_FLAGS = {"": False, "ja": True, "yes": True, "true": True, "1": True}
_FLAGS |= {"nee": False, "no": False, "false": False, "0": False}
_MONTHS = re.compile(r"[0-9]{1,3}(?:[.,][0-9]{1,2})?")
_BAND = re.compile(r"([0-9]{1,3})%?-([0-9]{1,3})%?|([<>])([0-9]{1,3})%?")
_PERIOD = re.compile(r"([0-9]{4})(?:-Q[1-4]|-((?:0[1-9]|1[0-2]))(?:/([0-9]{4})-(0[1-9]|1[0-2]))?)?")
_OIN = re.compile(r"[0-9]{20}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PURPOSE = re.compile(r"[a-z][a-z0-9-]{0,63}")
_DELIVERY = re.compile(r"[0-9a-f]{32}-[0-9]{1,4}")
_CONTACTS = {"mail": "email", "afspraak op locatie": "gesprek_op_kantoor", "administratief": ""}
_SEPARATORS = re.compile(r"[;|\s]+")
_ADDRESS = ("postcode", "house_number", "house_letter", "house_addition")
_VALID = {
    "postcode": "1000AA",
    "house_number": "1",
    "house_letter": "",
    "house_addition": "",
    "birth_date": "2000-01-01",
}


class RowError(Exception):
    """A row is rejected; ``errors`` names every field at fault. Values are in no text of it."""

    def __init__(self, errors: list[FieldError]) -> None:
        """Keep the errors, in the order they were found."""
        super().__init__("; ".join(f"{error.field} {error.reason}" for error in errors))
        self.errors = tuple(errors)


class Fields:
    """Takes fields out of a record and collects what is wrong with them."""

    def __init__(self, record: Record, now: date) -> None:
        """Start with what is wrong with the record's shape; ``now`` is the latest date that is not in the future."""
        self.now = now
        self.values = record.values
        self.errors = list(record.errors)
        self._unreadable = {error.field for error in record.errors}

    def fail(self, field: str, reason: str) -> None:
        """Note an error, once a field."""
        if field not in self._unreadable:
            self._unreadable.add(field)
            self.errors.append(FieldError(field, reason))

    def take(self, field: str, parse: Callable[[str], T]) -> T | None:
        """Return the parsed field; None, and an error noted, when ``parse`` raises ValueError with the reason."""
        try:
            return parse(self.values.get(field, ""))
        except ValueError as error:
            self.fail(field, error.message if isinstance(error, IdentifierError) else str(error))
            return None

    def filled(self, *fields: str) -> bool:
        """Tell whether any of the fields holds something."""
        return any(self.values.get(field) for field in fields)

    def bsn(self) -> Bsn | None:
        """Return the citizen number; None with an error noted when it is absent or wrong."""
        return self.take("bsn", Bsn)

    def address(self) -> AddressBirthDate | None:
        """Return address and birth date; None, with every field at fault noted."""
        values = {field: self.values.get(field, "") for field in _VALID}
        sound = True
        while True:
            try:
                person = AddressBirthDate(**values, today=self.now)
            except IdentifierError as error:
                # Go on with a sound value in its place, so that one pass names all fields that are wrong.
                sound = False
                self.fail(error.field, error.message)
                if values[error.field] == _VALID[error.field]:
                    raise
                values[error.field] = _VALID[error.field]
            else:
                return person if sound else None

    def resident(self) -> Resident:
        """Return the identifiers that are filled in; an error is noted when there is none."""
        bsn = self.bsn() if self.filled("bsn") else None
        address = self.address() if self.filled(*_ADDRESS) else None
        if not self.filled("bsn", *_ADDRESS):
            self.fail("bsn", "fill in a BSN, or an address with birth date")
        elif not self.filled(*_ADDRESS) and self.filled("birth_date"):
            self.address_part("birth_date")
        return Resident(bsn, address)

    def address_part(self, field: str) -> None:
        """Check one field of an address that is otherwise empty."""
        try:
            AddressBirthDate(**{**_VALID, field: self.values.get(field, "")}, today=self.now)
        except IdentifierError as error:
            self.fail(error.field, error.message)

    def row(self, make: Callable[[], T]) -> T:
        """Return the row, or raise RowError with all that was noted."""
        if self.errors:
            raise RowError(self.errors)
        return make()


def as_reference(text: str) -> str:
    if not text:
        raise ValueError("is empty: give each row a reference of your own")
    if len(text) > 64 or not text.isprintable():
        raise ValueError("is at most 64 printable characters")
    return text


def as_real_date(text: str) -> date:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
        raise ValueError("is a whole date, written YYYY-MM-DD")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("is no day of the calendar") from None


def as_months(text: str) -> Decimal:
    if not _MONTHS.fullmatch(text):
        raise ValueError("is a number of months, such as 2 or 2.5")
    months = Decimal(text.replace(",", "."))
    if months > 120:
        raise ValueError("is at most 120 months")
    return months


def as_flag(text: str) -> bool:
    try:
        return _FLAGS[text.lower()]
    except KeyError:
        raise ValueError("is ja or nee (yes, no, true, false, 1, 0; empty is nee)") from None


def as_list(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part for part in _SEPARATORS.split(text) if part))


def as_steps(text: str) -> tuple[str, ...]:
    steps = as_list(text)
    if not set(steps) <= set(STEPS):
        raise ValueError(f"holds any of {', '.join(STEPS)}, with ; between them")
    return steps


def as_band(text: str) -> tuple[int, int]:
    match = _BAND.fullmatch(text.replace(" ", ""))
    if not match:
        raise ValueError("is a band of percents: 25-50, <10 or >50")
    if match[3]:
        bound = int(match[4])
        low, high = (0, bound) if match[3] == "<" else (bound, 100)
    else:
        low, high = int(match[1]), int(match[2])
    if low % 5 or high % 5 or high > 100 or high - low < 10:
        raise ValueError("has bounds that are multiples of 5, at most 100, and at least 10 apart")
    return low, high


def as_period(text: str) -> str:
    match = _PERIOD.fullmatch(text)
    if not match:
        raise ValueError("is YYYY, YYYY-Q1, YYYY-MM or YYYY-MM/YYYY-MM")
    year, month, last_year, last_month = match.groups()
    if last_year and (last_year, last_month) < (year, month):
        raise ValueError("ends before it begins")
    return text


def as_oin(text: str) -> str:
    if not _OIN.fullmatch(text):
        raise ValueError("is an OIN: 20 digits")
    return text


def as_purpose(text: str) -> str:
    if not _PURPOSE.fullmatch(text):
        raise ValueError("is the name of a purpose, such as vroegsignalering-energie")
    return text


def as_items(text: str) -> tuple[str, ...]:
    items = as_list(text)
    if len(items) > 32 or not all(_NAME.fullmatch(item) for item in items):
        raise ValueError("holds names of data items, with ; between them")
    return items


def as_answer(text: str) -> str:
    if text.upper() not in ANSWERS:
        raise ValueError(f"is {', '.join(ANSWERS[:-1])} or {ANSWERS[-1]}")
    return text.upper()


def as_delivery(text: str) -> str:
    if not _DELIVERY.fullmatch(text):
        raise ValueError("is the delivery_id of a received signal: see `regie receive --json`")
    return text


def as_contact(text: str) -> str:
    """A channel, by its name or by the word of DDAS where that has one meaning; empty: nobody was approached."""
    name = _CONTACTS.get(text.lower(), text.lower())
    if name and name not in CHANNELS:
        raise ValueError(f"is one of {', '.join(CHANNELS)}, or empty when nobody was approached")
    return name


def as_result(text: str) -> str:
    result = RESULTS_BEFORE.get(text, text)
    if result and result not in RESULTS:
        raise ValueError("is empty or an end result (EnumEindresultaat) of DDAS vroegsignalering v1.2")
    return result


def as_part_of_day(text: str) -> str:
    part = text.capitalize()
    if part and part not in PARTS_OF_DAY:
        raise ValueError(f"is empty or {', '.join(PARTS_OF_DAY)}")
    return part


def as_text(text: str) -> str:
    if len(text) > 128 or not text.isprintable():
        raise ValueError("is at most 128 printable characters")
    return text


def as_language(text: str) -> str:
    if text not in {"", "nl", "en"}:
        raise ValueError("is nl, en, or empty for what the resident wished")
    return text


def as_address_form(text: str) -> str:
    if text not in {"", "u", "je"}:
        raise ValueError("is u, je, or empty for what the resident wished")
    return text


def as_validity(text: str) -> int:
    if text not in {str(months) for months in MONTHS}:
        raise ValueError("is 3, 6 or 12")
    return int(text)
