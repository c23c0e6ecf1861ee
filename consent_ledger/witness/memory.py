"""What a witness remembers: per log the latest checkpoint it cosigned, in a SQLite file of its own.

A witness that forgets cosigns a fork, so its memory is made once (`regie init`, `regie witness init`) and never by a
server; and what is answered is durable first. The rollback journal with ``synchronous=EXTRA`` syncs the folder too.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

APPLICATION_ID = 0x52655769  # "ReWi"
SCHEMA_VERSION = 1
BUSY_SECONDS = 5.0
MOST_EVIDENCE = 100
"""Refused checkpoints that are kept per log: each is signed by the log, so nobody else can fill the file."""

_TABLES = (
    """CREATE TABLE cosigned (origin TEXT PRIMARY KEY, origin_hash TEXT NOT NULL UNIQUE, size INTEGER NOT NULL,
       root BLOB NOT NULL, seconds INTEGER NOT NULL, note TEXT NOT NULL) STRICT""",
    """CREATE TABLE evidence (id INTEGER PRIMARY KEY, origin TEXT NOT NULL, seconds INTEGER NOT NULL,
       problem TEXT NOT NULL, request BLOB NOT NULL) STRICT""",
    # A seat-belt below the code: neither size nor time goes back, and no size has two roots.
    """CREATE TRIGGER cosigned_only_forward BEFORE UPDATE ON cosigned
       WHEN NEW.size < OLD.size OR NEW.seconds < OLD.seconds OR (NEW.size = OLD.size AND NEW.root <> OLD.root)
       BEGIN SELECT RAISE(ABORT, 'a witness only goes forward'); END""",
    """CREATE TRIGGER cosigned_is_kept BEFORE DELETE ON cosigned
       BEGIN SELECT RAISE(ABORT, 'a witness does not forget'); END""",
)
_REMEMBER = """
INSERT INTO cosigned (origin, origin_hash, size, root, seconds, note) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (origin) DO UPDATE SET size = excluded.size, root = excluded.root, seconds = excluded.seconds,
note = excluded.note
"""
_EVIDENCE = """
INSERT INTO evidence (origin, seconds, problem, request) SELECT ?, ?, ?, ?
WHERE (SELECT count(*) FROM evidence WHERE origin = ?) < ?
"""


class WitnessMemoryError(Exception):
    """The memory cannot be used, or what it holds after a failed write is not known; the text says what to do."""


class Cosigned(NamedTuple):
    """The latest checkpoint of a log that was cosigned: ``note`` has the log's and the witness's lines."""

    origin: str
    origin_hash: str
    size: int
    root: bytes
    seconds: int
    note: str


class Memory:
    """The open file of one witness process. Thread-safe: one transaction at a time."""

    def __init__(self, path: Path) -> None:
        """Open what ``create_memory`` made; raises WitnessMemoryError when it is absent, foreign, damaged or in use."""
        self.failed = False
        self._path = path
        self._turn = threading.Lock()
        if not path.is_file():
            raise WitnessMemoryError(
                f"{path} is missing: a witness that has forgotten what it cosigned would cosign a fork. Put the file "
                "back; if it is lost, retire this witness's key and make a new one with `regie witness init`"
            )
        try:
            self._connection = _connect(path)
            _require_ours(self._connection, path)
            _take(self._connection)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise WitnessMemoryError(f"{path} cannot be used: {error}") from None
            raise WitnessMemoryError(f"{path} is in use: this witness runs already") from None
        except sqlite3.DatabaseError as error:
            raise WitnessMemoryError(f"{path} cannot be used: {error}") from None

    def latest(self, origin: str) -> Cosigned | None:
        """Return the latest checkpoint of a log."""
        return self._one("SELECT * FROM cosigned WHERE origin = ?", origin)

    def by_hash(self, origin_hash: str) -> Cosigned | None:
        """Return the latest checkpoint of the log whose origin has this SHA-256 (lower-case hex)."""
        return self._one("SELECT * FROM cosigned WHERE origin_hash = ?", origin_hash)

    def step(self, origin: str, decide: Callable[[Cosigned | None], Cosigned]) -> Cosigned:
        """Replace the latest checkpoint of a log by what ``decide`` makes of it, in one transaction.

        When this returns, it is durable. What ``decide`` raises passes through and leaves everything as it was. After a
        failed commit nobody knows what is on the disk: WitnessMemoryError, now and for every later call.
        """
        with self._turn:
            self._require_sound()
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                found = self._connection.execute("SELECT * FROM cosigned WHERE origin = ?", (origin,)).fetchone()
                fresh = decide(found and Cosigned(*found))
                self._connection.execute(_REMEMBER, fresh)
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                self.failed = True
                raise WitnessMemoryError(f"{self._path} cannot be written: {error}") from None
            finally:
                if self._connection.in_transaction:
                    self._connection.rollback()
            return fresh

    def keep_evidence(self, origin: str, seconds: int, problem: str, request: bytes) -> None:
        """Keep a request that a log signed and that does not continue what was cosigned: it may prove a fork."""
        with self._turn:
            self._require_sound()
            try:
                self._connection.execute(_EVIDENCE, (origin, seconds, problem, request, origin, MOST_EVIDENCE))
            except sqlite3.Error as error:
                self.failed = True
                raise WitnessMemoryError(f"{self._path} cannot be written: {error}") from None

    def evidence(self, origin: str) -> list[tuple[int, str, bytes]]:
        """Return (seconds, problem, request) of what was kept of a log, oldest first."""
        with self._turn:
            sql = "SELECT seconds, problem, request FROM evidence WHERE origin = ? ORDER BY id"
            return list(self._connection.execute(sql, (origin,)))

    def close(self) -> None:
        """Close the file and let the next process in."""
        with self._turn:
            self._connection.close()

    def _one(self, sql: str, key: str) -> Cosigned | None:
        with self._turn:
            self._require_sound()
            try:
                found = self._connection.execute(sql, (key,)).fetchone()
            except sqlite3.Error as error:
                raise WitnessMemoryError(f"{self._path} cannot be read: {error}") from None
        return found and Cosigned(*found)

    def _require_sound(self) -> None:
        if self.failed:
            raise WitnessMemoryError(f"{self._path} failed: start the witness again once the disk is in order")


def create_memory(path: Path) -> None:
    """Make the memory of a new witness, durably; raises WitnessMemoryError when there is one already."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise WitnessMemoryError(f"{path} exists: a witness's memory is made once") from None
    connection = _connect(path)
    try:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("BEGIN")
        for statement in _TABLES:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")  # last: without it this is no memory
        connection.execute("COMMIT")
    finally:
        connection.close()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode = DELETE", "synchronous = EXTRA", "trusted_schema = OFF", "recursive_triggers = ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _require_ours(connection: sqlite3.Connection, path: Path) -> None:
    found = tuple(connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    if found != (APPLICATION_ID, SCHEMA_VERSION):
        raise WitnessMemoryError(f"{path} is no witness's memory of this version")
    if (problem := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise WitnessMemoryError(f"{path} is damaged: {problem}")


def _take(connection: sqlite3.Connection) -> None:
    """Keep other processes out as long as this one lives: two witnesses of one name are two histories."""
    connection.execute("PRAGMA busy_timeout = 0")
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("COMMIT")
