"""Identifiers of persons: one notation per identifier, or none at all.

Two ways to write the same identifier give the same message bytes; whatever would take a guess is refused. Errors name
the field and the rule, never the value. The schemes and their rules are in the design page "The domain".
"""

import re
from dataclasses import InitVar, dataclass, field
from datetime import date
from typing import ClassVar

from stdnum import ean
from stdnum.nl import bsn

from consent_ledger.hashing import length_prefixed
from gateway.crypto import oprf

BSN = "nl.bsn"
ADDRESS = "nl.addr-dob"
BAG = "nl.bag-dob"
EAN = "nl.ean"
CANARY = "regie.canary"
"""Reserved for identifiers of nobody: no scheme of persons starts with `regie.`, and the scheme is part of the hash."""


class IdentifierError(ValueError):
    """An identifier that is refused: ``field`` is the column, ``message`` the rule it breaks; never the value."""

    def __init__(self, field_name: str, message: str) -> None:
        """Name the field and the rule."""
        super().__init__(f"{field_name}: {message}")
        self.field = field_name
        self.message = message


def _match(field_name: str, text: str, pattern: str, rule: str) -> str:
    """Return the text without spaces around it; it must match all of the pattern."""
    stripped = text.strip(" ")
    if re.fullmatch(pattern, stripped) is None:
        raise IdentifierError(field_name, rule)
    return stripped


def _birth_date(text: str, today: date | None) -> str:
    stripped = _match("birth_date", text, r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "must be a date written as YYYY-MM-DD")
    if stripped.startswith("0000") or "-00" in stripped:
        raise IdentifierError("birth_date", "must be complete: a year, month or day of zero is not a date")
    try:
        born = date.fromisoformat(stripped)
    except ValueError:
        raise IdentifierError("birth_date", "must be a date that exists") from None
    if born.year < 1900 or (today is not None and born > today):
        raise IdentifierError("birth_date", "must lie between 1900 and today")
    return stripped


class _Identifier:
    """What every scheme gives. The constructors normalise what they are given, or raise IdentifierError."""

    __slots__ = ()
    scheme: ClassVar[str]

    def fields(self) -> tuple[str, ...]:
        """Return the normalised fields in the order of the scheme."""
        raise NotImplementedError

    def message(self) -> bytes:
        """Return LP("regie/id/v1") || LP(scheme) || LP(field)...: what H hashes."""
        parts = ("regie/id/v1", self.scheme, *self.fields())
        return length_prefixed(*(part.encode("ascii") for part in parts))

    def to_point(self) -> bytes:
        """Return M = H(id), 32 bytes."""
        return oprf.hash_identifier(self.message())

    def _set(self, name: str, value: str) -> None:
        object.__setattr__(self, name, value)  # the classes are frozen for everybody else


@dataclass(frozen=True, slots=True)
class Bsn(_Identifier):
    """A citizen service number: 8 or 9 digits that pass the 11-test, not all zero; kept as 9 digits."""

    scheme: ClassVar[str] = BSN
    number: str = field(repr=False)

    def __post_init__(self) -> None:
        """Normalise."""
        digits = _match("bsn", self.number, r"[0-9]{8,9}", "must be 8 or 9 digits").zfill(9)
        if not bsn.is_valid(digits):
            raise IdentifierError("bsn", "does not pass the 11-test")
        self._set("number", digits)

    def fields(self) -> tuple[str, ...]:
        """Return the number."""
        return (self.number,)


@dataclass(frozen=True, slots=True)
class AddressBirthDate(_Identifier):
    """An address with an ISO birth date: how a supplier, that holds no BSN, tells people apart.

    Case, and the one space inside a postcode, are notation. A letter written in the place of an addition is not: those
    are two addresses. ``today`` refuses births in the future; without it that is the caller's to do.
    """

    scheme: ClassVar[str] = ADDRESS
    postcode: str = field(repr=False)
    house_number: str = field(repr=False)
    house_letter: str = field(repr=False)
    house_addition: str = field(repr=False)
    birth_date: str = field(repr=False)
    today: InitVar[date | None] = None

    def __post_init__(self, today: date | None) -> None:
        """Normalise."""
        rule = "must be 4 digits, the first not 0, and 2 letters"
        code = _match("postcode", self.postcode, r"[1-9][0-9]{3} ?[A-Za-z]{2}", rule)
        self._set("postcode", code.replace(" ", "").upper())
        rule = "must be a number from 1 to 99999"
        self._set("house_number", _match("house_number", self.house_number, r"[1-9][0-9]{0,4}", rule))
        letter = _match("house_letter", self.house_letter, r"[A-Za-z]?", "must be one letter or empty")
        self._set("house_letter", letter.upper())
        rule = "must be at most 4 letters and digits"
        addition = _match("house_addition", self.house_addition, r"[A-Za-z0-9]{0,4}", rule)
        self._set("house_addition", addition.upper())
        self._set("birth_date", _birth_date(self.birth_date, today))

    def fields(self) -> tuple[str, ...]:
        """Return postcode, house number, letter, addition and birth date."""
        return (self.postcode, self.house_number, self.house_letter, self.house_addition, self.birth_date)


@dataclass(frozen=True, slots=True)
class BagBirthDate(_Identifier):
    """A BAG address designation (nummeraanduiding: 16 digits, the 5th and 6th are 20) with an ISO birth date."""

    scheme: ClassVar[str] = BAG
    designation: str = field(repr=False)
    birth_date: str = field(repr=False)
    today: InitVar[date | None] = None

    def __post_init__(self, today: date | None) -> None:
        """Normalise."""
        rule = "must be the 16 digits of a BAG nummeraanduiding"
        self._set("designation", _match("bag_id", self.designation, r"[0-9]{4}20[0-9]{10}", rule))
        self._set("birth_date", _birth_date(self.birth_date, today))

    def fields(self) -> tuple[str, ...]:
        """Return designation and birth date."""
        return (self.designation, self.birth_date)


@dataclass(frozen=True, slots=True)
class Ean(_Identifier):
    """The 18 digits of an energy connection, with the GS1 check digit: a connection, not a person."""

    scheme: ClassVar[str] = EAN
    number: str = field(repr=False)

    def __post_init__(self) -> None:
        """Normalise."""
        digits = _match("ean", self.number, r"[0-9]{18}", "must be 18 digits")
        if ean.calc_check_digit(digits[:-1]) != digits[-1] or not digits.strip("0"):
            raise IdentifierError("ean", "does not pass the check digit")
        self._set("number", digits)

    def fields(self) -> tuple[str, ...]:
        """Return the number."""
        return (self.number,)


@dataclass(frozen=True, slots=True)
class Canary(_Identifier):
    """Nobody: 32 random bytes of one recipient for one purpose (rule 9). Its pseudonym can be no person's.

    Raises IdentifierError when the secret has another size.
    """

    scheme: ClassVar[str] = CANARY
    recipient: str
    purpose: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Check."""
        if len(self.secret) != 32:
            raise IdentifierError("secret", "must be 32 bytes")

    def fields(self) -> tuple[str, ...]:
        """Return recipient, purpose and secret in hexadecimal."""
        return (self.recipient, self.purpose, self.secret.hex())


Identifier = Bsn | AddressBirthDate | BagBirthDate | Ean
