"""The write side of the ledger's file: one connection, used by the sequencer's thread only.

Every method runs inside the transaction between ``begin`` and ``commit``. Nothing here decides anything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import Insert, insert

from consent_ledger.statecodec import encode
from consent_ledger.storage import tables
from consent_ledger.storage.erasures import Step, steps_after, steps_before, steps_of_expiry
from consent_ledger.storage.reader import LedgerReader
from consent_ledger.storage.reads import Reads
from consent_ledger.storage.rows import HeadRow, PermitRow, Writes
from consent_ledger.storage.scrub import Scrub
from consent_ledger.storage.sqlite import (
    BUSY_MS,
    FAILURES,
    Lock,
    all_rows,
    among,
    check_file,
    remove_draft,
    rewrite_log,
    sync_folder,
    told,
    unavailable,
    writer_engine,
)

_TABLES = tables.LedgerTable.metadata.tables


# Numbers and bytearrays only, as in ``append``: -1 and an empty opening stand for NULL.
_BECAME = """
UPDATE permit SET opening = nullif(?, x''), released_idx = nullif(?, -1), withheld_idx = nullif(?, -1),
acknowledged_idx = nullif(?, -1), outcome_idx = nullif(?, -1) WHERE header_hash = ? AND position = ?
"""

# Only forward: larger, or as large and later. Replicas of a ledger publish side by side.
_PUBLISH = """
INSERT INTO published (id, size, note, cosigned_ms) VALUES (1, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET size = excluded.size, note = excluded.note, cosigned_ms = excluded.cosigned_ms
WHERE excluded.size > published.size
   OR (excluded.size = published.size AND excluded.cosigned_ms > published.cosigned_ms)
"""


def _statement(name: str, *replaced: str, columns: Sequence[str] = ()) -> Insert:
    """Insert rows of these columns (none named: all); on the same key, replace the columns in ``replaced``."""
    table = _TABLES[name]
    statement = insert(table).values({column: sa.bindparam(column) for column in columns or table.columns.keys()})
    if not replaced:
        return statement
    changes = {column: statement.excluded[column] for column in replaced}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changes)


_INSERTS = {
    "leaf": _statement("leaf"),
    "payload": _statement("payload"),
    "public_event": _statement("public_event"),
    "tile": _statement("tile"),
    "subject": _statement("subject", "seq", "last", "state", "recent"),
    "subject_entry": _statement("subject_entry"),
    "batch": _statement("batch"),
    "new_permit": _statement(
        "permit", columns=("header_hash", "position", "decided_idx", "opening", "subject")
    ).on_conflict_do_nothing(),
    "pull_nonce": _statement("pull_nonce"),
    "change": _statement("change"),
    "task": _statement("task", "done_idx"),
}


class LedgerStore(Reads):
    """An open ledger file and its lock. Made by ``open_store`` or ``create_store``."""

    shared = False

    def __init__(self, path: Path, engine: sa.Engine, lock: Lock) -> None:
        """Take over an engine from ``writer_engine``."""
        self.path = path
        self._engine = engine
        self._lock = lock
        self._connection = engine.connect()
        self._scrub = Scrub(path)
        # Compiled once to SQL with positional parameters: rows then go to the driver as they are.
        self._sql = {name: str(statement.compile(dialect=engine.dialect)) for name, statement in _INSERTS.items()}

    # -- transaction ------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Take the write lock."""
        self._connection.begin()

    def commit(self) -> None:
        """Make the transaction durable. When this raises, whether it is durable is unknown."""
        self._connection.commit()

    def overwrite(self, *, anew: bool, most_bytes: int) -> bool:
        """Empty the -wal file into the database and scrub the next ``most_bytes`` of it: deleted bytes are in neither.

        Between transactions only. ``anew``: something was deleted since the last call. False: a reader at work was not
        waited for, or the file is longer, so there is more to do. Crash: the next writer begins again.
        """
        if anew:
            self._scrub.anew()
        if not self.empty_log():
            return False
        if self._scrub.step(most_bytes):
            cursor = self._connection.connection.cursor()
            cursor.execute("PRAGMA shrink_memory")  # pages in the cache still have what was scrubbed
            cursor.close()
        return self._scrub.done

    def empty_log(self) -> bool:
        """Move the -wal file into the database, durably; False when a reader at work was not waited for."""
        cursor = self._connection.connection.cursor()
        cursor.execute("PRAGMA busy_timeout=0")
        busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        cursor.close()
        return not busy

    def rollback(self) -> None:
        """Forget the transaction."""
        self._connection.rollback()

    def close(self) -> None:
        """Close the file and let the next writer in; safe after any failure."""
        with contextlib.ExitStack() as last:
            last.callback(self._lock.release)
            last.callback(self._scrub.close)
            last.callback(self._engine.dispose)
            self._connection.close()

    @property
    def name(self) -> str:
        """Where it is, for messages."""
        return str(self.path)

    def reader(self) -> LedgerReader:
        """Open the read side of the same file."""
        return LedgerReader(self.path)

    # -- writing ----------------------------------------------------------------------------------------------------

    # Rows carry bytearrays: for bytes and None the driver looks for an adapter at each value, which costs ten times the
    # insert itself.

    def append(self, writes: Writes, completed: Sequence[tuple[int, int, bytes]]) -> None:
        """Add leaves, what opens them, and the tile hashes they completed."""
        self._insert("leaf", [(row.idx, bytearray(row.entry), bytearray(row.hash)) for row in writes.leaves])
        payloads = [
            (idx, bytearray(salt), bytearray(event), bytearray(private))
            for idx, salt, event, private in writes.payloads
        ]
        self._insert("payload", payloads)
        self._insert("public_event", [(index,) for index in writes.public])
        self._insert("tile", completed)

    def project(self, writes: Writes) -> None:
        """Store everything beside the log: chains, states, batches, permits, and answers given; then erase."""
        self._take(steps_before(writes.erasures))
        # Neighbours in the tree are written together.
        subjects = sorted((key, row) for key, row in writes.subjects.items() if row.seq)
        rows = [
            (bytearray(key), seq, bytearray(last), bytearray(encode(state)), bytearray(recent))
            for key, (seq, last, state, recent) in subjects
        ]
        self._insert("subject", rows)
        self._insert("subject_entry", [(bytearray(key), index) for key, index in sorted(writes.entries)])
        self._insert("batch", [_for_driver(row) for row in writes.batches.values()])
        self._store_permits([permit for permits in writes.permits.values() for permit in permits.values()])
        self._insert("pull_nonce", list(writes.pulls.values()))
        self._insert("change", list(writes.changes.values()))
        self._insert("task", list(writes.tasks.values()))
        self._take(steps_after(writes.erasures, [key for key, row in writes.subjects.items() if not row.seq]))
        if writes.published:
            self._connection.exec_driver_sql(_PUBLISH, tuple(writes.published))

    def _store_permits(self, permits: Sequence[PermitRow]) -> None:
        """Insert those that are new, and say of the others what became of them."""
        self._insert("new_permit", [_new_permit(permit) for permit in permits])
        became = [_became(permit) for permit in permits if not permit.fresh]
        if became:
            self._connection.exec_driver_sql(_BECAME, became)

    def advance(self, old: HeadRow, new: HeadRow) -> None:
        """Move the head, if it still is ``old``; raises RuntimeError when somebody else moved it."""
        moved = self._connection.exec_driver_sql(
            "UPDATE head SET size = ?, root = ?, time_ms = ?, checkpoint = ?, public_sequence = ? "
            "WHERE id = 1 AND size = ? AND root = ?",
            (*new, old.size, old.root),
        ).rowcount
        if moved != 1:
            raise RuntimeError(f"the head is no longer at size {old.size}: another writer?")

    def first_head(self, head: HeadRow) -> None:
        """Store the head of a new ledger."""
        sql = "INSERT INTO head (id, size, root, time_ms, checkpoint, public_sequence) VALUES (1, ?, ?, ?, ?, ?)"
        self._connection.exec_driver_sql(sql, tuple(head))

    def forget(self, after_ms: int, until_ms: int, pulls_before_ms: int) -> bool:
        """Delete what may no longer be given out; tell whether there was any.

        Openings that were never released, of batches that expired after ``after_ms`` and not later than ``until_ms``
        (pseudonyms.md, "Signals"), what else such a batch keeps for its time only (``erasures.steps_of_expiry``), and
        answers to pulls that expired before ``pulls_before_ms``.
        """
        before = self._connection.connection.total_changes
        self._connection.exec_driver_sql(
            "UPDATE permit SET opening = NULL WHERE opening IS NOT NULL AND released_idx IS NULL AND header_hash IN "
            "(SELECT header_hash FROM batch WHERE expires_ms > ? AND expires_ms <= ?)",
            (after_ms, until_ms),
        )
        self._take(steps_of_expiry(after_ms, until_ms))
        self._connection.exec_driver_sql("DELETE FROM pull_nonce WHERE expires_ms < ?", (pulls_before_ms,))
        return bool(self._connection.connection.total_changes != before)

    # -- moving -----------------------------------------------------------------------------------------------------

    @property
    def connection(self) -> sa.Connection:
        """The connection, for what moves and maintains a ledger that nobody serves."""
        return self._connection

    def restore(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add rows as they were in another ledger."""
        marks = ", ".join("?" * len(columns))
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608  (our own names)
        self._connection.exec_driver_sql(sql, [tuple(row) for row in rows])

    def restored(self) -> None:
        """Nothing is remembered."""

    # -- plumbing ---------------------------------------------------------------------------------------------------

    def _insert(self, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            self._connection.exec_driver_sql(self._sql[name], list(rows))

    def _take(self, steps: Iterable[Step]) -> None:
        for sql, rows in steps:
            if rows:
                self._connection.exec_driver_sql(sql, rows)

    def _all(self, sql: str, *parameters: Any) -> Sequence[Any]:
        return all_rows(self._connection, sql, parameters)

    def _among(self, sql: str, keys: Collection[Any]) -> Iterable[Any]:
        return among(self._all, sql, keys)


def _for_driver(row: Sequence[Any]) -> tuple[Any, ...]:
    """Return a row as the driver takes it fastest: see ``append``."""
    return tuple([bytearray(value) if type(value) is bytes else value for value in row])


def _new_permit(permit: PermitRow) -> tuple[bytearray, int, int, bytearray, bytearray]:
    return (
        bytearray(permit.header_hash),
        permit.position,
        permit.decided_idx,
        bytearray(permit.opening or b""),
        bytearray(permit.subject),
    )


def _became(permit: PermitRow) -> tuple[bytearray, int, int, int, int, bytearray, int]:
    released, withheld, acknowledged, outcome = (-1 if index is None else index for index in permit[5:])
    opening, header_hash = bytearray(permit.opening or b""), bytearray(permit.header_hash)
    return opening, released, withheld, acknowledged, outcome, header_hash, permit.position


def open_store(path: Path) -> LedgerStore:
    """Open an existing, whole ledger for its one writer; raises RegieError LEDGER_UNAVAILABLE saying what is wrong."""
    if not path.is_file():
        raise unavailable(f"there is no ledger at {path}: `regie init` creates it, and nothing else does")
    lock = Lock(path)
    with contextlib.ExitStack() as failing:
        failing.callback(lock.release)
        with contextlib.suppress(OSError):  # a second name of this file, whose creator died: of no harm yet
            remove_draft(path)
        rewrite_log(path)
        engine = writer_engine(path)
        failing.callback(engine.dispose)
        try:
            with engine.begin() as connection:
                check_file(connection, path)
            sync_folder(path)  # the -wal file is there by now; SQLite would not say that its name is not durable
            store = LedgerStore(path, engine, lock)
        except FAILURES as error:
            raise unavailable(f"{path} cannot be read or written: {told(error)}") from None
        failing.pop_all()
    return store
