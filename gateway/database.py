"""A role's database: a SQLite file of one process, or a PostgreSQL database that all replicas of the role share.

Which of the two, ``HOME/regie.toml`` says (``[databases]``); what SQL differs is asked for here: ``insert_into``,
``wrote``, ``NUMBER``, ``notify``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import BigInteger, Connection, Engine, Insert, Integer, Table, func, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import registry
from sqlmodel import SQLModel

from gateway.home import HomeError

T = TypeVar("T")
SCHEMA = 1
NUMBER = Integer().with_variant(BigInteger(), "postgresql")
"""A column of 64 bits, such as a time in milliseconds: SQLite's only integer, and not PostgreSQL's usual one."""
CHANNEL = "regie"
_MARK = text(  # an empty record in the write-ahead log, behind all that is visible
    "SELECT pg_logical_emit_message(true, 'regie', '') WHERE current_setting('synchronous_standby_names') <> ''"
)
Heard = Callable[[str], object]
"""Called in another thread with what a replica says by ``notify``; with "" when some of it may be lost."""


class Stored(SQLModel, registry=registry()):
    """Base of the tables of gateway and pseudonyms, apart from those of the ledger."""


def table_of(model: type[Stored]) -> Table:
    """Return the Core table of a model: bulk work does not go through objects."""
    table: Table = model.__table__  # type: ignore[attr-defined]  # SQLModel adds it
    return table


class DatabaseError(HomeError):
    """It cannot serve as this role's database; the text says why."""


class Backend(Protocol):
    """One engine under ``Database``; all of it is called in the database's threads but ``listen`` and ``end``."""

    threads: int

    def open(self) -> None:
        """Connect, and make the tables or add what came later; raises DatabaseError, or RegieError for later."""
        ...

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction; returns when it is durable."""
        ...

    def scrub(self) -> None:
        """Overwrite what was erased, as far as this engine can."""
        ...

    def listen(self, heard: Heard) -> None:
        """Call ``heard``, in a thread of its own, with what any replica says by ``notify``."""
        ...

    def end(self) -> None:
        """Wait for nothing any more."""
        ...

    def dispose(self) -> None:
        """Give back what is open."""
        ...


class Database:
    """Runs functions in threads of its own, each in a durable transaction: a function that raises leaves nothing.

    In a file there is one thread and one transaction at a time (BEGIN IMMEDIATE, synchronous=FULL). In PostgreSQL other
    transactions run beside it (READ COMMITTED), here and in other replicas: what is read and then written is checked by
    the statement that writes. There a function may run again, also when its first run was committed and only the answer
    was lost: so each does the same when it finds its own work done. The event loop never waits.
    """

    def __init__(
        self, place: Path | str, tables: Sequence[type[Stored]], *, reading: bool = False, owner: str = ""
    ) -> None:
        """Open or make it; ``reading``: a second thread beside a file's writer, whose functions only read.

        ``owner`` is the role that a PostgreSQL database (an address) is for; those of another are refused. Raises
        DatabaseError, and RegieError *_UNAVAILABLE while the server does not answer.
        """
        self._backend = _backend(place, [table_of(model) for model in tables], reading=reading, owner=owner)
        name = place.stem if isinstance(place, Path) else owner
        self._threads = ThreadPoolExecutor(self._backend.threads, thread_name_prefix=f"{name}-db")
        try:
            self._threads.submit(self._backend.open).result()
        except BaseException:
            self.close()
            raise

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction; when this returns, what it wrote is durable."""
        return await asyncio.wrap_future(self._threads.submit(self._backend.transact, work))

    def run_now(self, work: Callable[[Connection], T]) -> T:
        """As ``run``, for a thread that has no event loop: it waits for the disk."""
        return self._threads.submit(self._backend.transact, work).result()

    async def scrub(self) -> None:
        """Overwrite what was erased: a file holds nothing of it any more (PostgreSQL's owner does that: docs)."""
        await asyncio.wrap_future(self._threads.submit(self._backend.scrub))

    def listen(self, heard: Heard) -> None:
        """Have the backend call ``heard``; a file has no other process that says anything: then never."""
        self._backend.listen(heard)

    def close(self) -> None:
        """Finish the running calls and close it."""
        self._backend.end()
        self._threads.submit(self._backend.dispose).result()
        self._threads.shutdown()


def _backend(place: Path | str, tables: Sequence[Table], *, reading: bool, owner: str) -> Backend:
    if isinstance(place, Path):
        from gateway.databasefile import SqliteFile  # noqa: PLC0415  (it needs what is defined here)

        return SqliteFile(place, tables, reading=reading)
    from gateway.databaseserver import PostgresServer  # noqa: PLC0415  (only where it is used)

    return PostgresServer(place, tables, owner)


def insert_into(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that knows ON CONFLICT, for the engine of this connection."""
    return insert_for(connection.dialect.name, table)


def insert_for(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    """As ``insert_into``, for statements that are built once for each engine: building costs ten times a run."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def wrote(connection: Connection, statement: Insert, values: Mapping[str, object] | None = None) -> bool:
    """Execute an INSERT of one row that may have met another's (ON CONFLICT); tells whether it changed anything."""
    # Else the number is unknown after an INSERT on PostgreSQL: -1, which reads as true.
    return connection.execute(statement, values, execution_options={"preserve_rowcount": True}).rowcount > 0


def notify(connection: Connection, what: str) -> None:
    """Tell every replica's ``listen`` once this transaction is committed; in a file nobody listens."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(CHANNEL, what)))


def confirm(connection: Connection) -> None:
    """Have this transaction wait for the synchronous standbys though it only read; a file has none.

    A commit that lost its connection, or was recovered after a crash, is seen before a standby has it, and a failover
    takes it back: nobody is told of it before.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_MARK)


@contextmanager
def looking(place: Path | str, whose: str) -> Iterator[Connection]:
    """Open a role's database beside it, running or not, to read only; raises HomeError without one."""
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    engine = _looking(place, whose)
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        name = place.name if isinstance(place, Path) else f"the database of the {whose}"
        raise HomeError(f"{name} cannot be read ({error.orig}): start the {whose} once, then try again") from None
    finally:
        engine.dispose()


def _looking(place: Path | str, whose: str) -> Engine:
    if isinstance(place, Path):
        from gateway.databasefile import reading_engine  # noqa: PLC0415

        if not place.exists():
            raise HomeError(f"there is no {whose} database at {place}: this is for the operator of the {whose}")
        return reading_engine(place)
    from gateway.databaseserver import looking_engine  # noqa: PLC0415

    return looking_engine(place)
