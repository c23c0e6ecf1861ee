"""A role's database in one SQLite file: one thread that owns it, one transaction at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pysqlite3.dbapi2 as sqlite
from sqlalchemy import Column, Connection, Engine, Table, create_engine, event
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateColumn

from gateway.database import SCHEMA, DatabaseError, Heard

T = TypeVar("T")
SAFE_SQLITE = (3, 51, 3)
"""Older ones can lose acknowledged commits in WAL mode (ledger.md "The write path")."""


class SqliteFile:
    """The file; each transaction is BEGIN IMMEDIATE ... COMMIT with synchronous=FULL."""

    threads = 1

    def __init__(self, path: Path, tables: Sequence[Table], *, reading: bool) -> None:
        """Take the path; ``reading``: its transactions only read."""
        if sqlite.sqlite_version_info < SAFE_SQLITE:
            raise DatabaseError(f"SQLite {sqlite.sqlite_version} can lose commits: 3.51.3 or newer is needed")
        self._path, self._tables = path, tables
        self._begin = "BEGIN" if reading else "BEGIN IMMEDIATE"
        self._engine: Engine | None = None
        self._connection: Connection | None = None  # the one that the thread works with

    def open(self) -> None:
        """Open or make the file."""
        self._path.touch(mode=0o600)  # before SQLite: its other files take over this one's mode
        self._engine = _engine_of(f"sqlite:///{self._path}")
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "begin", lambda connection: connection.exec_driver_sql(self._begin))
        with self._engine.begin() as connection:
            found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            if found not in {0, SCHEMA}:
                raise DatabaseError(f"{self._path.name} has schema {found}, this program knows {SCHEMA}")
            if not self._complete(connection):  # asking costs less than creating what is there
                self._tables[0].metadata.create_all(connection, tables=self._tables)
                for table in self._tables:
                    _add_missing(connection, table)
                connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA}")
        self._connection = self._engine.connect()

    def _complete(self, connection: Connection) -> bool:
        names = set(connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars())
        wanted = {table.name for table in self._tables} | {i.name for table in self._tables for i in table.indexes}
        return names.issuperset(wanted) and not any(_missing(connection, table) for table in self._tables)

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction."""
        assert self._connection is not None, "it is open"
        with self._connection.begin():
            return work(self._connection)

    def scrub(self) -> None:
        """Empty the write-ahead log, so that what was erased is in no file any more."""
        assert self._engine is not None, "it is open"
        connection = self._engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            connection.close()

    def listen(self, heard: Heard) -> None:
        """Hear nothing: nobody else has the file."""

    def end(self) -> None:
        """Nothing here waits."""

    def dispose(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
        if self._engine is not None:
            self._engine.dispose()


def reading_engine(path: Path) -> Engine:
    """Return an engine that only reads a file, whoever has it open."""
    return _engine_of(f"sqlite:///{path.resolve().as_uri()}?mode=ro&uri=true")


def _engine_of(url: str) -> Engine:
    return create_engine(
        url,
        module=sqlite,
        poolclass=StaticPool,
        connect_args={"check_same_thread": False},
        hide_parameters=True,  # they are elements and ciphertexts: they belong in no exception text (I4)
    )


def _missing(connection: Connection, table: Table) -> list[Column[Any]]:
    """Return the columns that came after the file was made."""
    found = {row.name for row in connection.exec_driver_sql(f"PRAGMA table_info({table.name})")}
    return [column for column in table.columns if column.name not in found]


def _add_missing(connection: Connection, table: Table) -> None:
    """Add columns and indexes that came later; a crash leaves all or none, as in any transaction.

    Such a column may be empty or has a server default: what rows without it mean.
    """
    for column in _missing(connection, table):
        described = CreateColumn(column).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {described}")
    for index in table.indexes:
        index.create(connection, checkfirst=True)


def _configure(connection: sqlite.Connection, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's "begin" event opens transactions, not the driver
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "trusted_schema = OFF",
        "secure_delete = ON",
        "busy_timeout = 5000",
    ):
        connection.execute(f"PRAGMA {pragma}")
