"""What somebody with a hand in the database can do to it: change a bit, take a row away, exchange two, forge one."""

from __future__ import annotations

import contextlib
import random
import shutil
from pathlib import Path

from pysqlite3 import dbapi2 as sqlite3

KEYS = {
    "leaf": ("idx",),
    "payload": ("idx",),
    "tile": ("level", "idx"),
    "head": ("id",),
    "public_event": ("idx",),
    "subject": ("id",),
    "subject_entry": ("subject", "idx"),
    "batch": ("header_hash",),
    "permit": ("header_hash", "position"),
    "pull_nonce": ("header_hash", "nonce"),
    "change": ("change_id",),
    "task": ("idx",),
    "erasure": ("idx",),
    "published": ("id",),
}


def opened(path: Path):
    """A connection that nothing holds back: no triggers, no foreign keys."""
    connection = sqlite3.connect(path, isolation_level=None)
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    return connection


def columns_of(path: Path) -> list[tuple[str, str]]:
    connection = opened(path)
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    found = [
        (table, row[1]) for (table,) in tables.fetchall() for row in connection.execute(f"PRAGMA table_info({table})")
    ]
    connection.close()
    return found


def rows_of(path: Path, table: str) -> list[dict[str, object]]:
    connection = opened(path)
    cursor = connection.execute(f"SELECT * FROM {table}")
    names = [part[0] for part in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor]
    connection.close()
    return rows


def copied(path: Path, folder: Path) -> Path:
    return Path(shutil.copy(path, folder / "tampered.db"))


def set_column(path: Path, table: str, row: dict[str, object], column: str, value: object) -> None:
    connection = opened(path)
    where = " AND ".join(f"{key} = ?" for key in KEYS[table])
    if isinstance(value, str | bytes) and isinstance(row[column], str):
        value, holder = value.encode() if isinstance(value, str) else value, "CAST(? AS TEXT)"
    else:
        holder = "?"
    key = [row[name] for name in KEYS[table]]
    changed = connection.execute(f"UPDATE {table} SET {column} = {holder} WHERE {where}", (value, *key)).rowcount
    connection.close()
    assert changed == 1


def delete(path: Path, table: str, row: dict[str, object]) -> None:
    connection = opened(path)
    where = " AND ".join(f"{key} = ?" for key in KEYS[table])
    changed = connection.execute(f"DELETE FROM {table} WHERE {where}", [row[key] for key in KEYS[table]]).rowcount
    connection.close()
    assert changed == 1


def flipped_in(path: Path, table: str, row: dict[str, object], column: str, rng: random.Random) -> object:
    """Flip a bit of one value, and return what it became; another bit, where another row has that key already."""
    while True:
        value = bit_flipped(row[column], rng)
        with contextlib.suppress(sqlite3.IntegrityError):
            set_column(path, table, row, column, value)
            return value


def bit_flipped(value: object, rng: random.Random) -> object:
    """The value with one bit changed, somewhere."""
    if isinstance(value, int):
        return value ^ (1 << rng.randrange(20))
    if isinstance(value, str):
        return bit_flipped(value.encode(), rng)
    assert isinstance(value, bytes)
    at = rng.randrange(len(value))
    return value[:at] + bytes([value[at] ^ (1 << rng.randrange(8))]) + value[at + 1 :]


def dump(path: Path, *, without: tuple[str, ...] = ()) -> dict[str, list[tuple[object, ...]]]:
    """Everything in every table, for comparing; ``without`` are columns as table.column."""
    connection = opened(path)
    found = {}
    for table in sorted({table for table, _ in columns_of(path)}):
        wanted = [column for name, column in columns_of(path) if name == table and f"{table}.{column}" not in without]
        found[table] = sorted(connection.execute(f"SELECT {', '.join(wanted)} FROM {table}").fetchall(), key=repr)
    connection.close()
    return found
