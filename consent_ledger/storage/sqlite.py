"""The SQLite file of a ledger: how it is made, opened, locked, and told apart from everything else.

Python's own sqlite3 often bundles a SQLite that can lose acknowledged commits, so the ledger runs on pysqlite3 and
refuses any runtime with that bug (ledger.md, "The write path").
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import sqlalchemy as sa
from pysqlite3 import dbapi2

from consent_ledger.errors import RegieError
from consent_ledger.storage.tables import TRIGGERS, LedgerTable

APPLICATION_ID = 0x52656769  # "Regi"
SCHEMA_VERSION = 1
BUSY_MS = 5_000
"""How long a connection waits for a lock."""

_WRITER_PRAGMAS = (
    "synchronous=FULL",  # an answered commit survives power loss
    "foreign_keys=ON",
    "recursive_triggers=ON",  # else INSERT OR REPLACE walks through the append-only triggers
    "trusted_schema=OFF",
    "secure_delete=ON",  # erased payloads are overwritten, not only unlinked
    f"busy_timeout={BUSY_MS}",
    "wal_autocheckpoint=8192",  # pages: a page that a few groups change is copied into the file once
    "cache_size=-65536",  # KiB; subjects are found at random places
)
_READER_PRAGMAS = ("query_only=ON", "trusted_schema=OFF", f"busy_timeout={BUSY_MS}")


def unavailable(message: str) -> RegieError:
    """Make the error of a ledger that cannot be opened or went away."""
    return RegieError("LEDGER_UNAVAILABLE", message)


def check_runtime(version: tuple[int, ...] = dbapi2.sqlite_version_info) -> None:
    """Raise RegieError LEDGER_UNAVAILABLE on a SQLite with the WAL-reset bug.

    It is in 3.7.0 to 3.51.2, and fixed in 3.51.3 and the older lines' 3.50.7 and 3.44.6.
    """
    fixed = version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
    if not fixed:
        text = ".".join(map(str, version))
        raise unavailable(
            f"SQLite {text} can lose acknowledged commits (WAL-reset bug): install pysqlite3 >= 0.6.1 "
            "(pysqlite3-binary has the bug)"
        )


class _Cursor(Protocol):
    def execute(self, sql: str) -> object: ...
    def close(self) -> None: ...


class _Connection(Protocol):
    isolation_level: str | None

    def cursor(self) -> _Cursor: ...


def _engine(path: Path, mode: str, pragmas: tuple[str, ...], begin: str, **pool: Any) -> sa.Engine:
    """Make an engine whose every connection has our PRAGMAs, and whose transactions begin as we say."""
    engine = sa.create_engine(
        f"sqlite:///file:{quote(str(path.absolute()))}?mode={mode}&uri=true",
        module=dbapi2,
        connect_args={"check_same_thread": False},  # opened here, used by the writer's thread or a pool's
        hide_parameters=True,  # parameters are pseudonyms and events: they belong in no exception text (I4)
        **pool,
    )

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: _Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver begins no transactions by itself
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def writer_engine(path: Path) -> sa.Engine:
    """Open an existing file for its one writer; every transaction takes the write lock when it begins."""
    check_runtime()
    return _engine(path, "rw", _WRITER_PRAGMAS, "BEGIN IMMEDIATE", poolclass=sa.StaticPool)


def reader_engine(path: Path) -> sa.Engine:
    """Open an existing file for reading from any thread; a transaction sees one durable state of the ledger."""
    check_runtime()
    return _engine(path, "ro", _READER_PRAGMAS, "BEGIN", poolclass=sa.QueuePool, pool_size=8, max_overflow=24)


class Lock:
    """An exclusive lock beside the ledger's file: one writer process, whatever SQLite itself would allow."""

    def __init__(self, path: Path) -> None:
        """Take ``<path>.lock``; raises RegieError LEDGER_UNAVAILABLE when another writer holds it."""
        self._file = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # flock belongs to the open file, so it also keeps out a second writer in this process; the kernel drops it
            # when the process dies.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise unavailable(f"{path} has a writer already: stop that one first") from None

    def release(self) -> None:
        """Let the next writer in."""
        os.close(self._file)


def create_file(path: Path) -> sa.Engine:
    """Make a new file with an empty schema and return its writer engine; raises LEDGER_UNAVAILABLE if it exists."""
    check_runtime()
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise unavailable(f"{path} exists: a ledger is created once") from None
    except OSError as error:
        raise unavailable(f"{path} cannot be created: {error.strerror}") from None
    engine = writer_engine(path)
    with engine.connect() as connection:
        raw = connection.connection.cursor()
        raw.execute(f"PRAGMA application_id={APPLICATION_ID}")
        raw.execute("PRAGMA journal_mode=WAL")
        raw.close()
    with engine.begin() as connection:
        LedgerTable.metadata.create_all(connection)
        for trigger in TRIGGERS:
            connection.exec_driver_sql(trigger)
        # Last, and in the same transaction: a file without it is not a ledger.
        connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA_VERSION}")
    return engine


def publish_file(draft: Path, path: Path) -> None:
    """Give a complete, closed file its name and make that durable; never replaces a file."""
    os.link(draft, path)
    draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def check_file(connection: sa.Connection, path: Path) -> None:
    """Raise RegieError LEDGER_UNAVAILABLE unless this is a whole ledger of our version, in WAL mode."""

    def pragma(name: str) -> Any:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()

    if (pragma("application_id"), pragma("user_version")) != (APPLICATION_ID, SCHEMA_VERSION):
        raise unavailable(f"{path} is no ledger of this version")
    if pragma("journal_mode") != "wal":
        raise unavailable(f"{path} is not in WAL mode: was it copied or changed by hand?")
    if (problem := pragma("quick_check(1)")) != "ok":
        raise unavailable(f"{path} is damaged: {problem}")
