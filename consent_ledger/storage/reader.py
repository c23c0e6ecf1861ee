"""The read side of the ledger's file: durable state only, from any thread, never through the writer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from consent_ledger.errors import RegieError
from consent_ledger.storage.reads import Reads
from consent_ledger.storage.sqlite import all_rows, among, reader_engine, unavailable


class Snapshot(Reads):
    """One consistent, durable state of the ledger; valid inside its ``with`` block."""

    def __init__(self, connection: sa.Connection) -> None:
        """Read over this connection's transaction."""
        self._connection = connection

    def _all(self, sql: str, *parameters: Any) -> Sequence[Any]:
        return all_rows(self._connection, sql, parameters)

    def _among(self, sql: str, keys: Collection[Any]) -> Iterable[Any]:
        return among(self._all, sql, keys)


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
