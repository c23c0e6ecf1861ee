"""The SQLite file of a ledger: how it is made, opened, locked, and told apart from everything else.

Python's own sqlite3 often bundles a SQLite that can lose acknowledged commits, so the ledger runs on pysqlite3 and
refuses any runtime with that bug (ledger.md, "The write path").
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import sqlalchemy as sa
from pysqlite3 import dbapi2

from consent_ledger.errors import RegieError
from consent_ledger.storage.tables import TRIGGERS, LedgerTable

APPLICATION_ID = 0x52656769  # "Regi"
SCHEMA_VERSION = 6
BUSY_MS = 5_000
"""How long a connection waits for a lock."""
_CHUNK = 1 << 20

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


FAILURES = (sa.exc.DatabaseError, dbapi2.DatabaseError, OSError)
"""What a file or a disk can do to us."""


def told(failure: Exception) -> str:
    """Return what the system or SQLite said; neither says values."""
    if isinstance(failure, OSError):
        return failure.strerror or type(failure).__name__
    return str(failure.orig if isinstance(failure, sa.exc.DatabaseError) else failure)


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
    def execute(self, sql: str) -> Any: ...
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
        """Take ``<path>.lock``; raises RegieError LEDGER_UNAVAILABLE when another writer holds it, or there is none."""
        try:
            self._file = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unavailable(f"the lock beside {path} cannot be opened: {error.strerror}") from None
        try:
            # flock belongs to the open file, so it also keeps out a second writer in this process; the kernel drops it
            # when the process dies.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            held = isinstance(error, BlockingIOError)
            why = "has a writer already: stop that one first" if held else f"cannot be locked: {error.strerror}"
            raise unavailable(f"{path} {why}") from None

    def release(self) -> None:
        """Let the next writer in; again does nothing, since the number may be another file's by then."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def rewrite_log(path: Path) -> None:
    """Write the -wal file of a ledger over itself and make it durable; the lock is held and nobody else writes it.

    When fsync failed under the writer before us, Linux kept the group it could not write readable, and will not write
    it at a later fsync. We would find that group, answer with it, and lose it when the power fails. Written again it is
    on the disk before anybody hears of it. Raises RegieError LEDGER_UNAVAILABLE when that fails.
    """
    try:
        file = os.open(path.with_name(path.name + "-wal"), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        raise unavailable(f"the -wal file of {path} cannot be opened: {error.strerror}") from None
    try:
        at = 0
        while part := os.pread(file, _CHUNK, at):
            at += os.pwrite(file, part, at)
        os.fsync(file)
    except OSError as error:
        raise unavailable(f"the -wal file of {path} cannot be written: {error.strerror}") from None
    finally:
        os.close(file)


def sync_folder(path: Path) -> None:
    """Make the names in the folder of a file durable. Raises OSError."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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
    try:
        _create_schema(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _create_schema(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        raw = connection.connection.cursor()
        raw.execute(f"PRAGMA application_id={APPLICATION_ID}")
        mode = raw.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        raw.close()
        if mode != "wal":  # SQLite says so instead of failing
            raise unavailable("the new file cannot be brought into WAL mode")
    with engine.begin() as connection:
        LedgerTable.metadata.create_all(connection)
        for trigger in TRIGGERS:
            connection.exec_driver_sql(trigger)
        # Last, and in the same transaction: a file without it is not a ledger.
        connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA_VERSION}")


def publish_file(draft: Path, path: Path) -> None:
    """Give a complete, closed file its name and make that durable; never replaces a file. Raises OSError."""
    os.link(draft, path)
    try:
        sync_folder(path)
    except OSError:
        path.unlink()  # perhaps not there after a power loss, so not there at all
        raise
    with contextlib.suppress(OSError):  # else whoever opens it does it
        remove_draft(path)


def draft_of(path: Path) -> Path:
    """Return the name under which a ledger is made."""
    return path.with_name(path.name + ".new")


def remove_draft(path: Path) -> None:
    """Remove what a creation left: a draft that served nobody, or a second name of the ledger. Raises OSError."""
    draft = draft_of(path)
    for leftover in (draft, draft.with_name(draft.name + "-wal"), draft.with_name(draft.name + "-shm")):
        leftover.unlink(missing_ok=True)


def mark_as_copy(connection: sa.Connection) -> None:
    """Let no writer open this file any more; takes part in the transaction at hand."""
    connection.exec_driver_sql(f"PRAGMA user_version={-SCHEMA_VERSION}")


def check_copy(connection: sa.Connection, path: Path) -> None:
    """Raise RegieError LEDGER_UNAVAILABLE unless this is a ledger of our version, a copy or not."""
    found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("application_id", "user_version")]
    if found not in ([APPLICATION_ID, SCHEMA_VERSION], [APPLICATION_ID, -SCHEMA_VERSION]):
        raise unavailable(f"{path} is no ledger of this version: `regie ledger migrate` brings an older one to it")


def check_file(connection: sa.Connection, path: Path) -> None:
    """Raise RegieError LEDGER_UNAVAILABLE unless this is a whole ledger of our version, in WAL mode."""

    def pragma(name: str) -> Any:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()

    if (pragma("application_id"), pragma("user_version")) == (APPLICATION_ID, -SCHEMA_VERSION):
        raise unavailable(
            f"{path} is a copy of a ledger, or was moved into another database: it can be verified and imported, and "
            "nobody appends to it, since the log would have two continuations"
        )
    if (pragma("application_id"), pragma("user_version")) != (APPLICATION_ID, SCHEMA_VERSION):
        raise unavailable(f"{path} is no ledger of this version: `regie ledger migrate` brings an older one to it")
    if pragma("journal_mode") != "wal":
        raise unavailable(f"{path} is not in WAL mode: was it copied or changed by hand?")
    if (problem := pragma("quick_check(1)")) != "ok":
        raise unavailable(f"{path} is damaged: {problem}")


def all_rows(connection: sa.Connection, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return every row as the driver gives it: SQLAlchemy's own rows cost as much again as reading them."""
    with contextlib.closing(connection.exec_driver_sql(sql, tuple(parameters))) as result:
        try:
            return list(result.cursor.fetchall()) if result.cursor else []
        except dbapi2.DatabaseError as error:  # as SQLAlchemy would, for who expects its errors
            raise sa.exc.DatabaseError(sql, None, error, hide_parameters=True) from None


_VARIABLES = 30_000  # SQLite binds at most 32,766 values in one statement


def among(ask: Callable[..., Sequence[Any]], sql: str, keys: Collection[Any]) -> Iterator[Any]:
    """Yield the rows of a question that ends in ``WHERE column IN``, for any number of keys."""
    # For bytes the driver looks for an adapter at each value; for bytearrays it does not.
    wanted = [bytearray(key) if isinstance(key, bytes) else key for key in keys]
    for start in range(0, len(wanted), _VARIABLES):
        part = wanted[start : start + _VARIABLES]
        yield from ask(f"{sql} ({','.join('?' * len(part))})", *part)
