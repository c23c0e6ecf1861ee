"""A role's database in PostgreSQL, shared by its replicas (ADR 13).

What a lost connection means, at each step of a transaction:

1. before COMMIT: nothing happened; the function runs again on a new connection.
2. during COMMIT: durable or not, and the function runs again too: it finds its own work, or does it.
3. no connection within ``PATIENCE_SECONDS``: the caller is told "later", and asks again with the same bytes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, Engine, Table, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateColumn

from consent_ledger.errors import RegieError
from gateway.database import CHANNEL, SCHEMA, DatabaseError, Heard, confirm
from gateway.telemetry.logs import get_logger

T = TypeVar("T")
OLDEST_SERVER = 15
CONNECTIONS = 8
"""Of one replica, beside the one that listens: as many transactions at once."""
PATIENCE_SECONDS, PAUSE_SECONDS = 10.0, 0.2
"""How long a call waits for a server that does not answer, shorter than callers wait; and how often it tries."""
_SETTINGS = {
    "search_path": "public",  # nobody else's tables answer to our names
    "idle_in_transaction_session_timeout": "15000",  # a replica that hangs loses its locks
    "lock_timeout": "10000",
    "client_min_messages": "error",
}
# A partition shows within seconds as a lost connection, and not after TCP's hours; what the address says goes before.
_NETWORK = {
    "application_name": "regie",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_DURABLE = {"fsync": {"on"}, "full_page_writes": {"on"}, "synchronous_commit": {"on", "remote_apply"}}
_AGAIN = frozenset(
    {
        "40001",  # serialization failure
        "40P01",  # deadlock
        "25006",  # the server became a standby
        "55P03",  # a lock was not free in time
        "57P01",  # the server stops
        "57P02",  # ... or crashed
        "57P03",  # ... or starts
    }
)
_SETUP = 0x7265676965  # the advisory lock of whoever makes tables: "regie"
_UNAVAILABLE = {"pseudonyms": "EVALUATOR_UNAVAILABLE"}


class _LostError(Exception):
    """No connection to the server now."""


class PostgresServer:
    """One replica's connections."""

    threads = CONNECTIONS

    def __init__(self, uri: str, tables: Sequence[Table], owner: str) -> None:
        """Take the address; connects only in ``open``. Raises DatabaseError for an address that cannot be used."""
        self._where, self._tables, self._owner = _parse(uri), tables, owner
        self._engine = _engine_of(lambda: _connect(self._where))
        self._ended = threading.Event()
        self._listener: threading.Thread | None = None

    def open(self) -> None:
        """Make the tables, or add what came later; one replica at a time."""
        self.transact(self._grow)

    def _grow(self, connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SETUP})
        connection.execute(text("CREATE TABLE IF NOT EXISTS held (owner text PRIMARY KEY, schema bigint NOT NULL)"))
        connection.execute(
            text("INSERT INTO held SELECT :owner, :schema WHERE NOT EXISTS (SELECT FROM held)"),
            {"owner": self._owner, "schema": SCHEMA},
        )
        held = connection.execute(text("SELECT owner, schema FROM held")).one()
        if held.owner != self._owner:
            raise DatabaseError(
                f"[databases] {self._owner}: this database is the {held.owner}'s; each role has one of its own"
            )
        if held.schema != SCHEMA:
            raise DatabaseError(f"the {self._owner}'s database has schema {held.schema}, this program knows {SCHEMA}")
        self._tables[0].metadata.create_all(connection, tables=self._tables)
        for table in self._tables:
            _add_missing(connection, table)

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction, again when it was lost; raises RegieError *_UNAVAILABLE after a while."""
        until, again = time.monotonic() + PATIENCE_SECONDS, False
        while True:
            try:
                with self._engine.begin() as connection:
                    if again:  # what it finds of itself may not be on a standby yet
                        confirm(connection)
                    return work(connection)
            except _LostError:
                pass
            except DBAPIError as error:
                if not _passes(error):
                    raise
            if time.monotonic() >= until or self._ended.wait(PAUSE_SECONDS):
                raise self._away() from None
            again = True

    def _away(self) -> RegieError:
        reason = _UNAVAILABLE.get(self._owner, "GATEWAY_UNAVAILABLE")
        get_logger().warning("the database does not answer", role=self._owner, reason=reason)
        return RegieError(reason, f"the {self._owner}'s database does not answer: try again later")

    def scrub(self) -> None:
        """Do nothing: deleted rows stay in the files until VACUUM, which is for the owner (docs/operations.md)."""

    def listen(self, heard: Heard) -> None:
        """Hear what any replica says."""
        self._listener = threading.Thread(target=self._hear, args=[heard], name="database-bell", daemon=True)
        self._listener.start()

    def _hear(self, heard: Heard) -> None:
        while not self._ended.is_set():
            with suppress(psycopg.Error, _LostError, DatabaseError), _connect(self._where) as connection:
                connection.autocommit = True
                connection.execute(f"LISTEN {CHANNEL}".encode())
                heard("")  # what was said before this is lost
                while not self._ended.is_set():
                    for said in connection.notifies(timeout=PAUSE_SECONDS):
                        heard(said.payload)
            self._ended.wait(PAUSE_SECONDS)

    def end(self) -> None:
        """Let nobody wait for the server any more."""
        self._ended.set()
        if self._listener is not None:
            self._listener.join()

    def dispose(self) -> None:
        """Leave the server."""
        self._engine.dispose()


def looking_engine(uri: str) -> Engine:
    """Return an engine whose transactions only read; any server of the address will do."""
    settings = {**_parse(uri), "target_session_attrs": "any", "options": "-c default_transaction_read_only=on"}
    return create_engine("postgresql+psycopg://", connect_args=settings, hide_parameters=True)


def _engine_of(connect: Callable[[], psycopg.Connection[Any]]) -> Engine:
    return create_engine(
        "postgresql+psycopg://",
        creator=connect,
        pool_size=CONNECTIONS,
        max_overflow=0,
        isolation_level="READ COMMITTED",
        hide_parameters=True,  # they are elements and ciphertexts: they belong in no exception text (I4)
    )


def _parse(uri: str) -> dict[str, Any]:
    if not uri.startswith(("postgresql://", "postgres://")):
        raise DatabaseError("the address of a role's database begins with postgresql://")
    try:
        parts = conninfo_to_dict(uri)
    except psycopg.Error:
        raise DatabaseError("the address of a role's database is not one that PostgreSQL's library reads") from None
    if "password" in parts:
        raise DatabaseError(
            "the address of a role's database holds a password, and settings are readable by anybody: "
            "put it in a password file (PGPASSFILE, or `passfile` in the address)"
        )
    return _NETWORK | {"target_session_attrs": "read-write"} | parts


def _connect(where: dict[str, Any]) -> psycopg.Connection[Any]:
    """Connect, and see that a commit this server answers survives a crash of it; raises _LostError, DatabaseError."""
    try:
        connection = psycopg.connect(**where, autocommit=True)
    except psycopg.Error as error:
        get_logger().warning("no connection to the database", status=type(error).__name__)
        raise _LostError from None
    try:
        _settle(connection)
    except psycopg.Error:
        connection.close()
        raise _LostError from None
    except BaseException:
        connection.close()
        raise
    return connection


def _settle(connection: psycopg.Connection[Any]) -> None:
    """Check the server and set the session; what was found durable stays so, whatever is reloaded."""
    if connection.info.server_version // 10_000 < OLDEST_SERVER:
        raise DatabaseError(f"PostgreSQL {OLDEST_SERVER} or newer is needed")
    found = _ask(connection, "current_setting(%s)", [(name,) for name in _DURABLE])
    for (name, good), value in zip(_DURABLE.items(), found, strict=True):
        if value not in good:
            raise DatabaseError(f"the database's server has {name}={value}: it can lose commits; set {name}=on")
    _ask(connection, "set_config(%s, %s, false)", [*_SETTINGS.items(), ("synchronous_commit", found[2])])
    connection.autocommit = False


def _ask(connection: psycopg.Connection[Any], function: str, arguments: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return the values of one function for several lists of arguments, in one round trip."""
    query = f"SELECT {', '.join([function] * len(arguments))}"
    row = connection.execute(query.encode(), [value for each in arguments for value in each]).fetchone()
    assert row is not None, "a SELECT without FROM gives a row"
    return tuple(row)


def _passes(error: DBAPIError) -> bool:
    """Tell whether the same may succeed later: the connection is lost, or somebody was in the way."""
    return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _AGAIN


def _add_missing(connection: Connection, table: Table) -> None:
    """Add columns and indexes that came later; such a column may be empty or has a server default."""
    found = {column["name"] for column in inspect(connection).get_columns(table.name)}
    for column in table.columns:
        if column.name not in found:
            described = CreateColumn(column).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {described}")
    for index in table.indexes:
        index.create(connection, checkfirst=True)
