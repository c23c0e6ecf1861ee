"""A ledger opened to repair the tables beside its log: all of it in one transaction, and nobody else writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from pysqlite3 import dbapi2

from consent_ledger.storage.connection import connect
from consent_ledger.storage.ports import Location
from consent_ledger.storage.sqlite import APPLICATION_ID, SCHEMA_VERSION, Lock, check_runtime, unavailable
from consent_ledger.verify.sources import PostgresSource, Source, SqliteSource

Row = tuple[Any, ...]
Write = Callable[[str, Sequence[Row]], object]
"""(statement with ? for values, rows)."""


def open_for_repair(location: Location) -> AbstractContextManager[tuple[Source, Write]]:
    """Open a ledger that is stopped; what is written is committed when the block ends well, else nothing is.

    On PostgreSQL as the owner of the database; replicas wait meanwhile. Raises RegieError LEDGER_UNAVAILABLE.
    """
    return _database(location) if isinstance(location, str) else _file(location)


@contextmanager
def _file(path: Path) -> Iterator[tuple[Source, Write]]:
    """Open a ledger's file as its only writer, in one transaction that commits when the block ends well."""
    if not path.is_file():
        raise unavailable(f"there is no ledger at {path}")
    check_runtime()
    lock = Lock(path)
    connection = dbapi2.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    try:
        for pragma in ("synchronous=FULL", "trusted_schema=OFF", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")
        _check_version(connection, path)
        connection.execute("BEGIN IMMEDIATE")
        # The seat-belts of the log are for its writer: they come back in this same transaction.
        triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f'DROP TRIGGER "{name}"')
        yield SqliteSource(connection), connection.executemany
        for _, sql in triggers:
            connection.execute(sql)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except dbapi2.Error as error:
        raise unavailable(f"{path} cannot be rebuilt: {type(error).__name__}") from None
    finally:
        connection.close()
        lock.release()


def _check_version(connection: Any, path: Path) -> None:
    found = tuple(connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    if found != (APPLICATION_ID, SCHEMA_VERSION):
        raise unavailable(f"{path} is no ledger of this version: run `regie ledger migrate`")


@contextmanager
def _database(address: str) -> Iterator[tuple[Source, Write]]:
    """Open a ledger's database as its owner, in one transaction under the lock on the head: replicas wait for it."""
    import psycopg  # noqa: PLC0415  (most ledgers are files)

    connection = connect(address)
    try:
        with connection:
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # it thinks for a while
            connection.execute("SELECT id FROM head WHERE id = 1 FOR UPDATE")
            for table in ("head", "public_event", "tile"):
                connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            yield PostgresSource(connection), _many(connection)
            for table in ("head", "public_event", "tile"):
                connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    except psycopg.errors.InsufficientPrivilege:
        raise unavailable(
            "only the owner of the database may rebuild its tables: name that role in the address"
        ) from None
    except psycopg.Error as error:
        raise unavailable(f"the ledger's database cannot be rebuilt: {type(error).__name__}") from None
    finally:
        connection.close()


def _many(connection: Any) -> Write:
    def write(sql: str, rows: Iterable[Row]) -> None:
        with connection.cursor() as cursor:
            cursor.executemany(sql.replace("?", "%s"), rows)

    return write
