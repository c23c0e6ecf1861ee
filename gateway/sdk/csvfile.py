"""Files of agencies, read strictly: one record a line, and each line is decoded and judged on its own.

A line that cannot be read (bytes that are not UTF-8, an open quote, a missing cell) costs that line only; the rest of
the file still goes through. Hence a quoted field may hold delimiters and doubled quotes, but no line breaks.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from consent_ledger.errors import RegieError

LINE_LIMIT = 65_536
"""Bytes; a longer line is rejected without being held in memory."""

REJECTED_COLUMNS = ("row", "field", "reason")
"""In front of the original columns in a rejected file; such a file may be corrected and read again."""

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SURROGATE = re.compile("[\udc80-\udcff]")
_REPLACE = dict.fromkeys(range(0xDC80, 0xDD00), "\N{REPLACEMENT CHARACTER}")


class FileRefusedError(RegieError):
    """The whole file is refused: it is empty, has no header, or a column is missing. Reason FIELD_INVALID, row 1."""

    def __init__(self, field: str, message: str) -> None:
        """Name the field at fault; the row is the header's."""
        super().__init__("FIELD_INVALID", message, field, 1)


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of a row. The reason never holds the value."""

    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one kind of file; all of them are in the header, in any order."""

    name: str
    columns: tuple[str, ...]


RESIDENTS = Layout(
    "residents",
    ("resident_ref", "bsn", "birth_date", "postcode", "house_number", "house_letter", "house_addition"),
)
ARREARS = Layout(
    "arrears",
    (
        *("reference", "birth_date", "postcode", "house_number", "house_letter", "house_addition"),
        *("months", "end_of_supply", "warm_handover", "signal_date", "steps"),
    ),
)
INCOME = Layout("income", ("reference", "bsn", "drop_band", "period"))
CHOICES = Layout(
    "choices",
    (
        *("bsn", "birth_date", "postcode", "house_number", "house_letter", "house_addition"),
        *("sender", "recipient", "purpose", "items", "answer", "months"),
    ),
)
OUTCOMES = Layout(
    "outcomes",
    (
        *("delivery_id", "date", "part_of_day", "channel", "reached", "offer", "result"),
        *("language", "form_of_address", "other_person"),
    ),
)
RESIDENT = Layout("resident", RESIDENTS.columns[1:])


@dataclass(frozen=True, slots=True)
class Record:
    """One line: its number in the file (the header is 1), its cells as they stand, and its values by column."""

    row: int
    cells: tuple[str, ...]
    values: dict[str, str]
    errors: tuple[FieldError, ...]


class CsvFile:
    """A CSV file whose header is read at construction and whose records are read one by one.

    The first layout whose columns fit the header best is taken. Raises FileRefusedError when there is no header, or it
    lacks a column. UTF-8 with or without byte order mark; comma or semicolon, told from the header alone.
    """

    def __init__(self, stream: BinaryIO, *layouts: Layout) -> None:
        """Read the header from the stream."""
        self._stream = stream
        self._line = 1
        first = _header_line(stream)
        self.delimiter, self.header = _split_header(first, layouts)
        skipped = REJECTED_COLUMNS if self.header[:3] == REJECTED_COLUMNS else ()
        self.columns: tuple[str, ...] = ("",) * len(skipped) + self.header[len(skipped) :]
        known = set(self.columns)
        self.layout = max(layouts, key=lambda layout: len(known.intersection(layout.columns)))
        _check_header(self.columns, self.layout)

    def __iter__(self) -> Iterator[Record]:
        """Yield every record; a record with errors is yielded with them. Empty lines are passed over."""
        while line := self._stream.readline(LINE_LIMIT):
            self._line += 1
            whole = line.endswith(b"\n") or len(line) < LINE_LIMIT
            if not whole:
                self._skip_line()
                yield Record(self._line, (), {}, (FieldError("line", f"is longer than {LINE_LIMIT} bytes"),))
            elif line.strip(b" \t\r\n,;"):
                yield self._record(line.decode("utf-8", "surrogateescape").rstrip("\r\n"))

    def _skip_line(self) -> None:
        while (rest := self._stream.readline(LINE_LIMIT)) and not rest.endswith(b"\n"):
            continue

    def _record(self, text: str) -> Record:
        try:
            cells = next(csv.reader([text], delimiter=self.delimiter, strict=True))
        except csv.Error:
            raw = (text.translate(_REPLACE),)
            return Record(self._line, raw, {}, (FieldError("line", "quotes are not closed, or a stray line break"),))
        errors = list(self._shape_errors(cells))
        values: dict[str, str] = {}
        for column, cell in zip(self.columns, cells, strict=False):
            value = cell.strip()
            if _SURROGATE.search(value):
                errors.append(FieldError(column or "encoding", "is not UTF-8: save the file as UTF-8"))
            elif column in self.layout.columns:
                values[column] = value
            elif column and value:
                errors.append(
                    FieldError(column, f"is no column of a {self.layout.name} file: remove it or leave it empty")
                )
        return Record(self._line, tuple(cell.translate(_REPLACE) for cell in cells), values, tuple(errors))

    def _shape_errors(self, cells: Sequence[str]) -> Iterator[FieldError]:
        if len(cells) < len(self.columns):
            yield FieldError(
                self.columns[len(cells)] or "line", f"is missing: {len(cells)} cells, not {len(self.columns)}"
            )
        elif any(cell.strip() for cell in cells[len(self.columns) :]):
            yield FieldError(
                f"column {len(self.columns) + 1}", f"is not in the header, which has {len(self.columns)} columns"
            )


def _header_line(stream: BinaryIO) -> str:
    raw = stream.readline(LINE_LIMIT)
    if raw.startswith(_UTF16):
        raise FileRefusedError("encoding", "the file is UTF-16: save it as UTF-8")
    raw = raw.removeprefix(codecs.BOM_UTF8)
    if not raw.strip():
        raise FileRefusedError("header", "the file is empty, or its first line is: the first line names the columns")
    try:
        return raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise FileRefusedError("encoding", "the header is not UTF-8: save the file as UTF-8") from None


def _split_header(line: str, layouts: Sequence[Layout]) -> tuple[str, tuple[str, ...]]:
    """Take the delimiter that gives the most known columns; never a guess from the rows."""
    known = {column for layout in layouts for column in layout.columns}
    splits: list[tuple[str, tuple[str, ...]]] = []
    for delimiter in (",", ";"):
        try:
            cells = next(csv.reader([line], delimiter=delimiter, strict=True))
        except csv.Error:
            continue
        splits.append((delimiter, tuple(cell.strip().lower() for cell in cells)))
    if not splits:
        raise FileRefusedError("header", "the header cannot be read: check its quotes and line breaks")
    return max(splits, key=lambda split: len(known.intersection(split[1])))


def _check_header(columns: Sequence[str], layout: Layout) -> None:
    for column in layout.columns:
        if columns.count(column) > 1:
            raise FileRefusedError(column, f"column {column} stands in the header twice")
    missing = [column for column in layout.columns if column not in columns]
    if missing:
        raise FileRefusedError(
            missing[0],
            f"the header lacks {', '.join(missing)}; a {layout.name} file has the columns {','.join(layout.columns)}",
        )


def rejected_path(path: Path) -> Path:
    """Return where the rejected rows of a file go: the same name with ``.rejected.csv`` behind it."""
    return path.with_name(path.name + ".rejected.csv")


class RejectedFile:
    """FILE.rejected.csv: made on the first rejected row, and removed when a run rejects nothing.

    One line a row: its number, its fields at fault, why, and the original cells. It holds the agency's own data and is
    readable by its user only.
    """

    def __init__(self, source: Path, header: Sequence[str], delimiter: str = ",") -> None:
        """Forget the rejected rows of an earlier run."""
        self.target = rejected_path(source)
        self.target.unlink(missing_ok=True)
        self._header = tuple(header[3:] if tuple(header[:3]) == REJECTED_COLUMNS else header)
        self._skip = len(header) - len(self._header)
        self._delimiter = delimiter
        self._stream: TextIO | None = None
        self.rows = 0

    @property
    def path(self) -> Path | None:
        """The file, when there is one."""
        return self.target if self._stream else None

    def add(self, row: int, cells: Sequence[str], errors: Sequence[FieldError]) -> None:
        """Write one rejected row with all its errors."""
        self.rows += 1
        fields = ";".join(dict.fromkeys(error.field for error in errors))
        one = len(errors) == 1
        reason = "; ".join(error.reason if one else f"{error.field}: {error.reason}" for error in errors)
        self._write((str(row), fields, reason, *cells[self._skip :]))

    def close(self) -> None:
        """Finish the file."""
        if self._stream:
            self._stream.close()

    def _write(self, cells: Sequence[str]) -> None:
        if self._stream is None:
            self.target.touch(mode=0o600)
            self._stream = self.target.open("w", encoding="utf-8", errors="replace", newline="")
            self._write((*REJECTED_COLUMNS, *self._header))
        csv.writer(self._stream, delimiter=self._delimiter, lineterminator="\n").writerow(cells)


def write_refusal(source: Path, error: FileRefusedError) -> Path:
    """Write FILE.rejected.csv for a file that is refused as a whole."""
    rejected = RejectedFile(source, ())
    rejected.add(1, (), (FieldError(error.field, error.message),))
    rejected.close()
    return rejected.target
