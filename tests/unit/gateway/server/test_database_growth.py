"""Databases that were made before: what came later is added when they are opened, and what they hold stays."""

import os

import pysqlite3.dbapi2 as sqlite
import pytest
from sqlalchemy import Connection, insert

from gateway.database import Database
from gateway.exchange import inbox, tables
from gateway.sdk import inbox as received
from gateway.sdk import outbox

CASES = [
    pytest.param(tables.TABLES, "waiting", ("waiting_open",), id="gateway"),
    pytest.param(outbox.TABLES, "sent_batch", (), id="outbox"),
    pytest.param(received.TABLES, "received_batch", (), id="inbox"),
]


def made_before(path, table, indexes):
    """Take away what came with traces, as a database made before has it."""
    connection = sqlite.connect(path)
    for index in indexes:
        connection.execute(f"DROP INDEX {index}")
    connection.execute(f"ALTER TABLE {table} DROP COLUMN traceparent")
    connection.commit()
    connection.close()


def shape(path):
    """Columns and indexes of a file, in whatever order they came."""
    connection = sqlite.connect(path)
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    columns = {name: {row[1:] for row in connection.execute(f"PRAGMA table_info({name})")} for name in names}
    indexes = set(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index'"))
    connection.close()
    return columns, indexes


@pytest.mark.parametrize(("models", "table", "indexes"), CASES)
def test_an_older_file_gets_what_a_new_one_has(tmp_path, models, table, indexes):
    new, old = tmp_path / "new.db", tmp_path / "old.db"
    for path in (new, old):
        Database(path, models).close()
    made_before(old, table, indexes)
    assert shape(old) != shape(new)
    for _ in range(2):
        Database(old, models).close()
        assert shape(old) == shape(new)


async def test_what_waited_before_is_offered_without_a_trace(tmp_path):
    path = tmp_path / "gateway.db"
    Database(path, tables.TABLES).close()
    made_before(path, "waiting", ("waiting_open",))
    names = [name for name in inbox.Kept.__dataclass_fields__ if name != "traceparent"]
    numbers = {"permitted", "ciphertext_size", "expires_ms", "retain_until_ms"}
    values = {name: 5 if name in numbers else b"x" for name in names} | {"recipient": "r", "leased_until_ms": 0}
    connection = sqlite.connect(path)
    marks = ",".join("?" * len(values))
    connection.execute(f"INSERT INTO waiting ({','.join(values)}) VALUES ({marks})", tuple(values.values()))
    connection.commit()
    connection.close()

    database = Database(path, tables.TABLES)
    try:
        (offer,) = await database.run(lambda connection: inbox.lease(connection, "r", 9, 1, 1000))
        assert (offer.header, offer.traceparent) == (b"x", "")
        kept = await database.run(lambda connection: inbox.read(connection, "r", b"x", 1))
        assert kept.traceparent == ""
    finally:
        database.close()


async def test_what_waits_is_counted_without_reading_what_it_is(tmp_path):
    database = Database(tmp_path / "gateway.db", tables.TABLES)

    def fill(connection: Connection) -> list[str]:
        for number, (expires, acknowledged) in enumerate([(10, None), (20, None), (20, 5), (2, None)]):
            values = dict.fromkeys(inbox.Kept.__dataclass_fields__, b"x")
            values |= {"header_hash": os.urandom(32), "recipient": "r", "permitted": 10**number, "ciphertext_size": 1}
            values |= {"expires_ms": expires, "retain_until_ms": 0, "acknowledged_ms": acknowledged, "traceparent": ""}
            values["leased_until_ms"] = 0
            connection.execute(insert(tables.WAITING).values(values))
        query = inbox.waiting_query(5).compile(compile_kwargs={"literal_binds": True})
        return [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")]

    try:
        plan = await database.run(fill)
        assert "COVERING INDEX waiting_open" in plan[0]
        assert await database.run(lambda connection: inbox.count_waiting(connection, 5)) == 11
        assert await database.run(lambda connection: inbox.first_expiry(connection, 5)) == 10
        assert await database.run(lambda connection: inbox.first_expiry(connection, 10)) == 20
        assert await database.run(lambda connection: inbox.first_expiry(connection, 20)) is None
    finally:
        database.close()
