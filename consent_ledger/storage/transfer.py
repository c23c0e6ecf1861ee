"""Moving a ledger between engines, row by row and byte by byte: into PostgreSQL, into a file, and back.

A ledger that two writers append to separately would sign two logs (I6). So a file that was moved or is a copy is marked
in its ``user_version``, and no writer opens it. Order of a move, and what a crash at each step means:

1. Lock the source, copy every row into one transaction of the target, read both again and compare. Crash: nothing.
2. Mark the source as moved. Crash: no ledger is open to writers at all; the same move again takes this source.
3. Commit the target. Crash: as 2, or done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from consent_ledger.storage.engines import creating, open_for_reading
from consent_ledger.storage.ports import Location, Movable, Store
from consent_ledger.storage.reads import Reads
from consent_ledger.storage.rows import HeadRow
from consent_ledger.storage.sqlite import Lock, check_copy, mark_as_copy, unavailable, writer_engine
from consent_ledger.storage.store import LedgerStore
from consent_ledger.storage.tables import LedgerTable

Progress = Callable[[int, int], None]
"""(rows done, rows in all), called now and then; every row counts twice: copied, and compared."""

_PAGE = 1_024


class Table(NamedTuple):
    """A table: its columns, and those of them that are its key."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]


def _layout() -> tuple[Table, ...]:
    """Return every table, those that others refer to first."""
    tables = LedgerTable.metadata.sorted_tables
    return tuple(
        Table(table.name, tuple(table.columns.keys()), tuple(column.name for column in table.primary_key))
        for table in tables
    )


TABLES = _layout()


@dataclass(frozen=True, slots=True)
class Moved:
    """What was copied: the size and checkpoint of the log, and how many rows each table has."""

    size: int
    checkpoint: str
    rows: dict[str, int]


def move(source: Path, target: Location, check: Callable[[Store], None], progress: Progress | None = None) -> Moved:
    """Make the ledger at ``target`` from a file, which no writer opens afterwards; raises LEDGER_UNAVAILABLE.

    ``check`` judges the copy inside the transaction that makes it: what it raises ends the move, and nothing happened.
    """
    with _locked(source) as old, creating(target) as new:
        new.begin()
        moved = _copy(old, new, progress)
        check(new)
        mark_as_copy(old.connection)
        old.connection.commit()
        new.commit()
    return moved


def copy(source: Location, target: Path, progress: Progress | None = None) -> Moved:
    """Make a file from a ledger as it is at this moment, also while it is served; no writer opens the copy.

    Raises RegieError LEDGER_UNAVAILABLE, also when the file exists.
    """
    reader = open_for_reading(source)
    try:
        with reader.snapshot() as old, creating(target) as new:
            assert isinstance(old, Reads), "the engines that have a location speak SQL"
            assert isinstance(new, LedgerStore), "a path is a file"
            new.begin()
            moved = _copy(old, new, progress)
            mark_as_copy(new.connection)
            new.commit()
    finally:
        reader.close()
    return moved


@contextmanager
def _locked(path: Path) -> Iterator[LedgerStore]:
    """Open a whole file that has no writer, also one that is marked."""
    if not path.is_file():
        raise unavailable(f"there is no ledger at {path}")
    lock = Lock(path)
    try:
        engine = writer_engine(path)
        with engine.begin() as connection:
            check_copy(connection, path)
    except sa.exc.DatabaseError as error:
        lock.release()
        raise unavailable(f"{path} cannot be read as a database: {type(error.orig).__name__}") from None
    except BaseException:
        lock.release()
        raise
    store = LedgerStore(path, engine, lock)
    try:
        store.begin()
        yield store
    finally:
        store.close()


def _copy(old: Reads, new: Movable, progress: Progress | None) -> Moved:
    """Copy every table and compare what the new ledger gives back with what the old one gave."""
    counts = {table.name: old.count(table.name) for table in TABLES}
    done, total = 0, 2 * sum(counts.values())
    digests = {}
    for table in TABLES:
        digest = sha256()
        for page in pages(old, table):
            _digest(digest, page)
            new.restore(table.name, table.columns, page)
            done += len(page)
            _tell(progress, done, total)
        digests[table.name] = digest.digest()
    new.restored()
    assert isinstance(new, Reads), "the engines that have a location speak SQL"
    for table in TABLES:
        digest = sha256()
        for page in pages(new, table):
            _digest(digest, page)
            done += len(page)
            _tell(progress, done, total)
        if digest.digest() != digests[table.name]:
            raise unavailable(f"table {table.name} is not the same after copying: nothing was changed")
    head: HeadRow = new.head()
    return Moved(head.size, head.checkpoint, counts)


def pages(rows: Reads, table: Table) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of a table in the order of its key, some at a time."""
    columns, key = ", ".join(table.columns), ", ".join(table.key)
    marks = ", ".join("?" * len(table.key))
    places = [table.columns.index(name) for name in table.key]
    sql = f"SELECT {columns} FROM {table.name} {{}} ORDER BY {key} LIMIT {_PAGE}"  # noqa: S608  (our own names)
    page = rows.ask(sql.format(""))
    while page:
        yield page
        last = [page[-1][place] for place in places]
        page = rows.ask(sql.format(f"WHERE ({key}) > ({marks})"), *last)


def _digest(digest: Any, page: list[tuple[Any, ...]]) -> None:
    digest.update(repr(page).encode())


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)
