"""Importing a choices file through the portal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from consent_ledger.errors import RegieError
from consent_ledger.registry import Registry
from consent_ledger.v1 import events_pb2
from gateway.sdk.agency import Agency
from gateway.sdk.choices import Wish, check_choice, choice
from gateway.sdk.csvfile import (
    CHOICES,
    RESIDENT,
    CsvFile,
    FieldError,
    FileRefusedError,
    Record,
    RejectedFile,
    write_refusal,
)
from gateway.sdk.formats import Rejected, choice_row, one_resident, read, today
from gateway.sdk.portal import Recorded
from gateway.sdk.rows import Resident

Steps = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """``rejected_rows`` counts rows that are wrong and those the ledger refused."""

    rows: int
    rejected_rows: int
    recorded: Recorded
    rejected_file: Path | None


async def import_file(
    agency: Agency,
    path: Path,
    *,
    via: events_pb2.CapturedVia.ValueType = events_pb2.CAPTURED_VIA_WEB,
    language: str = "nl",
    again: bool = False,
    progress: Steps = lambda _done, _total: None,
) -> ImportedFile:
    """Record every choice of a file; raises FileRefusedError (FILE.rejected.csv says why) and as ``Portal.record``."""
    registry = await agency.registry()
    try:
        with path.open("rb") as stream:
            file = CsvFile(stream, CHOICES)
            good, bad = _read(file, registry, agency.clock())
    except FileRefusedError as error:
        write_refusal(path, error)
        raise
    count = _Counter(progress, len(good))
    wishes = [wish for _, wish in good]
    recorded = await agency.portal().record(wishes, via=via, language=language, again=again, progress=count)
    for (record, _), result in zip(good, recorded.results, strict=True):
        if isinstance(result, RegieError):
            bad.append(Rejected(record, (FieldError(result.field or "choice", f"{result.reason}: {result.message}"),)))
    rejected = RejectedFile(path, file.header, file.delimiter)
    for found in sorted(bad, key=lambda found: found.record.row):
        rejected.add(found.record.row, found.record.cells, found.errors)
    rejected.close()
    return ImportedFile(recorded.recorded + recorded.unchanged + len(bad), rejected.rows, recorded, rejected.path)


class _Counter:
    def __init__(self, progress: Steps, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0
        progress(0, total)

    def __call__(self, more: int) -> None:
        self._done += more
        self._progress(self._done, self._total)


def _read(file: CsvFile, registry: Registry, now_ms: int) -> tuple[list[tuple[Record, Wish]], list[Rejected]]:
    good: list[tuple[Record, Wish]] = []
    bad: list[Rejected] = []
    for found in read(file, today(now_ms), choice_row):
        if isinstance(found, Rejected):
            bad.append(found)
            continue
        record, row = found
        if errors := check_choice(row, registry):
            bad.append(Rejected(record, tuple(errors)))
        else:
            good.append((record, choice(row, registry.purpose(row.purpose))))
    return good, bad


def read_resident(path: Path, now_ms: int) -> Resident:
    """Return the one resident of a file with identifier columns; "-" is standard input.

    Raises FileRefusedError when there is not exactly one, RegieError FIELD_INVALID when it is not valid.
    """
    with (Path("/dev/stdin") if str(path) == "-" else path).open("rb") as stream:
        found = list(read(CsvFile(stream, RESIDENT), today(now_ms), one_resident))
    if len(found) != 1:
        raise FileRefusedError("resident", f"expected one resident below the header, got {len(found)}")
    if isinstance(found[0], Rejected):
        error = found[0].errors[0]
        raise RegieError("FIELD_INVALID", error.reason, error.field, found[0].record.row)
    return found[0][1]
