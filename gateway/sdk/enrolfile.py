"""Enrolling a residents file."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.sdk.agency import Agency
from gateway.sdk.csvfile import RESIDENTS, CsvFile, FieldError, FileRefusedError, RejectedFile, write_refusal
from gateway.sdk.enrolment import EnrolmentSummary, Progress
from gateway.sdk.formats import Rejected, read, resident_row, today
from gateway.sdk.rows import ResidentRow


@dataclass(frozen=True, slots=True)
class EnrolledFile:
    """``rejected_rows`` counts rows that are wrong, and rows that cannot be told apart by one of their identifiers."""

    rows: int
    rejected_rows: int
    summary: EnrolmentSummary
    rejected_file: Path | None


async def enrol_file(
    agency: Agency, path: Path, *, full: bool = False, progress: Progress = lambda _done, _total: None
) -> EnrolledFile:
    """Enrol a residents file; raises FileRefusedError (and writes FILE.rejected.csv), and as ``Enrolment.enrol``."""
    await agency.registry()
    try:
        with path.open("rb") as stream:
            file = CsvFile(stream, RESIDENTS)
            good, bad = await asyncio.to_thread(_read, file, agency.clock())
    except FileRefusedError as error:
        write_refusal(path, error)
        raise
    summary = await agency.enrolment().enrol(list(good.values()), full=full, progress=progress)
    apart = {row: errors for row, one in good.items() if (errors := summary.ambiguous.get(one.resident_ref))}
    bad += await asyncio.to_thread(_again, path, apart)
    rejected = RejectedFile(path, file.header, file.delimiter)
    for found in sorted(bad, key=lambda found: found.record.row):
        rejected.add(found.record.row, found.record.cells, found.errors)
    rejected.close()
    return EnrolledFile(len(good) + len(bad) - len(summary.ambiguous), rejected.rows, summary, rejected.path)


def _read(file: CsvFile, now_ms: int) -> tuple[dict[int, ResidentRow], list[Rejected]]:
    """Return the residents by the number of their row, without its text: a register is large."""
    good: dict[int, ResidentRow] = {}
    bad: list[Rejected] = []
    seen: set[str] = set()
    for found in read(file, today(now_ms), resident_row):
        if isinstance(found, Rejected):
            bad.append(found)
            continue
        record, row = found
        if row.resident_ref in seen:
            bad.append(Rejected(record, (FieldError("resident_ref", "stands in the file twice"),)))
        else:
            seen.add(row.resident_ref)
            good[record.row] = row
    return good, bad


def _again(path: Path, apart: Mapping[int, Sequence[FieldError]]) -> list[Rejected]:
    """Read the text of a few rows of the file again: those that are rejected after all."""
    if not apart:
        return []
    with path.open("rb") as stream:
        return [
            Rejected(record, tuple(apart[record.row])) for record in CsvFile(stream, RESIDENTS) if record.row in apart
        ]
