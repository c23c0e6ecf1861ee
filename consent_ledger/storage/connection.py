"""Connections to a ledger's PostgreSQL, and what a server and a role must be before the ledger trusts them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from consent_ledger.storage.ports import StoreLostError, UnreachableError
from consent_ledger.storage.sqlite import unavailable

Connection = psycopg.Connection[tuple[Any, ...]]

OLDEST_SERVER = 15
IDLE_MS = 15_000
"""A replica that hangs inside a transaction loses it after this time, and with it the lock on the head."""
LOCK_MS = 30_000
"""How long a replica waits for the head while others write."""
STANDBY_SECONDS = 5.0
"""How long a new connection waits until a standby has what it sees."""

# A partition shows within seconds as a lost connection, and not after TCP's hours; what the URI says goes before.
_NETWORK = {
    "application_name": "regie-ledger",
    "connect_timeout": "10",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


def _parse(uri: str) -> dict[str, Any]:
    try:
        parts = conninfo_to_dict(uri)
    except psycopg.Error:
        raise unavailable("the address of the ledger's database is not one that PostgreSQL's library reads") from None
    if "password" in parts:
        raise unavailable(
            "the address of the ledger's database holds a password, and addresses are shown and stored in the clear: "
            "put it in a password file (PGPASSFILE, or `passfile` in the address)"
        )
    return parts


def described(uri: str) -> str:
    """Return which database a URI means, for messages: without user and options."""
    parts = conninfo_to_dict(uri)
    return f"postgresql://{parts.get('host', 'localhost')}/{parts.get('dbname', parts.get('user', ''))}"


def connect(uri: str, *, writing: bool = True, autocommit: bool = False, lock_ms: int = LOCK_MS) -> Connection:
    """Connect to the server of a URI that takes writes (or, to read, to any); raises UnreachableError."""
    settings = _NETWORK | {"target_session_attrs": "read-write" if writing else "any"} | _parse(uri)
    try:
        connection = psycopg.connect(**settings, autocommit=True)
    except psycopg.Error as error:
        # The library's text names host, port, role and database, and what the server said: the operator needs these.
        message = f"no connection to the ledger's database: {' '.join(str(error).split())}"
        raise UnreachableError("LEDGER_UNAVAILABLE", message) from None
    try:
        for setting, value in (
            ("search_path", "public"),  # nobody else's tables answer to our names
            ("idle_in_transaction_session_timeout", IDLE_MS),
            ("lock_timeout", lock_ms),
            ("client_min_messages", "warning"),  # see `replicated`
        ):
            connection.execute("SELECT set_config(%s, %s, false)", (setting, str(value)))
        _confirm(connection)
        connection.autocommit = autocommit
    except psycopg.Error as error:
        connection.close()
        message = f"the connection to the ledger's database was lost at once: {type(error).__name__}"
        raise UnreachableError("LEDGER_UNAVAILABLE", message) from None
    except StoreLostError:
        connection.close()
        message = "no standby has what the ledger's database shows, so nobody is shown it yet"
        raise UnreachableError("LEDGER_UNAVAILABLE", message) from None
    return connection


# It does nothing but be a commit, in the write-ahead log behind all that is visible. Without standbys there is none.
_MARK = (
    "SELECT pg_logical_emit_message(true, 'regie', '') "
    "WHERE current_setting('synchronous_standby_names') <> '' AND NOT pg_is_in_recovery()"
)


def _confirm(connection: Connection) -> None:
    """Wait until the synchronous standbys, if there are any, have all that is visible now; raises StoreLostError.

    A server that crashed and came back shows commits that waited for a standby then: nobody was answered, nobody else
    has them, and a failover takes them back. What is signed or answered may not rest on them.
    """

    def give_up() -> None:
        with suppress(psycopg.Error):
            connection.cancel_safe()

    timer = threading.Timer(STANDBY_SECONDS, give_up)
    timer.daemon = True
    timer.start()
    try:
        with replicated(connection):
            connection.execute(_MARK)
    finally:
        timer.cancel()


@contextmanager
def replicated(connection: Connection) -> Iterator[None]:
    """Raise StoreLostError when a commit in the block was answered, but its wait for a standby was given up.

    Somebody cancelled it, and the server calls that a success with a warning (PostgreSQL, syncrep.c).
    """
    warnings: list[object] = []

    def said(warning: object) -> None:
        warnings.append(warning)

    connection.add_notice_handler(said)
    try:
        yield
    finally:
        connection.remove_notice_handler(said)
    if warnings:
        raise StoreLostError("NotReplicated")


def check_server(connection: Connection, where: str) -> None:
    """Raise RegieError LEDGER_UNAVAILABLE unless a commit that this server answers survives a crash of it.

    What was found right is set for the session, so that a reload of the server's configuration does not undo it.
    """
    if connection.info.server_version // 10_000 < OLDEST_SERVER:
        raise unavailable(f"{where} is PostgreSQL {connection.info.server_version // 10_000}: at least 15 is needed")
    for setting, good in (
        ("fsync", {"on"}),
        ("full_page_writes", {"on"}),
        ("synchronous_commit", {"on", "remote_apply"}),
    ):
        value = _one(connection, "SELECT current_setting(%s)", setting)
        if value not in good:
            raise unavailable(
                f"{where} has {setting}={value}: it can lose commits that it answered, and the ledger would sign two "
                f"logs; set {setting}=on"
            )
    connection.execute("SELECT set_config('synchronous_commit', current_setting('synchronous_commit'), false)")


_MAY_CHANGE = """
SELECT name || ' (' || what || ')' FROM (VALUES
    ('leaf', 'UPDATE'), ('leaf', 'DELETE'), ('leaf', 'TRUNCATE'), ('tile', 'UPDATE'), ('tile', 'DELETE'),
    ('tile', 'TRUNCATE'), ('public_event', 'UPDATE'), ('public_event', 'DELETE'), ('public_event', 'TRUNCATE'),
    ('payload', 'UPDATE'), ('payload', 'TRUNCATE'), ('head', 'DELETE'), ('head', 'TRUNCATE')
) AS forbidden (name, what) WHERE has_table_privilege(name, what) LIMIT 1
"""


def check_role(connection: Connection, where: str) -> None:
    """Raise RegieError LEDGER_UNAVAILABLE when the session's role may change what is in the log already."""
    found = connection.execute(_MAY_CHANGE).fetchone()
    if found is not None:
        role = connection.info.user
        raise unavailable(
            f"role {role} may change the log in {where}: {found[0]}. Serve as a role that only adds: as the owner of "
            "the database run `regie ledger migrate --writer ROLE`, and put that role in the address"
        )


def check_schema(connection: Connection, where: str, needed: int) -> None:
    """Raise RegieError LEDGER_UNAVAILABLE unless the schema is there, of our version or a newer one (it only grows)."""
    try:
        found = int(_one(connection, "SELECT version_num FROM alembic_version"))
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
        found = 0
    if found < needed:
        state = f"is at version {found}" if found else "has no schema of a ledger that this role may read"
        raise unavailable(f"{where} {state}; version {needed} is needed: run `regie ledger migrate` as its owner")


def _one(connection: Connection, query: str, *parameters: Any) -> Any:
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None
