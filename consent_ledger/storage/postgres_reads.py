"""Reading a ledger in PostgreSQL: the questions of ``Reads`` over one connection, and snapshots from any thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import psycopg

from consent_ledger.storage.arrays import Bytes, Integers, Texts, register
from consent_ledger.storage.connection import Connection, connect
from consent_ledger.storage.ports import StoreLostError
from consent_ledger.storage.reads import Reads
from consent_ledger.storage.rows import BatchRow
from consent_ledger.storage.sqlite import unavailable

_AWAY = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.ReadOnlySqlTransaction,  # a server that is a standby by now
)
_READERS, _IDLE_READERS = 32, 8
_READER_SECONDS = 30.0

_BATCHES = f"""
SELECT {", ".join(f"batch.{name}" for name in BatchRow._fields)} FROM unnest(?, ?) AS wanted (sender, batch_id)
JOIN batch ON batch.sender = wanted.sender AND batch.batch_id = wanted.batch_id
"""  # noqa: S608  (our own names)


@cache
def placed(sql: str) -> str:
    """Turn the placeholders that ``Reads`` has into the driver's."""
    return sql.replace("?", "%s")


@contextmanager
def known_outcome() -> Iterator[None]:
    """Tell a database that went away from a mistake of ours; the texts of both may hold data, so they stay behind."""
    try:
        yield
    except _AWAY as error:
        raise StoreLostError(type(error).__name__) from None
    except psycopg.Error as error:
        raise RuntimeError(f"PostgreSQL refused a statement: {type(error).__name__}") from None


class PostgresReads(Reads):
    """Questions over one connection."""

    def __init__(self, connection: Connection) -> None:
        """Take over a connection from ``connect``."""
        register(connection)
        self._connection = connection
        self._cursor = connection.cursor(binary=True)

    def _all(self, sql: str, *parameters: Any) -> Sequence[Any]:
        with known_outcome():
            return self._cursor.execute(placed(sql), parameters).fetchall()

    def _among(self, sql: str, keys: Collection[Any]) -> Iterable[Any]:
        wanted = list(keys)
        if not wanted:
            return ()
        column = Bytes if isinstance(wanted[0], bytes) else Integers
        return self._all(f"{sql.removesuffix('IN')} = ANY(?)", column(wanted))

    def batches_by_id(self, names: Collection[tuple[str, bytes]]) -> dict[tuple[str, bytes], BatchRow]:
        """Return the batches of these senders and ids that are there."""
        senders, ids = Texts(name[0] for name in names), Bytes(name[1] for name in names)
        found = [BatchRow(*row) for row in self._all(_BATCHES, senders, ids)]
        return {(row.sender, row.batch_id): row for row in found}


class PostgresReader:
    """Opens snapshots of a ledger in PostgreSQL. Thread-safe."""

    def __init__(self, uri: str) -> None:
        """Prepare for reading; connections are made when they are needed, and again when the server went away."""
        self._uri = uri
        self._idle: deque[Connection] = deque()
        self._room = threading.BoundedSemaphore(_READERS)
        self._closed = False

    @contextmanager
    def snapshot(self) -> Iterator[PostgresReads]:
        """Give one consistent state; raises RegieError LEDGER_UNAVAILABLE when it cannot be read."""
        if not self._room.acquire(timeout=_READER_SECONDS):
            raise unavailable("the ledger has too many readers at this moment")
        try:
            connection = self._connected()
            try:
                yield PostgresReads(connection)
                connection.rollback()
            except BaseException:
                connection.close()  # whatever state it is in
                raise
            self._put_back(connection)
        except (StoreLostError, psycopg.Error) as error:
            raise unavailable(f"the ledger cannot be read: {type(error).__name__}") from None
        finally:
            self._room.release()

    def close(self) -> None:
        """Close every connection; one in use is closed when it is given back."""
        self._closed = True
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _connected(self) -> Connection:
        """Return a connection that answers, inside a transaction: one that waits here, or a new one."""
        with suppress(IndexError):
            while True:
                connection = self._idle.pop()
                try:
                    connection.execute("SELECT 1")
                except psycopg.Error:
                    connection.close()  # the server went away meanwhile
                else:
                    return connection
        return _reading(self._uri)

    def _put_back(self, connection: Connection) -> None:
        if len(self._idle) >= _IDLE_READERS:
            connection.close()
        else:
            self._idle.append(connection)
        if self._closed:  # meanwhile, or before
            self.close()


def _reading(uri: str) -> Connection:
    connection = connect(uri, writing=False)
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ  # one state, however many questions
    connection.read_only = True
    return connection
