"""What an agency keeps on its own machine: one process at a time, and no dictionary of identifiers."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from consent_ledger.hashing import length_prefixed
from gateway.database import Database, Stored
from gateway.home import HomeError, Organisation


class Busy(HomeError):  # noqa: N818 (a state, read as a word)
    """Another process of this organisation does the same thing at this moment."""


@contextmanager
def local_database(
    organisation: Organisation, name: str, tables: Sequence[type[Stored]], what: str = ""
) -> Iterator[Database]:
    """Open ``data/<name>.db``; ``what`` names the work that only one process may do at a time (raises Busy)."""
    path = organisation.data / f"{name}.db"
    with _alone(path, what):
        database = Database(path, tables)
        try:
            yield database
        finally:
            database.close()


class KeptDatabase:
    """A local database that stays open while the work is done in turns: opening one costs more than a signal does.

    Between two turns another process may take its own, so nothing that was read in one holds in the next.
    """

    def __init__(self, organisation: Organisation, name: str, tables: Sequence[type[Stored]], what: str) -> None:
        """Open it in the first turn; ``what`` as for ``local_database``."""
        self._path, self._tables, self._what = organisation.data / f"{name}.db", tables, what
        self._database: Database | None = None

    @contextmanager
    def turn(self) -> Iterator[Database]:
        """Work on it, alone; raises Busy."""
        with _alone(self._path, self._what):
            if self._database is None:
                self._database = Database(self._path, self._tables)
            yield self._database

    def close(self) -> None:
        """Close it; not within a turn."""
        if self._database is not None:
            self._database.close()
            self._database = None


@contextmanager
def _alone(path: Path, what: str) -> Iterator[None]:
    """Keep other processes, and other turns of this one, from the same work; without ``what``, nobody."""
    lock = _lock(path.with_suffix(".lock"), what) if what else None
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _lock(path: Path, what: str) -> int:
    """Take a lock file; the kernel frees it when the process ends, however it ends."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise Busy(f"{what} is already running for this organisation: wait until it has ended") from None
    return handle


class KeyedHash:
    """Keyed BLAKE2b (RFC 7693) under a key of the organisation, so that a database alone answers no guesses."""

    def __init__(self, organisation: Organisation, use: str) -> None:
        """Derive a key per use from a secret that the organisation keeps anyway."""
        secret = next(name for name in ("hedge", "closing", "sign") if name == "sign" or organisation.has(name))
        self._key = hmac.digest(organisation.key(secret), b"regie/local/v1/" + use.encode("ascii"), "sha256")

    def __call__(self, *parts: bytes) -> bytes:
        """Return 32 bytes; no two lists of parts give the same input."""
        # One call of a keyed hash instead of HMAC's four: every row that is sent is named by one.
        return hashlib.blake2b(length_prefixed(*parts), digest_size=32, key=self._key).digest()

    def of_file(self, path: Path, *options: bytes) -> tuple[bytes, int]:
        """Return the keyed hash of a file with options, and its number of lines, in one pass."""
        digest, lines, last = hashlib.sha256(), 0, b"\n"
        with path.open("rb") as stream:
            while piece := stream.read(1 << 20):
                digest.update(piece)
                lines += piece.count(b"\n")
                last = piece[-1:]
        return self(b"file", digest.digest(), *options), lines + (last != b"\n")
