"""A ledger's SQLite file as one consistent, read-only snapshot, by raw SQL: nothing of the writer's code is trusted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

# The writer's library, on purpose: a second copy of SQLite in one process would drop the writer's file locks
# (sqlite.org/howtocorrupt.html section 2.2.1).
from pysqlite3 import dbapi2 as sqlite3

from consent_ledger.log.errors import VerificationError


class RowError(VerificationError):
    """A row of the ledger that does not check: its table and key, what was expected there and what was found."""

    def __init__(self, table: str, key: object, column: str, expected: object, got: object) -> None:
        """Name the row; values of columns that may be personal are never passed here, only their hashes."""
        self.table, self.key, self.column = table, key, column
        self.expected, self.got = _shown(expected), _shown(got)
        super().__init__(f"{table} {key}, {column}: expected {self.expected}, got {self.got}")


class Head(NamedTuple):
    """The stored head of the log."""

    size: int
    root: bytes
    checkpoint: bytes
    public_sequence: int


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

    def __init__(self, connection: Any) -> None:
        """Take a connection inside a read transaction."""
        self._connection = connection

    def head(self) -> Head:
        """Return the head; raises RowError unless there is exactly one."""
        rows = self._all("SELECT size, root, CAST(checkpoint AS BLOB), public_sequence FROM head")
        if len(rows) != 1:
            raise RowError("head", 1, "row", "one row", f"{len(rows)} rows")
        return Head(*rows[0])

    def rows(self, count: int) -> Iterator[list[Row]]:
        """Yield all leaves by index, ``count`` at a time, each with its payload."""
        cursor = self._execute(
            "SELECT l.idx, l.entry, l.hash, p.idx, p.salt, p.event, p.private"
            " FROM leaf AS l LEFT JOIN payload AS p ON p.idx = l.idx ORDER BY l.idx"
        )
        while rows := cursor.fetchmany(count):
            yield [Row._make(row) for row in rows]

    def tiles(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield (level, index, hash) of all stored full-tile roots."""
        yield from self._execute("SELECT level, idx, hash FROM tile ORDER BY level, idx")

    def orphan_payload(self) -> int | None:
        """Return the index of a payload without a leaf, if there is one."""
        rows = self._all("SELECT idx FROM payload WHERE idx NOT IN (SELECT idx FROM leaf) LIMIT 1")
        return rows[0][0] if rows else None

    def _all(self, statement: str) -> list[Any]:
        return list(self._execute(statement))

    def _execute(self, statement: str) -> Any:
        return self._connection.execute(statement)


@contextmanager
def open_snapshot(path: Path) -> Iterator[Snapshot]:
    """Open a ledger's file read-only, also while its writer works; raises VerificationError when it cannot be read."""
    if not path.is_file():
        raise VerificationError(f"no ledger at {path}")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        try:
            # A schema from a stranger's file runs no functions and no triggers of its own.
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA cell_size_check = ON")
            connection.execute("BEGIN")
            yield Snapshot(connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise VerificationError(f"the ledger's file cannot be read: {error}") from None


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
