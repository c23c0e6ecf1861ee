"""What a database does by itself: rows as large as a decision, so many in one durable transaction."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

import psycopg
from pysqlite3 import dbapi2

CALLERS = (1, 16, 128)
SECONDS = 1.0
ENTRY, HASH, PAYLOAD = 34, 32, 350
"""Bytes of a committed leaf, of its hash, and of what opens it."""
Row = tuple[int, bytes, bytes, bytes]


def sqlite(folder: Path) -> dict[str, dict[str, float]]:
    """Return durable rows per second by rows in a transaction: WAL, synchronous=FULL."""
    connection = dbapi2.connect(str(folder / "bare.db"), isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE bare (idx INTEGER PRIMARY KEY, entry BLOB, hash BLOB, payload BLOB) STRICT")

        def commit(rows: Sequence[Row]) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO bare VALUES (?, ?, ?, ?)", rows)
            connection.execute("COMMIT")

        return _rates(commit)
    finally:
        connection.close()


def postgres(uri: str) -> dict[str, dict[str, float]]:
    """Return durable rows per second by rows in a transaction, of a role that may make a table there."""
    with psycopg.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bare (idx bigint PRIMARY KEY, entry bytea, hash bytea, payload bytea)")
        connection.commit()

        def commit(rows: Sequence[Row]) -> None:
            with cursor.copy("COPY bare FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
            connection.commit()

        return _rates(commit)


def _rates(commit: Callable[[Sequence[Row]], None]) -> dict[str, dict[str, float]]:
    rates, index = {}, 0
    for callers in CALLERS:
        done, begun = 0, perf_counter()
        while perf_counter() - begun < SECONDS:
            commit([(index + at, os.urandom(ENTRY), os.urandom(HASH), os.urandom(PAYLOAD)) for at in range(callers)])
            index += callers
            done += callers
        rates[str(callers)] = round(done / (perf_counter() - begun), 1)
    return {"limit_per_s": rates}
