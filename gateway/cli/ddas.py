"""`regie receive --export-ddas`: a delivery of a municipality to CBS, in the national data model."""

from __future__ import annotations

import json
import os
import re
from calendar import monthrange
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from consent_ledger.errors import RegieError
from gateway.cli.output import FAILED, OK, Output

if TYPE_CHECKING:
    from gateway.sdk.agency import Agency

_MONTH = re.compile(r"([0-9]{4})-([0-9]{2})")
_DAYS = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})/([0-9]{4}-[0-9]{2}-[0-9]{2})")


class Wishes(TypedDict):
    """What the command was given."""

    register: Path | None
    municipality: str
    period: str
    kvk: str


async def write_delivery(output: Output, agency: Agency, path: Path, wishes: Wishes) -> int:
    """Write the delivery to a file that only its user may read; returns the exit code."""
    from gateway.sdk.ddas import Header
    from gateway.sdk.ddasexport import export, read_register
    from gateway.sdk.formats import today

    register = wishes["register"]
    if register is None:
        raise RegieError("FIELD_INVALID", "say with --register who your residents are", "register")
    if not re.fullmatch(r"[0-9]{4}", wishes["municipality"]):
        raise RegieError("FIELD_INVALID", "say with --municipality your CBS code, 4 digits", "municipality")
    if not re.fullmatch(r"([0-9]{8})?", wishes["kvk"]):
        raise RegieError("FIELD_INVALID", "a KvK number has 8 digits", "kvk")
    now_ms = agency.clock()
    first, last = period_of(wishes["period"], today(now_ms))
    name = (await agency.me()).name
    header = Header(wishes["municipality"], name, agency.oin, first, last, wishes["kvk"])
    made = await export(agency.organisation, header, read_register(register, now_ms), now_ms)
    _write(path, json.dumps(made.delivery, ensure_ascii=False, indent=2) + "\n")
    values = {
        "file": str(path),
        "first": first.isoformat(),
        "last": last.isoformat(),
        "signals": made.signals,
        "cases": made.cases,
        "left_out": made.unknown,
        "no_arrears": made.other,
    }
    output.result(values, [f"{made.signals} signals and {made.cases} cases of {first} to {last} written to {path}"])
    if made.other:
        output.note(f"{made.other} signals of other kinds have no place in DDAS")
    if made.unknown:
        output.note(f"{made.unknown} signals are about nobody that {register} names, and are left out")
        return FAILED
    return OK


def period_of(text: str, now: date) -> tuple[date, date]:
    """Return the first and last day of a period; empty is the last whole month. Raises RegieError FIELD_INVALID."""
    if not text:
        last = now.replace(day=1) - timedelta(days=1)
        return last.replace(day=1), last
    try:
        if found := _MONTH.fullmatch(text):
            first = date(int(found[1]), int(found[2]), 1)
            return first, first.replace(day=monthrange(first.year, first.month)[1])
        if found := _DAYS.fullmatch(text):
            first, last = date.fromisoformat(found[1]), date.fromisoformat(found[2])
            if first <= last:
                return first, last
    except ValueError:
        pass
    raise RegieError("FIELD_INVALID", "a period is a month, 2026-10, or two days, 2026-10-01/2026-10-15", "period")


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
