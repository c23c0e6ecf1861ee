"""A role's database: one SQLite file, one thread that owns it, one durable transaction per call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pysqlite3.dbapi2 as sqlite
from sqlalchemy import Column, Connection, Table, create_engine, event
from sqlalchemy.orm import registry
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateColumn
from sqlmodel import SQLModel

from gateway.home import HomeError

T = TypeVar("T")
SCHEMA = 1
SAFE_SQLITE = (3, 51, 3)
"""Older ones can lose acknowledged commits in WAL mode (ledger.md "The write path")."""


class Stored(SQLModel, registry=registry()):
    """Base of the tables of gateway and pseudonyms, apart from those of the ledger."""


def table_of(model: type[Stored]) -> Table:
    """Return the Core table of a model: bulk work does not go through objects."""
    table: Table = model.__table__  # type: ignore[attr-defined]  # SQLModel adds it
    return table


class DatabaseError(HomeError):
    """The file cannot serve as this role's database; the text says why."""


class Database:
    """Runs functions in one thread, each in its own BEGIN IMMEDIATE ... COMMIT with synchronous=FULL.

    A function that raises leaves nothing behind. The event loop never waits for the disk.
    """

    def __init__(self, path: Path, tables: Sequence[type[Stored]], *, reading: bool = False) -> None:
        """Open or make the file; ``reading``: a second thread beside the writer's, whose functions only read."""
        if sqlite.sqlite_version_info < SAFE_SQLITE:
            raise DatabaseError(f"SQLite {sqlite.sqlite_version} can lose commits: 3.51.3 or newer is needed")
        self._path = path
        self._begin = "BEGIN" if reading else "BEGIN IMMEDIATE"
        self._tables = [table_of(model) for model in tables]
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"{path.stem}-db")
        self._thread.submit(self._open).result()

    def _open(self) -> None:
        self._path.touch(mode=0o600)  # before SQLite: its other files take over this one's mode
        self._engine = create_engine(
            f"sqlite:///{self._path}",
            module=sqlite,
            poolclass=StaticPool,
            connect_args={"check_same_thread": False},
            hide_parameters=True,  # they are elements and ciphertexts: they belong in no exception text (I4)
        )
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

    def _complete(self, connection: Connection) -> bool:
        names = set(connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars())
        wanted = {table.name for table in self._tables} | {i.name for table in self._tables for i in table.indexes}
        return names.issuperset(wanted) and not any(_missing(connection, table) for table in self._tables)

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction; when this returns, what it wrote is on the disk."""
        return await asyncio.wrap_future(self._thread.submit(self._transact, work))

    def run_now(self, work: Callable[[Connection], T]) -> T:
        """As ``run``, for a thread that has no event loop: it waits for the disk."""
        return self._thread.submit(self._transact, work).result()

    def _transact(self, work: Callable[[Connection], T]) -> T:
        with self._engine.begin() as connection:
            return work(connection)

    async def scrub(self) -> None:
        """Empty the write-ahead log, so that what was erased is in no file any more."""
        await asyncio.wrap_future(self._thread.submit(self._truncate))

    def _truncate(self) -> None:
        connection = self._engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            connection.close()

    def close(self) -> None:
        """Finish the running call and close the file."""
        self._thread.submit(self._engine.dispose).result()
        self._thread.shutdown()


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
