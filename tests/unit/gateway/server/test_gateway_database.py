import asyncio
import stat
import threading

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from gateway.database import Database, DatabaseError
from gateway.evaluator import stores
from gateway.evaluator.stores import Charge, Once, Request
from gateway.exchange import tables
from gateway.home import HomeError
from gateway.settings import Settings, load_settings


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "x.db", tables.TABLES)
    yield database
    database.close()


def request(number=1, digest=b"h"):
    return Request("signals", "party", bytes([number]), digest, 1000)


async def pragma(database, name):
    return await database.run(lambda connection: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())


async def test_every_commit_is_on_the_disk(database):
    assert await pragma(database, "journal_mode") == "wal"
    assert await pragma(database, "synchronous") == 2
    assert await pragma(database, "secure_delete") == 1


async def test_tables_are_strict(database):
    rows = await database.run(lambda connection: connection.exec_driver_sql("PRAGMA table_list").all())
    ours = {row.name: row.strict for row in rows if not row.name.startswith("sqlite_")}
    assert set(ours) == {"answer", "asked", "waiting", "once", "quota", "unresolved"}
    assert all(ours.values())
    with pytest.raises(IntegrityError):
        await database.run(lambda c: c.exec_driver_sql("INSERT INTO quota VALUES ('a', 'no number', 1)"))


async def test_files_are_for_their_owner_only(database, tmp_path):
    await database.run(lambda connection: stores.claim(connection, request()))
    names = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert names == dict.fromkeys(("x.db", "x.db-wal", "x.db-shm"), 0o600)


async def test_a_function_that_raises_leaves_nothing(database):
    def claim_then_fail(connection):
        stores.claim_and_charge(connection, request(), Charge("a", 1, 5, 10))
        raise KeyError

    with pytest.raises(KeyError):
        await database.run(claim_then_fail)
    assert await database.run(lambda connection: stores.claim(connection, request()))


async def test_calls_run_in_one_thread_that_is_not_the_loops(database):
    threads = await asyncio.gather(*(database.run(lambda _: threading.get_ident()) for _ in range(8)))
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


async def test_it_is_there_after_closing(tmp_path):
    first = Database(tmp_path / "x.db", stores.TABLES)
    await first.run(lambda connection: stores.claim(connection, request()))
    first.close()
    second = Database(tmp_path / "x.db", stores.TABLES)
    assert not await second.run(lambda connection: stores.claim(connection, request()))
    second.close()


async def test_a_newer_schema_is_refused(tmp_path):
    first = Database(tmp_path / "x.db", stores.TABLES)
    await first.run(lambda connection: connection.exec_driver_sql("PRAGMA user_version = 99"))
    first.close()
    with pytest.raises(DatabaseError, match="schema 99"):
        Database(tmp_path / "x.db", stores.TABLES)


async def test_requests_are_forgotten_after_their_expiry_only(database):
    await database.run(lambda connection: stores.claim(connection, request()))

    async def remembered(now_ms):
        await database.run(lambda connection: stores.forget_expired(connection, now_ms))
        found = await database.run(lambda connection: connection.execute(select(Once.__table__)).all())
        return len(found)

    assert await remembered(1000 + stores.KEEP_AFTER_EXPIRY_MS) == 1
    assert await remembered(1001 + stores.KEEP_AFTER_EXPIRY_MS) == 0


async def test_quota_is_used_to_the_last_one(database):
    charge = lambda amount: database.run(lambda c: stores.charge(c, Charge("a", 1, amount, 10)))  # noqa: E731  (one line)
    await charge(4)
    await charge(6)
    with pytest.raises(Exception, match="QUOTA_EXCEEDED"):
        await charge(1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("REGIE_EPOCHS", "[]"), ("REGIE_EPOCHS", "[0]"), ("REGIE_LEASE_SECONDS", "999999"), ("REGIE_HOP_SECONDS", "soon")],
)
def test_settings_that_contradict_are_refused_in_one_line(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(HomeError, match="REGIE") as caught:
        load_settings()
    assert "\n" not in str(caught.value)


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("REGIE_SENDER_SIGNALS_PER_DAY", "7")
    assert load_settings().sender_signals_per_day == 7
    assert Settings().epochs == (1,)
