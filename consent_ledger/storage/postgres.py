"""A ledger in PostgreSQL: any number of replicas append to one log, one at a time under the lock on its head's row.

Order within one transaction, and what a lost connection at each step means:

1. BEGIN, and SELECT the head FOR UPDATE: other replicas wait from here on. Lost: nothing happened, and the server frees
   the lock when it notices (a hung replica: after ``connection.IDLE_MS``).
2. Reads. A transaction sees everything that was committed before it got the lock (READ COMMITTED).
3. Writes are kept here and go to the server together: when something is read, and with the head at the end. Lost: as 1.
4. The head moves (compare-and-swap), COMMIT. Lost: durable or not, and only a new connection can tell.

With synchronous standbys a commit is answered once one of them has it. What is only read here is as safe: a new
connection waits until they have what it sees, and a transaction that wrote nothing ends with COMMIT, which waits too
(its lock on the head is a record in the write-ahead log). So nothing is answered that a failover takes back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import psycopg
import sqlalchemy as sa

from consent_ledger.statecodec import encode
from consent_ledger.storage.arrays import Bytes, Column, Integers, Texts
from consent_ledger.storage.connection import (
    Connection,
    check_role,
    check_schema,
    check_server,
    connect,
    described,
    replicated,
)
from consent_ledger.storage.erasures import Step, steps_after, steps_before, steps_of_expiry
from consent_ledger.storage.ports import UnreachableError
from consent_ledger.storage.postgres_reads import PostgresReader, PostgresReads, known_outcome, placed
from consent_ledger.storage.rows import HeadRow, Writes
from consent_ledger.storage.sqlite import SCHEMA_VERSION, unavailable
from consent_ledger.storage.tables import LedgerTable

_KINDS: dict[type[Any], type[Column]] = {sa.Integer: Integers, sa.LargeBinary: Bytes, sa.Text: Texts}
_HEAD = "SELECT size, root, time_ms, checkpoint, public_sequence FROM head WHERE id = 1 FOR UPDATE"

# Only forward: larger, or as large and later. Replicas publish side by side.
_PUBLISH = """
INSERT INTO published (id, size, note, cosigned_ms) VALUES (1, %s, %s, %s)
ON CONFLICT (id) DO UPDATE SET size = excluded.size, note = excluded.note, cosigned_ms = excluded.cosigned_ms
WHERE excluded.size > published.size
   OR (excluded.size = published.size AND excluded.cosigned_ms > published.cosigned_ms)
"""


@cache
def _shape(table: str) -> dict[str, type[Column]]:
    """Return what each column of a table is sent as, in the order of its columns, which is that of rows.py."""
    return {column.name: _KINDS[type(column.type)] for column in LedgerTable.metadata.tables[table].columns}


@cache
def _insert(table: str, columns: tuple[str, ...], *replaced: str, key: str = "") -> str:
    """Insert rows given as columns; on the same key, replace some of them."""
    given = ", ".join(["%s"] * len(columns))
    sql = f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({given})"  # noqa: S608  (our own names)
    if replaced:
        sql += f" ON CONFLICT ({key}) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in replaced)}"
    return sql


class PostgresStore(PostgresReads):
    """One replica's write connection. Made by ``open_postgres`` or ``create_postgres``."""

    shared = True

    def __init__(self, uri: str, connection: Connection) -> None:
        """Take over a connection that was checked; it begins no transactions by itself."""
        super().__init__(connection)
        self.uri = uri
        self.name = described(uri)
        self._head: HeadRow | None = None
        self._waiting: list[tuple[str, Sequence[Any]]] = []
        self._wrote = False

    # -- transaction ------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Take the lock on the head; when this returns, everything that was committed before is seen."""
        with known_outcome():
            # Both in one message, and not in a pipeline: after one the server does not always count idle time, and a
            # replica that hangs here would keep the lock (seen on PostgreSQL 15 and 18).
            answers = self._connection.execute(f"BEGIN; {_HEAD}")
            answers.nextset()
            row = answers.fetchone()
        self._head = HeadRow(*row) if row else None
        self._wrote = False

    def commit(self) -> None:
        """Make the transaction durable. When this raises, whether it is durable is unknown."""
        self._send()
        with known_outcome(), replicated(self._connection):
            status = self._cursor.execute("COMMIT").statusmessage
        if status != "COMMIT":  # the server answers so when the transaction had failed already
            raise RuntimeError(f"expected COMMIT, got {status}")

    def rollback(self) -> None:
        """Forget the transaction; when it wrote nothing, what it read is durable on the standbys too."""
        self._waiting.clear()
        with known_outcome(), replicated(self._connection):
            self._cursor.execute("ROLLBACK" if self._wrote else "COMMIT")

    def overwrite(self, *, anew: bool, most_bytes: int) -> bool:  # noqa: ARG002  (of the port)
        """Do nothing: deleted rows stay in the files until VACUUM, which is for the owner (docs/adr/0007)."""
        return True

    def close(self) -> None:
        """Leave the server, which forgets an open transaction; safe after any failure."""
        with suppress(psycopg.Error):
            self._connection.close()

    def reader(self) -> PostgresReader:
        """Open the read side of the same ledger."""
        return PostgresReader(self.uri)

    def claim_empty(self) -> None:
        """Be the only one that creates a ledger here, until ``close``; raises LEDGER_UNAVAILABLE when there is one."""
        claimed = self._one("SELECT pg_try_advisory_lock(hashtext('regie ledger create')), max(idx) FROM leaf")
        if claimed != (True, None):
            raise unavailable(f"{self.name} holds a ledger, or is being given one: a ledger is created once")

    # -- reading ----------------------------------------------------------------------------------------------------

    def head(self) -> HeadRow:
        """Return the head as it is locked; raises LEDGER_UNAVAILABLE when there is none."""
        if self._head is None:
            raise unavailable(f"there is no ledger at {self.name}: `regie init` creates it, and nothing else does")
        return self._head

    def _all(self, sql: str, *parameters: Any) -> Sequence[Any]:
        self._send()  # a transaction reads its own writes
        return super()._all(sql, *parameters)

    # -- writing ----------------------------------------------------------------------------------------------------

    def append(self, writes: Writes, completed: Sequence[tuple[int, int, bytes]]) -> None:
        """Add leaves, what opens them, and the tile hashes they completed."""
        self._add("leaf", writes.leaves)
        self._add("payload", writes.payloads)
        self._add("public_event", [(index,) for index in writes.public])
        self._add("tile", completed)

    def project(self, writes: Writes) -> None:
        """Store everything beside the log: chains, states, batches, permits, and answers given; then erase."""
        self._take(steps_before(writes.erasures))
        subjects = [
            (key, seq, last, encode(state), recent)
            for key, (seq, last, state, recent) in writes.subjects.items()
            if seq
        ]
        self._add("subject", subjects, "seq", "last", "state", "recent", key="id")
        self._add("subject_entry", writes.entries)
        self._add("batch", list(writes.batches.values()))
        permits = [permit for permits in writes.permits.values() for permit in permits.values()]
        became = ("opening", "released_idx", "withheld_idx", "acknowledged_idx", "outcome_idx")
        self._add("permit", permits, *became, key="header_hash, position")
        self._add("pull_nonce", list(writes.pulls.values()))
        self._add("change", list(writes.changes.values()))
        self._add("task", list(writes.tasks.values()), "done_idx", key="idx")
        self._take(steps_after(writes.erasures, [key for key, row in writes.subjects.items() if not row.seq]))
        if writes.published:
            self._waiting.append((_PUBLISH, writes.published))

    def advance(self, old: HeadRow, new: HeadRow) -> None:
        """Move the head, if it still is ``old``; raises RuntimeError when somebody else moved it."""
        self._send()
        self._wrote = True
        with known_outcome():
            moved = self._cursor.execute(
                "UPDATE head SET size = %s, root = %s, time_ms = %s, checkpoint = %s, public_sequence = %s "
                "WHERE id = 1 AND size = %s AND root = %s",
                (*new, old.size, old.root),
            ).rowcount
        if moved != 1:
            raise RuntimeError(f"the head is no longer at size {old.size}: another writer?")
        self._head = new

    def first_head(self, head: HeadRow) -> None:
        """Store the head of a new ledger."""
        sql = "INSERT INTO head (id, size, root, time_ms, checkpoint, public_sequence) VALUES (1, %s, %s, %s, %s, %s)"
        self._waiting.append((sql, head))
        self._head = head

    def forget(self, after_ms: int, until_ms: int, pulls_before_ms: int) -> bool:
        """Delete openings never released of batches that expired, and answers to pulls that did."""
        sql = (
            "UPDATE permit SET opening = NULL WHERE opening IS NOT NULL AND released_idx IS NULL AND header_hash IN "
            "(SELECT header_hash FROM batch WHERE expires_ms > %s AND expires_ms <= %s)"
        )
        self._waiting.append((sql, (after_ms, until_ms)))
        self._take(steps_of_expiry(after_ms, until_ms))
        self._waiting.append(("DELETE FROM pull_nonce WHERE expires_ms < %s", (pulls_before_ms,)))
        return True

    # -- moving -----------------------------------------------------------------------------------------------------

    def restore(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add rows as they were in another ledger."""
        assert tuple(columns) == tuple(_shape(table)), "in the order of the table's columns"
        self._add(table, rows)
        self._send()

    def restored(self) -> None:
        """See what was restored as what this transaction began with."""
        with known_outcome():
            row = self._cursor.execute(_HEAD).fetchone()
        self._head = HeadRow(*row) if row else None

    # -- plumbing ---------------------------------------------------------------------------------------------------

    def _add(self, table: str, rows: Collection[Sequence[Any]], *replaced: str, key: str = "") -> None:
        if rows:
            shape = _shape(table)
            columns = [column(values) for column, values in zip(shape.values(), zip(*rows, strict=True), strict=True)]
            self._waiting.append((_insert(table, tuple(shape), *replaced, key=key), columns))

    def _take(self, steps: Iterable[Step]) -> None:
        self._waiting += [(placed(sql), row) for sql, rows in steps for row in rows]

    def _send(self) -> None:
        """Give the server what waits, in one round trip; a statement of its own always follows (see ``begin``)."""
        if not self._waiting:
            return
        self._wrote = True
        waiting, self._waiting = self._waiting, []
        with known_outcome(), self._connection.pipeline():
            for sql, parameters in waiting:
                self._cursor.execute(sql, parameters)


def open_postgres(uri: str) -> PostgresStore:
    """Open a database for one of its writers; raises RegieError LEDGER_UNAVAILABLE saying what is wrong with it."""
    connection = connect(uri, autocommit=True)
    try:
        where = described(uri)
        check_server(connection, where)
        check_schema(connection, where, SCHEMA_VERSION)
        check_role(connection, where)
        return PostgresStore(uri, connection)
    except psycopg.OperationalError as error:  # as in a failover: trying again later helps
        connection.close()
        message = f"{described(uri)} went away while it was looked at: {type(error).__name__}"
        raise UnreachableError("LEDGER_UNAVAILABLE", message) from None
    except psycopg.Error as error:
        connection.close()
        raise unavailable(f"{described(uri)} cannot be used: {type(error).__name__}") from None
    except BaseException:
        connection.close()
        raise


@contextmanager
def create_postgres(uri: str) -> Iterator[PostgresStore]:
    """Give a store in which a new ledger is written; it exists once its one transaction is committed.

    The schema must be there (``regie ledger migrate``), and no ledger in it; raises RegieError LEDGER_UNAVAILABLE.
    """
    store = open_postgres(uri)
    try:
        store.claim_empty()
        yield store
    finally:
        store.close()
