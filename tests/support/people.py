"""Invented residents and their files, for tests that send real input."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ADDRESS = ("birth_date", "postcode", "house_number", "house_letter", "house_addition")


def bsn(number: int) -> str:
    """The ``number``-th test BSN 99999xxxx that passes the 11-test."""
    found = -1
    for last in range(10_000):
        digits = f"99999{last:04d}"
        total = sum(int(d) * w for d, w in zip(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1), strict=True))
        found += total % 11 == 0
        if found == number:
            return digits
    raise ValueError("no more test numbers")


@dataclass(frozen=True)
class Person:
    number: int

    @property
    def ref(self) -> str:
        return f"R{self.number:06d}"

    @property
    def bsn(self) -> str:
        return bsn(self.number) if self.number < 900 else ""

    @property
    def address(self) -> dict[str, str]:
        return {
            "birth_date": f"{1950 + self.number % 50}-{self.number % 12 + 1:02d}-{self.number % 28 + 1:02d}",
            "postcode": f"{1000 + self.number % 8999}{chr(65 + self.number % 26)}{chr(65 + self.number // 26 % 26)}",
            "house_number": str(self.number % 500 + 1),
            "house_letter": "",
            "house_addition": "",
        }


def people(count: int) -> list[Person]:
    return [Person(number) for number in range(count)]


def write(path: Path, columns: Sequence[str], rows: Iterable[dict[str, str]], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def residents(path: Path, persons: Iterable[Person]) -> Path:
    rows = ({"resident_ref": p.ref, "bsn": p.bsn, **p.address} for p in persons)
    return write(path, ("resident_ref", "bsn", *ADDRESS), rows)


def arrears(path: Path, persons: Iterable[Person], **changes: str) -> Path:
    columns = ("reference", *ADDRESS, "months", "end_of_supply", "warm_handover", "signal_date", "steps")
    fact = {
        "months": "2",
        "end_of_supply": "nee",
        "warm_handover": "nee",
        "signal_date": "2026-10-01",
        "steps": "reminder;contact",
    }
    rows = ({"reference": f"K{p.number:06d}", **p.address, **fact, **changes} for p in persons)
    return write(path, columns, rows)


def income(path: Path, persons: Iterable[Person], **changes: str) -> Path:
    fact = {"drop_band": "25-50", "period": "2026-09"}
    rows = ({"reference": f"B{p.number:06d}", "bsn": p.bsn, **fact, **changes} for p in persons)
    return write(path, ("reference", "bsn", "drop_band", "period"), rows)


def choices(
    path: Path, answers: Iterable[tuple[Person, str]], sender: str, recipient: str, purpose: str, items: str
) -> Path:
    columns = ("bsn", *ADDRESS, "sender", "recipient", "purpose", "items", "answer", "months")
    rows = (
        {
            "bsn": p.bsn,
            **p.address,
            "sender": sender,
            "recipient": recipient,
            "purpose": purpose,
            "items": items,
            "answer": answer,
            "months": "" if answer == "NEE" else "6",
        }
        for p, answer in answers
    )
    return write(path, columns, rows)
