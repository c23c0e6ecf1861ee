"""A ledger's tables as they are stored, read at one moment: nothing of the writer's code is trusted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from consent_ledger.log.errors import VerificationError
from consent_ledger.verify.leaves import COMMITMENT_BYTES, COMMITMENT_HEAD
from consent_ledger.verify.sources import CHUNK, Location, Source, open_source


class RowError(VerificationError):
    """A row of the ledger that does not check: its table and key, what was expected there and what was found."""

    def __init__(self, table: str, key: object, column: str, expected: object, got: object) -> None:
        """Name the row; values of columns that may be personal are never passed here, only their hashes."""
        self.table, self.key, self.column = table, key, column
        self.expected, self.got = shown(expected), shown(got)
        super().__init__(f"{table} {key}, {column}: expected {self.expected}, got {self.got}")


class Head(NamedTuple):
    """The stored head of the log."""

    size: int
    root: bytes
    checkpoint: bytes
    public_sequence: int
    time_ms: int


class Row(NamedTuple):
    """A leaf and, unless it is public or erased, the payload that opens it (all None when there is none)."""

    idx: int
    entry: bytes
    hash: bytes
    payload_idx: int | None
    salt: bytes | None
    event: bytes | None
    private: bytes | None


class Snapshot:
    """Reads of one moment, whatever the writer does meanwhile."""

    def __init__(self, source: Source) -> None:
        """Read from an open source."""
        self.source = source

    def head(self) -> Head:
        """Return the head; raises RowError unless there is exactly one."""
        note = self.source.text_bytes("checkpoint")
        rows = list(self._rows(f"SELECT id, size, root, {note}, public_sequence, time_ms FROM head"))  # noqa: S608  (constant)
        if len(rows) != 1:
            raise RowError("head", 1, "row", "one row", f"{len(rows)} rows")
        if rows[0][0] != 1:
            raise RowError("head", 1, "id", 1, rows[0][0])
        return Head(*rows[0][1:])

    def rows(self, count: int = CHUNK) -> Iterator[list[Row]]:
        """Yield all leaves by index, ``count`` at a time, each with its payload."""
        sql = (
            "SELECT l.idx, l.entry, l.hash, p.idx, p.salt, p.event, p.private"
            " FROM leaf AS l LEFT JOIN payload AS p ON p.idx = l.idx ORDER BY l.idx"
        )
        for rows in self.source.chunks(sql, count):
            yield [Row._make(row) for row in rows]

    def public_entries(self) -> Iterator[tuple[int, bytes]]:
        """Yield (index, entry) of every leaf that is no commitment, by the leaves themselves."""
        head = self.source.blob(COMMITMENT_HEAD)
        other = f"length(entry) <> {COMMITMENT_BYTES} OR substr(entry, 1, 2) <> {head}"
        yield from self._rows(f"SELECT idx, entry FROM leaf WHERE {other} ORDER BY idx")  # noqa: S608  (constants)

    def tiles(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield (level, index, hash) of all stored full-tile roots."""
        yield from self._rows("SELECT level, idx, hash FROM tile ORDER BY level, idx")

    def orphan_payloads(self) -> Iterator[int]:
        """Yield the indices of payloads without a leaf."""
        sql = "SELECT p.idx FROM payload AS p LEFT JOIN leaf AS l ON l.idx = p.idx WHERE l.idx IS NULL ORDER BY p.idx"
        yield from (row[0] for row in self._rows(sql))

    def table(self, name: str, columns: tuple[str, ...], *, text: frozenset[str] = frozenset()) -> Iterator[Any]:
        """Yield these columns of a table as tuples, in the order of the first two; ``text`` columns as bytes."""
        what = ", ".join(self.source.text_bytes(column) if column in text else column for column in columns)
        order = ", ".join(columns[:2])
        yield from self._rows(f"SELECT {what} FROM {name} ORDER BY {order}")  # noqa: S608  (names of this package)

    def count(self, name: str) -> int:
        """Return how many rows a table has."""
        return int(next(self._rows(f"SELECT count(*) FROM {name}"))[0])  # noqa: S608  (names of this package)

    def _rows(self, sql: str) -> Iterator[Any]:
        for rows in self.source.chunks(sql):
            yield from rows


@contextmanager
def open_snapshot(location: Location) -> Iterator[Snapshot]:
    """Open a ledger read-only, also while its writer works; raises as ``sources.open_source``."""
    with open_source(location) as source:
        yield Snapshot(source)


def shown(value: object) -> str:
    """Return how a value stands in a message: bytes in hexadecimal."""
    return value.hex() if isinstance(value, bytes) else str(value)
