"""Organisations that are about to take part: what `regie init` registers, and the file it may come from."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from consent_ledger.errors import RegieError

Kind = Literal["gateway", "pseudonyms", "ledger", "viewer", "auditor", "energy_supplier", "tax_office", "municipality"]
KINDS: tuple[Kind, ...] = get_args(Kind)
OPERATORS: tuple[Kind, ...] = KINDS[:5]
AGENCIES: tuple[Kind, ...] = KINDS[5:]
PRIVATE_KINDS = frozenset({"energy_supplier"})
"""Private parties are told apart from public ones everywhere (R11)."""
COLUMNS = ("oin", "kind", "name", "population")
LONGEST_NAME = 64
"""X.520 allows an organizationName of 64 characters in a certificate."""


@dataclass(frozen=True, slots=True)
class NewParticipant:
    """An organisation to register. ``population`` is the number of inhabitants of a municipality, 0 for others."""

    oin: str
    kind: Kind
    name: str
    population: int = 0

    @property
    def is_operator(self) -> bool:
        """Whether it runs one of the roles, instead of being an agency."""
        return self.kind in OPERATORS

    @property
    def slug(self) -> str:
        """The name as a part of file names: its first word that tells it apart, in lower case."""
        words = [word for word in self.name.split() if word not in {"Gemeente", "Stichting"}] or ["participant"]
        return "".join(character for character in words[0].lower() if character.isalnum())


def read_participants(path: Path) -> list[NewParticipant]:
    """Read agencies from a CSV file with the columns oin, kind, name, population (UTF-8, comma or semicolon).

    Raises RegieError FIELD_INVALID that names the row (the header is row 1) and the field; nothing is guessed, because
    what is registered stays in the log for ever.
    """
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise RegieError("FIELD_INVALID", f"there is no file {path}", "participants") from None
    except UnicodeDecodeError:
        raise RegieError("FIELD_INVALID", f"{path} is not UTF-8", "participants") from None
    found = list(_rows(text))
    seen: set[str] = set()
    for row, participant in found:
        if participant.oin in seen:
            raise RegieError("FIELD_INVALID", "this OIN stands in the file twice", "oin", row)
        seen.add(participant.oin)
    if not found:
        raise RegieError("FIELD_INVALID", "the file names no participant", "oin", 1)
    return [participant for _, participant in found]


def _rows(text: str) -> Iterator[tuple[int, NewParticipant]]:
    lines = text.splitlines()
    header = lines[0] if lines else ""
    reader = csv.DictReader(lines, delimiter=";" if header.count(";") > header.count(",") else ",")
    for column in COLUMNS:
        if column not in (reader.fieldnames or ()):
            raise RegieError("FIELD_INVALID", f"the header lacks the column {column}", column, 1)
    for row, values in enumerate(reader, start=2):
        yield row, _participant(row, {name: (value or "").strip() for name, value in values.items() if name in COLUMNS})


def _participant(row: int, values: dict[str, str]) -> NewParticipant:
    if not re.fullmatch(r"[0-9]{20}", values["oin"]):
        raise RegieError("FIELD_INVALID", "an OIN is 20 digits", "oin", row)
    if values["kind"] not in AGENCIES:
        raise RegieError("FIELD_INVALID", f"expected one of {', '.join(AGENCIES)}", "kind", row)
    if not 1 <= len(values["name"]) <= LONGEST_NAME or not values["name"].isprintable():
        raise RegieError("FIELD_INVALID", f"expected a name of 1 to {LONGEST_NAME} characters", "name", row)
    if not re.fullmatch(r"[0-9]{0,8}", values["population"]):
        raise RegieError("FIELD_INVALID", "expected a whole number of inhabitants", "population", row)
    population = int(values["population"] or "0")
    if (values["kind"] == "municipality") != (population > 0):
        raise RegieError("FIELD_INVALID", "a municipality has inhabitants and nobody else does", "population", row)
    return NewParticipant(values["oin"], values["kind"], values["name"], population)
