"""Write the town's files in the columns that `regie enrol`, `regie consent import` and `regie send` read."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from gateway.town.generator import Arrears, Choice, IncomeDrop, Town
from gateway.town.logins import write_logins
from gateway.town.participants import MUNICIPALITIES, SUPPLIERS
from gateway.town.people import Resident

ADDRESS = ("postcode", "house_number", "house_letter", "house_addition")
RESIDENT_COLUMNS = ("resident_ref", "bsn", "birth_date", *ADDRESS)
ARREARS_COLUMNS = (
    *("reference", "birth_date", *ADDRESS),
    *("months", "end_of_supply", "warm_handover", "signal_date", "steps"),
)
INCOME_COLUMNS = ("reference", "bsn", "drop_band", "period")
CHOICE_COLUMNS = (
    *("bsn", "birth_date", *ADDRESS),
    *("sender", "recipient", "purpose", "items", "answer", "months"),
)


def write_town(town: Town, folder: Path) -> list[Path]:
    """Write every file of the town into ``folder``, which is made, and return their paths."""
    folder.mkdir(mode=0o700, exist_ok=True)
    made = [
        write_residents(folder / f"residents-{municipality.slug}.csv", town.of(municipality.oin))
        for municipality in MUNICIPALITIES
    ]
    made += [write_arrears(folder / f"arrears-{company.slug}.csv", town.arrears[company.oin]) for company in SUPPLIERS]
    made.append(write_income(folder / "income.csv", town.income))
    made.append(write_choices(folder / "choices.csv", town.choices))
    made.append(write_logins(town, folder, played=False))
    return made


def write_residents(path: Path, residents: Sequence[Resident]) -> Path:
    """Write a register of residents."""
    return _write(path, RESIDENT_COLUMNS, ((r.ref, r.bsn, r.birth_date, *r.address) for r in residents))


def write_arrears(path: Path, rows: Sequence[Arrears]) -> Path:
    """Write a supplier's file."""
    return _write(
        path,
        ARREARS_COLUMNS,
        (
            (
                *(row.reference, row.resident.birth_date, *row.resident.address),
                *(row.months, row.end_of_supply, row.warm_handover, row.signal_date, row.steps),
            )
            for row in rows
        ),
    )


def write_income(path: Path, rows: Sequence[IncomeDrop]) -> Path:
    """Write the tax office's file."""
    return _write(path, INCOME_COLUMNS, ((r.reference, r.resident.bsn, r.drop_band, r.period) for r in rows))


def write_choices(path: Path, choices: Sequence[Choice]) -> Path:
    """Write the file with choices; the recipient is the resident's own municipality."""
    return _write(
        path,
        CHOICE_COLUMNS,
        (
            (
                *(choice.resident.bsn, choice.resident.birth_date, *choice.resident.address),
                *(choice.sender, choice.resident.municipality),
                *(choice.purpose, choice.items, choice.answer, choice.months),
            )
            for choice in choices
        ),
    )


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    return path
