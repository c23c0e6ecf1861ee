"""The write side of the ledger's file: one connection, used by the sequencer's thread only.

Every method runs inside the transaction between ``begin`` and ``commit``. Nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import Insert, insert

from consent_ledger.statecodec import decode, encode
from consent_ledger.storage import tables
from consent_ledger.storage.rows import BatchRow, ChangeRow, HeadRow, PayloadRow, PermitRow, PullRow, SubjectRow, Writes
from consent_ledger.storage.sqlite import BUSY_MS, Lock, check_file, unavailable, writer_engine

_VARIABLES = 30_000  # SQLite binds at most 32,766 values in one statement
_TABLES = tables.LedgerTable.metadata.tables


# Numbers and bytearrays only, as in ``append``: -1 and an empty opening stand for NULL.
_BECAME = """
UPDATE permit SET opening = nullif(?, x''), released_idx = nullif(?, -1), withheld_idx = nullif(?, -1),
acknowledged_idx = nullif(?, -1) WHERE header_hash = ? AND position = ?
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
    "subject": _statement("subject", "seq", "last", "state"),
    "subject_entry": _statement("subject_entry"),
    "batch": _statement("batch"),
    "new_permit": _statement(
        "permit", columns=("header_hash", "position", "decided_idx", "opening", "subject")
    ).on_conflict_do_nothing(),
    "pull_nonce": _statement("pull_nonce"),
    "change": _statement("change"),
}


class LedgerStore:
    """An open ledger file and its lock. Made by ``open_store`` or ``create_store``."""

    def __init__(self, path: Path, engine: sa.Engine, lock: Lock) -> None:
        """Take over an engine from ``writer_engine``."""
        self.path = path
        self._engine = engine
        self._lock = lock
        self._connection = engine.connect()
        # Compiled once to SQL with positional parameters: rows then go to the driver as they are.
        self._sql = {name: str(statement.compile(dialect=engine.dialect)) for name, statement in _INSERTS.items()}

    # -- transaction ------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Take the write lock."""
        self._connection.begin()

    def commit(self) -> None:
        """Make the transaction durable. When this raises, whether it is durable is unknown."""
        self._connection.commit()

    def truncate_log(self) -> None:
        """Move the -wal file into the database and empty it, so that deleted bytes are in neither of them.

        Between transactions only. Readers at work are not waited for: the next time does it.
        """
        cursor = self._connection.connection.cursor()
        for pragma in ("busy_timeout=0", "wal_checkpoint(TRUNCATE)", f"busy_timeout={BUSY_MS}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def rollback(self) -> None:
        """Forget the transaction."""
        self._connection.rollback()

    def close(self) -> None:
        """Close the file and let the next writer in; safe after any failure."""
        self._connection.close()
        self._engine.dispose()
        self._lock.release()

    # -- reading ----------------------------------------------------------------------------------------------------

    def head(self) -> HeadRow:
        """Return the head; raises LEDGER_UNAVAILABLE when there is none."""
        row = self._one("SELECT size, root, time_ms, checkpoint, public_sequence FROM head WHERE id = 1")
        if row is None:
            raise unavailable(f"{self.path} has no head: its creation did not finish")
        return HeadRow(*row)

    def last_index(self) -> int:
        """Return the largest leaf index, -1 when there is none."""
        row = self._one("SELECT max(idx) FROM leaf")
        return -1 if row is None or row[0] is None else int(row[0])

    def tile(self, level: int, index: int, width: int) -> bytes:
        """Return the first ``width`` hashes of a tile (log.tiles.TileReader)."""
        return read_tile(self._connection, level, index, width)

    def public_entries(self) -> list[tuple[int, bytes]]:
        """Return (index, entry) of every public event, in order."""
        return read_public(self._connection)

    def subjects(self, ids: Collection[bytes]) -> dict[bytes, SubjectRow]:
        """Return the subjects that are there, with their state decoded."""
        found = self._among("SELECT id, seq, last, state FROM subject WHERE id IN", [bytearray(key) for key in ids])
        return {row[0]: SubjectRow(row[1], row[2], decode(row[3])) for row in found}

    def changes(self, ids: Collection[bytes]) -> dict[bytes, ChangeRow]:
        """Return the stored answers to these changes."""
        found = self._among("SELECT change_id, request_hash, result FROM change WHERE change_id IN", ids)
        return {row[0]: ChangeRow(*row) for row in found}

    def batch(self, header_hash: bytes) -> BatchRow | None:
        """Return a batch by its header hash."""
        row = self._one("SELECT * FROM batch WHERE header_hash = ?", header_hash)
        return row and BatchRow(*row)

    def batch_by_id(self, sender: str, batch_id: bytes) -> BatchRow | None:
        """Return a batch by the name its sender gave it."""
        row = self._one("SELECT * FROM batch WHERE sender = ? AND batch_id = ?", sender, batch_id)
        return row and BatchRow(*row)

    def permits(self, header_hash: bytes) -> dict[int, PermitRow]:
        """Return the permits of a batch by position, increasing."""
        found = self._all("SELECT * FROM permit WHERE header_hash = ? ORDER BY position", header_hash)
        return {row[1]: PermitRow(*row) for row in found}

    def pull(self, header_hash: bytes, nonce: bytes) -> PullRow | None:
        """Return the stored answer to a pull."""
        row = self._one("SELECT * FROM pull_nonce WHERE header_hash = ? AND nonce = ?", header_hash, nonce)
        return row and PullRow(*row)

    def payloads(self, indices: Collection[int]) -> dict[int, PayloadRow]:
        """Return what opens these leaves, as far as it is not erased."""
        found = self._among("SELECT idx, salt, event, private FROM payload WHERE idx IN", indices)
        return {row[0]: PayloadRow(*row) for row in found}

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
        """Store everything beside the log: chains, states, batches, permits, and answers given."""
        subjects = sorted(writes.subjects.items())  # neighbours in the tree are written together
        rows = [(bytearray(key), row.seq, bytearray(row.last), bytearray(encode(row.state))) for key, row in subjects]
        self._insert("subject", rows)
        self._insert("subject_entry", [(bytearray(key), index) for key, index in sorted(writes.entries)])
        self._insert("batch", list(writes.batches.values()))
        self._store_permits([permit for permits in writes.permits.values() for permit in permits.values()])
        self._insert("pull_nonce", list(writes.pulls.values()))
        self._insert("change", list(writes.changes.values()))

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

    def forget(self, after_ms: int, until_ms: int, pulls_before_ms: int) -> None:
        """Delete what may no longer be given out.

        Openings that were never released, of batches that expired after ``after_ms`` and not later than ``until_ms``
        (pseudonyms.md, "Signals"), and answers to pulls that expired before ``pulls_before_ms``.
        """
        self._connection.exec_driver_sql(
            "UPDATE permit SET opening = NULL WHERE opening IS NOT NULL AND released_idx IS NULL AND header_hash IN "
            "(SELECT header_hash FROM batch WHERE expires_ms > ? AND expires_ms <= ?)",
            (after_ms, until_ms),
        )
        self._connection.exec_driver_sql("DELETE FROM pull_nonce WHERE expires_ms < ?", (pulls_before_ms,))

    # -- plumbing ---------------------------------------------------------------------------------------------------

    def _insert(self, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            self._connection.exec_driver_sql(self._sql[name], list(rows))

    def _one(self, sql: str, *parameters: Any) -> Any:
        return self._connection.exec_driver_sql(sql, parameters).first()

    def _all(self, sql: str, *parameters: Any) -> Sequence[Any]:
        return self._connection.exec_driver_sql(sql, parameters).all()

    def _among(self, sql: str, keys: Collection[Any]) -> Iterable[Any]:
        wanted = list(keys)
        for start in range(0, len(wanted), _VARIABLES):
            part = tuple(wanted[start : start + _VARIABLES])
            yield from self._all(f"{sql} ({','.join('?' * len(part))})", *part)


def _new_permit(permit: PermitRow) -> tuple[bytearray, int, int, bytearray, bytearray]:
    return (
        bytearray(permit.header_hash),
        permit.position,
        permit.decided_idx,
        bytearray(permit.opening or b""),
        bytearray(permit.subject),
    )


def _became(permit: PermitRow) -> tuple[bytearray, int, int, int, bytearray, int]:
    released, withheld, acknowledged = (-1 if index is None else index for index in permit[5:])
    opening, header_hash = bytearray(permit.opening or b""), bytearray(permit.header_hash)
    return opening, released, withheld, acknowledged, header_hash, permit.position


def read_tile(connection: sa.Connection, level: int, index: int, width: int) -> bytes:
    """Return the first ``width`` hashes of a tile; shorter when the file does not hold them."""
    first = index * 256
    if level == 0:
        sql, parameters = "SELECT hash FROM leaf WHERE idx >= ? AND idx < ? ORDER BY idx", (first, first + width)
    else:
        sql = "SELECT hash FROM tile WHERE level = ? AND idx >= ? AND idx < ? ORDER BY idx"
        parameters = (level, first, first + width)  # type: ignore[assignment]  # a longer tuple
    return b"".join(row[0] for row in connection.exec_driver_sql(sql, parameters))


def read_public(connection: sa.Connection) -> list[tuple[int, bytes]]:
    """Return (index, entry) of every public event, in order."""
    sql = "SELECT leaf.idx, leaf.entry FROM public_event JOIN leaf ON leaf.idx = public_event.idx ORDER BY leaf.idx"
    return [(row[0], row[1]) for row in connection.exec_driver_sql(sql)]


def open_store(path: Path) -> LedgerStore:
    """Open an existing, whole ledger for its one writer; raises RegieError LEDGER_UNAVAILABLE saying what is wrong."""
    if not path.is_file():
        raise unavailable(f"there is no ledger at {path}: `regie init` creates it, and nothing else does")
    lock = Lock(path)
    try:
        engine = writer_engine(path)
        with engine.begin() as connection:
            check_file(connection, path)
        return LedgerStore(path, engine, lock)
    except sa.exc.DatabaseError as error:
        lock.release()
        raise unavailable(f"{path} cannot be read as a database: {type(error.orig).__name__}") from None
    except BaseException:
        lock.release()
        raise
