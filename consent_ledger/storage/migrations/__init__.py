"""The schema of a ledger's database from version to version (Alembic), and who may do what in it.

Migrations only expand: tables, columns with a default, indexes. So a ledger of an older version works on a newer
schema, and replicas are replaced one by one after ``regie ledger migrate``. A version is a revision's number:
PostgreSQL keeps it in Alembic's table, a SQLite file in its ``user_version``. A new SQLite file is made by
``tables.py`` at once; a test compares what both ways give.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from psycopg import sql

from consent_ledger.storage.connection import connect, described
from consent_ledger.storage.sqlite import APPLICATION_ID, Lock, unavailable, writer_engine

WRITER_MAY = (
    ("SELECT, INSERT", "ALL TABLES IN SCHEMA public"),
    # The head moves (forward, says its trigger); everything else that changes is a projection, beside the log.
    ("UPDATE (size, root, time_ms, checkpoint, public_sequence)", "head"),
    ("UPDATE (seq, last, state, recent)", "subject"),
    ("UPDATE (decided_idx, opening, subject, released_idx, withheld_idx, acknowledged_idx, outcome_idx)", "permit"),
    ("UPDATE (response)", "batch"),
    ("UPDATE (size, note, cosigned_ms)", "published"),
    ("UPDATE (done_idx)", "task"),
    # Erasure, and answers that are too old to be given again.
    ("DELETE", "payload, subject, subject_entry, permit, change, task, erasure, pull_nonce"),
)
"""What the role of a serving ledger may do: add to the log, and never change it."""
_LOCK_MS = 5_000
"""How long a change of a table waits for those who use it: everybody who comes after it waits behind it."""


def _scripts() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def newest() -> int:
    """Return the newest version that there is a migration to."""
    head = ScriptDirectory.from_config(_scripts()).get_current_head()
    assert head is not None, "there is at least one migration"
    return int(head)


def migrate_postgres(
    uri: str, *, writers: Collection[str] = (), readers: Collection[str] = (), to: str = "head"
) -> int:
    """Bring a PostgreSQL database to the newest version, say what roles may do in it, and return that version.

    ``uri`` is that of the role that owns the database; ``writers`` are roles that serve the ledger, ``readers`` those
    that audit it. One transaction: it is done wholly or not at all. Raises RegieError LEDGER_UNAVAILABLE.
    """
    creator = partial(connect, uri, lock_ms=_LOCK_MS)
    engine = sa.create_engine("postgresql+psycopg://", creator=creator, poolclass=sa.NullPool)
    try:
        with engine.begin() as connection:
            # Two of them at once: the second finds the work done.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('regie ledger migrate'))")
            config = _scripts()
            config.attributes["connection"] = connection
            command.upgrade(config, to)
            raw = connection.connection.driver_connection
            assert isinstance(raw, psycopg.Connection)
            _grant(raw, writers, readers)
    except (sa.exc.DBAPIError, psycopg.Error) as error:
        cause = getattr(error, "orig", error)
        raise unavailable(f"{described(uri)} cannot be migrated: {_first_line(cause)}") from None
    finally:
        engine.dispose()
    return newest()


def _first_line(error: BaseException) -> str:
    """Return what the server said; no statement of a migration carries anybody's data."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _grant(connection: psycopg.Connection, writers: Collection[str], readers: Collection[str]) -> None:
    for role in (*writers, *readers):
        name = sql.Identifier(role)
        connection.execute(sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}").format(name))
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(name))
        connection.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(name))
    for role in writers:
        for what, where in WRITER_MAY:
            grant = f"GRANT {what} ON {where} TO {{}}"
            connection.execute(sql.SQL(grant).format(sql.Identifier(role)))
        # Which version this is, is for the owner to say.
        connection.execute(sql.SQL("REVOKE INSERT ON alembic_version FROM {}").format(sql.Identifier(role)))


def migrate_sqlite(path: Path) -> int:
    """Bring a ledger's SQLite file, whose writer is stopped, to the newest version and return that.

    One transaction: it is done wholly or not at all. Raises RegieError LEDGER_UNAVAILABLE for a file in use, one that
    is no ledger, or one that is newer than this program.
    """
    if not path.is_file():
        raise unavailable(f"there is no ledger at {path}")
    lock = Lock(path)
    engine = writer_engine(path)
    try:
        with engine.begin() as connection:
            _migrate_file(connection, path)
    except sa.exc.DatabaseError as error:
        raise unavailable(f"{path} cannot be migrated: {type(error.orig).__name__}") from None
    finally:
        engine.dispose()
        lock.release()
    return newest()


def _migrate_file(connection: sa.Connection, path: Path) -> None:
    found = connection.exec_driver_sql("PRAGMA application_id").scalar()
    version = connection.exec_driver_sql("PRAGMA user_version").scalar()
    if found != APPLICATION_ID or not isinstance(version, int) or not 1 <= version <= newest():
        raise unavailable(f"{path} is no ledger that this version of regie can migrate")
    steps = ScriptDirectory.from_config(_scripts()).iterate_revisions("head", f"{version:04}")
    context = MigrationContext.configure(connection)
    with Operations.context(context):
        for step in reversed(list(steps)):
            step.module.upgrade()
    connection.exec_driver_sql(f"PRAGMA user_version={newest()}")
