"""The read side of the ledger's file: durable state only, from any thread, never through the writer."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from consent_ledger.errors import RegieError
from consent_ledger.statecodec import decode
from consent_ledger.storage.rows import BatchRow, HeadRow, PayloadRow, PermitRow, SubjectRow
from consent_ledger.storage.sqlite import reader_engine, unavailable
from consent_ledger.storage.store import read_public, read_tile


class Snapshot:
    """One consistent, durable state of the ledger; valid inside its ``with`` block."""

    def __init__(self, connection: sa.Connection) -> None:
        """Read over this connection's transaction."""
        self._connection = connection

    def head(self) -> HeadRow:
        """Return the head."""
        row = self._all("SELECT size, root, time_ms, checkpoint, public_sequence FROM head WHERE id = 1")[0]
        return HeadRow(*row)

    def tile(self, level: int, index: int, width: int) -> bytes:
        """Return the first ``width`` hashes of a tile (log.tiles.TileReader)."""
        return read_tile(self._connection, level, index, width)

    def entries(self, start: int, count: int) -> list[bytes]:
        """Return up to ``count`` entries from ``start``; fewer at the end of the log."""
        rows = self._all("SELECT entry FROM leaf WHERE idx >= ? AND idx < ? ORDER BY idx", start, start + count)
        return [row[0] for row in rows]

    def public_entries(self) -> list[tuple[int, bytes]]:
        """Return (index, entry) of every public event, in order."""
        return read_public(self._connection)

    def subject(self, key: bytes) -> SubjectRow | None:
        """Return a subject, or None when the ledger knows nothing of it."""
        rows = self._all("SELECT seq, last, state FROM subject WHERE id = ?", key)
        return SubjectRow(rows[0][0], rows[0][1], decode(rows[0][2])) if rows else None

    def subject_indices(self, key: bytes, below: int | None = None) -> Iterator[int]:
        """Yield the log indices of a subject's events, newest first."""
        sql = "SELECT idx FROM subject_entry WHERE subject = ? AND idx < ? ORDER BY idx DESC"
        last = below if below is not None else 2**63 - 1
        for row in self._connection.exec_driver_sql(sql, (key, last)):
            yield row[0]

    def payloads(self, indices: Collection[int]) -> dict[int, PayloadRow]:
        """Return what opens these leaves (at most a few thousand), as far as it is not erased."""
        marks = ",".join("?" * len(indices))
        rows = self._all(f"SELECT idx, salt, event, private FROM payload WHERE idx IN ({marks})", *indices)  # noqa: S608  (marks only)
        return {row[0]: PayloadRow(*row) for row in rows}

    def batch(self, header_hash: bytes) -> BatchRow | None:
        """Return a batch by its header hash."""
        rows = self._all("SELECT * FROM batch WHERE header_hash = ?", header_hash)
        return BatchRow(*rows[0]) if rows else None

    def batch_by_id(self, sender: str, batch_id: bytes) -> BatchRow | None:
        """Return a batch by the name its sender gave it."""
        rows = self._all("SELECT * FROM batch WHERE sender = ? AND batch_id = ?", sender, batch_id)
        return BatchRow(*rows[0]) if rows else None

    def permits(self, header_hash: bytes) -> dict[int, PermitRow]:
        """Return the permits of a batch by position."""
        rows = self._all("SELECT * FROM permit WHERE header_hash = ? ORDER BY position", header_hash)
        return {row[1]: PermitRow(*row) for row in rows}

    def _all(self, sql: str, *parameters: Any) -> list[Any]:
        return list(self._connection.exec_driver_sql(sql, parameters).all())


class LedgerReader:
    """Opens snapshots of one ledger file. Thread-safe."""

    def __init__(self, path: Path) -> None:
        """Open for reading; the file must exist."""
        self._engine = reader_engine(path)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Give one consistent state; raises RegieError LEDGER_UNAVAILABLE when the file cannot be read."""
        try:
            with self._engine.begin() as connection:
                yield Snapshot(connection)
        except RegieError:
            raise
        except sa.exc.DatabaseError as error:
            raise unavailable(f"the ledger cannot be read: {type(error.orig).__name__}") from None

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()
