"""Where a ledger's tables are read from, SQLite or PostgreSQL: raw SQL over one read-only moment, no writer's code."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

# The writer's library, on purpose: a second copy of SQLite in one process would drop the writer's file locks
# (sqlite.org/howtocorrupt.html section 2.2.1).
from pysqlite3 import dbapi2 as sqlite3

from consent_ledger.errors import RegieError
from consent_ledger.log.errors import VerificationError

Location = Path | str
"""A SQLite file, or the address ``postgresql://...`` of a database (libpq's form; the password is not in it)."""

CHUNK = 4_096
"""Rows per step: enough to make hashing the cost, few enough for a smooth progress bar."""


class Source(Protocol):
    """One moment of a ledger's database; the statements given to it are constants of this package."""

    def chunks(self, sql: str, count: int = CHUNK) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of a query, ``count`` at a time, never all of them in memory."""
        ...

    def columns(self, table: str) -> tuple[str, ...]:
        """Return the names of a table's columns; none when there is no such table."""
        ...

    def tables(self) -> frozenset[str]:
        """Return the names of all tables."""
        ...

    def text_bytes(self, column: str) -> str:
        """Return SQL for the bytes of a text column: damaged text may be no text any more."""
        ...

    def blob(self, value: bytes) -> str:
        """Return SQL for a constant of these bytes."""
        ...

    def damage(self) -> Iterator[str]:
        """Yield what the engine itself finds wrong with its files."""
        ...


class SqliteSource:
    """A ledger's file."""

    def __init__(self, connection: Any) -> None:
        """Take a connection inside a read transaction."""
        self._connection = connection

    def chunks(self, sql: str, count: int = CHUNK) -> Iterator[list[tuple[Any, ...]]]:
        """Yield rows as they are read."""
        cursor = self._connection.execute(sql)
        while rows := cursor.fetchmany(count):
            yield rows

    def columns(self, table: str) -> tuple[str, ...]:
        """Ask SQLite."""
        return tuple(row[0] for row in self._connection.execute("SELECT name FROM pragma_table_info(?)", (table,)))

    def tables(self) -> frozenset[str]:
        """Ask SQLite."""
        sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        return frozenset(row[0] for row in self._connection.execute(sql))

    def text_bytes(self, column: str) -> str:
        """A STRICT table holds any bytes as text."""
        return f"CAST({column} AS BLOB)"

    def blob(self, value: bytes) -> str:
        """In SQLite's form."""
        return f"x'{value.hex()}'"

    def damage(self) -> Iterator[str]:
        """Pages, records, indices and constraints, as SQLite judges them."""
        try:
            found = [str(row[0]) for row in self._connection.execute("PRAGMA integrity_check(20)")]
        except sqlite3.Error as error:
            found = [str(error)]
        yield from (line for line in found if line != "ok")
        for table, _, other, _ in self._connection.execute("PRAGMA foreign_key_check"):
            yield f"a row of {table} refers to no row of {other}"


class PostgresSource:
    """A ledger's database."""

    def __init__(self, connection: Any) -> None:
        """Take a connection inside a read transaction."""
        self._connection = connection
        self._names = itertools.count()

    def chunks(self, sql: str, count: int = CHUNK) -> Iterator[list[tuple[Any, ...]]]:
        """Yield rows through a cursor of the server; several may be open at once."""
        with self._connection.cursor(f"regie_verify_{next(self._names)}", binary=True) as cursor:
            cursor.execute(sql)
            while rows := cursor.fetchmany(count):
                yield rows

    def columns(self, table: str) -> tuple[str, ...]:
        """Ask PostgreSQL, along its search path."""
        sql = (
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
            " ORDER BY attnum"
        )
        return tuple(row[0] for row in self._connection.execute(sql, (table,)))

    def tables(self) -> frozenset[str]:
        """Ask PostgreSQL."""
        sql = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        return frozenset(row[0] for row in self._connection.execute(sql))

    def text_bytes(self, column: str) -> str:
        """Text is valid there, or the server says so itself."""
        return f"convert_to({column}, 'UTF8')"

    def blob(self, value: bytes) -> str:
        """In PostgreSQL's form."""
        return f"'\\x{value.hex()}'::bytea"

    def damage(self) -> Iterator[str]:
        """None to be asked for: a page whose checksum is wrong fails the query that reads it."""
        yield from ()


@contextmanager
def open_source(location: Location) -> Iterator[Source]:
    """Open a ledger read-only at one moment, also while its writers work.

    Raises VerificationError when there is none or it cannot be read, also in the middle of reading, and RegieError
    LEDGER_UNAVAILABLE when the database cannot be reached.
    """
    opened = _open_postgres(location) if isinstance(location, str) else _open_sqlite(location)
    with opened as source:
        yield source


@contextmanager
def _open_sqlite(path: Path) -> Iterator[SqliteSource]:
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
            yield SqliteSource(connection)
        finally:
            connection.close()
    except UnicodeDecodeError:
        raise VerificationError("the ledger's file cannot be read: a name in its schema is no text") from None
    except sqlite3.Error as error:
        raise VerificationError(f"the ledger's file cannot be read: {error}") from None


@contextmanager
def _open_postgres(address: str) -> Iterator[PostgresSource]:
    import psycopg  # noqa: PLC0415  (most ledgers are files)

    try:
        connection = psycopg.connect(address)
    except psycopg.Error as error:
        raise RegieError(
            "LEDGER_UNAVAILABLE", f"the ledger's database cannot be reached: {' '.join(str(error).split())}"
        ) from None
    try:
        with connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            # Nobody else's tables answer to our names.
            connection.execute("SELECT set_config('search_path', 'public', false)")
            yield PostgresSource(connection)
    except psycopg.Error as error:
        # Its text may quote values of rows: only its kind is told.
        raise VerificationError(f"the ledger's database cannot be read: {type(error).__name__}") from None
