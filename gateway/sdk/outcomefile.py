"""Reporting a file of outcomes: good rows are reported, bad ones are named in FILE.rejected.csv."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from consent_ledger.errors import RegieError
from gateway.sdk.agency import Agency
from gateway.sdk.csvfile import OUTCOMES, CsvFile, FieldError, FileRefusedError, Record, RejectedFile, write_refusal
from gateway.sdk.formats import Rejected, outcome_row, read, today
from gateway.sdk.outcomes import Reporter
from gateway.sdk.outcomestore import outcome_database
from gateway.sdk.remote import UNREACHABLE
from gateway.sdk.rows import OutcomeRow

Steps = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ImportedOutcomes:
    """``unchanged`` counts rows that were reported before; ``rejected_rows`` those that are wrong or were refused."""

    rows: int
    reported: int
    unchanged: int
    rejected_rows: int
    rejected_file: Path | None


async def import_outcomes(
    agency: Agency, path: Path, *, progress: Steps = lambda _done, _total: None
) -> ImportedOutcomes:
    """Report every row of a file; the same file again reports what is new in it.

    Raises FileRefusedError (FILE.rejected.csv says why), and RegieError when the ledger is out of reach: what was
    reported until then is not reported again.
    """
    await agency.registry()
    try:
        with path.open("rb") as stream:
            file = CsvFile(stream, OUTCOMES)
            good, bad = _read(file, agency.clock())
    except FileRefusedError as error:
        write_refusal(path, error)
        raise
    reported = unchanged = 0
    with outcome_database(agency.organisation) as database:
        reporter = Reporter(agency, database)
        for done, (record, row) in enumerate(good, start=1):
            try:
                _, before = await reporter.report(row)
            except RegieError as error:
                if error.reason in UNREACHABLE | {"INTERNAL"}:
                    raise
                bad.append(Rejected(record, (FieldError(error.field or "delivery_id", error.message),)))
            else:
                unchanged += before
                reported += not before
            progress(done, len(good))
    rejected = RejectedFile(path, file.header, file.delimiter)
    for found in sorted(bad, key=lambda found: found.record.row):
        rejected.add(found.record.row, found.record.cells, found.errors)
    rejected.close()
    return ImportedOutcomes(reported + unchanged + len(bad), reported, unchanged, rejected.rows, rejected.path)


def _read(file: CsvFile, now_ms: int) -> tuple[list[tuple[Record, OutcomeRow]], list[Rejected]]:
    good: list[tuple[Record, OutcomeRow]] = []
    bad: list[Rejected] = []
    for found in read(file, today(now_ms), lambda record, _: outcome_row(record, now_ms)):
        if isinstance(found, Rejected):
            bad.append(found)
        else:
            good.append(found)
    return good, bad
