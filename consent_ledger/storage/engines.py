"""Which engine keeps a ledger: a path is a SQLite file, an address a PostgreSQL database.

The driver of PostgreSQL is loaded only where one is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consent_ledger.storage.ports import Location, Movable, Reader, Store
from consent_ledger.storage.reader import LedgerReader
from consent_ledger.storage.sqlite import (
    FAILURES,
    Lock,
    create_file,
    draft_of,
    publish_file,
    remove_draft,
    told,
    unavailable,
)
from consent_ledger.storage.store import LedgerStore, open_store

_SCHEMES = ("postgresql://", "postgres://")


def is_postgres(location: Location) -> bool:
    """Tell an address from a path; raises RegieError LEDGER_UNAVAILABLE for an address of anything else."""
    if isinstance(location, Path):
        return False
    if not location.startswith(_SCHEMES):
        raise unavailable("the address of a ledger's database begins with postgresql://")
    return True


def open_for_writing(location: Location) -> Store:
    """Open an existing ledger for a writer; raises RegieError LEDGER_UNAVAILABLE saying what is wrong."""
    if isinstance(location, Path):
        return open_store(location)
    from consent_ledger.storage.postgres import open_postgres  # noqa: PLC0415  (only where it is used)

    assert is_postgres(location)
    return open_postgres(location)


def open_for_reading(location: Location) -> Reader:
    """Open the read side of an existing ledger; raises RegieError LEDGER_UNAVAILABLE, here or at the first snapshot."""
    if isinstance(location, Path):
        return LedgerReader(location)
    from consent_ledger.storage.postgres_reads import PostgresReader  # noqa: PLC0415  (only where it is used)

    assert is_postgres(location)
    return PostgresReader(location)


@contextmanager
def creating(location: Location) -> Iterator[Movable]:
    """Give an empty store for a new ledger, which exists once the block ended well; until then nobody can open it.

    Raises RegieError LEDGER_UNAVAILABLE when there is one already, and on PostgreSQL when there is no schema for it.
    """
    if isinstance(location, Path):
        with _new_file(location) as file:
            yield file
        return
    from consent_ledger.storage.postgres import create_postgres  # noqa: PLC0415  (only where it is used)

    assert is_postgres(location)
    with create_postgres(location) as store:
        yield store


@contextmanager
def _new_file(path: Path) -> Iterator[LedgerStore]:
    if path.exists():
        raise unavailable(f"{path} exists: a ledger is created once")
    try:
        with _draft(path) as store:
            yield store
            # Everything in one file. SQLite does this too when it closes, but says nothing when it fails.
            if not store.empty_log():
                raise unavailable(f"{path} cannot be created: somebody reads its draft")
        # A crash before this line leaves a draft that is thrown away; after it, a whole ledger.
        publish_file(draft_of(path), path)
    except FAILURES as error:
        raise unavailable(f"{path} cannot be created: {told(error)}") from None


@contextmanager
def _draft(path: Path) -> Iterator[LedgerStore]:
    lock = Lock(path)
    try:
        remove_draft(path)  # of a creation that did not finish
        store = LedgerStore(draft_of(path), create_file(draft_of(path)), lock)
    except BaseException:
        lock.release()
        raise
    try:
        yield store
    finally:
        store.close()
