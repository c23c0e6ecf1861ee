"""What only a server can do to a role's database: lose connections, be away, belong to somebody else, lose commits."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import inspect, select

from consent_ledger.errors import RegieError
from gateway import databaseserver
from gateway.database import Database, DatabaseError, table_of
from gateway.evaluator import stores
from gateway.evaluator.stores import Charge, Request
from gateway.exchange import inbox, tables
from gateway.exchange.inbox import Answered
from tests.support.postgres import OWNER, running, wheel_programs

NOW = 1_795_000_000_000


@pytest.fixture
def name(postgres18):
    return postgres18.database(migrated=False)


@pytest.fixture
def uri(postgres18, name):
    return postgres18.uri(name, OWNER)


def cut(server, name):
    """End every session of the roles, as a failover does; the replicas do not know."""
    server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


def claim_and_charge(number):
    request = Request("signals", "party", number.to_bytes(16, "big"), b"h", NOW)
    return lambda connection: stores.claim_and_charge(connection, request, Charge("a", 1, 1, 10_000))


def used(database):
    return database.run_now(lambda c: c.execute(select(table_of(stores.Quota).c.used)).scalar_one())


def test_connections_that_are_lost_again_and_again_cost_nobody_anything(postgres18, name, uri):
    databases = [Database(uri, stores.TABLES, owner="pseudonyms") for _ in range(2)]
    done, count, workers = threading.Event(), 200, 4

    def work(which):
        for number in range(which % 2, count, 2):  # each number from two threads, over both databases
            databases[(which + number) % 2].run_now(claim_and_charge(number))

    def cutting():
        while not done.wait(0.05):
            cut(postgres18, name)

    try:
        with ThreadPoolExecutor(workers + 1) as pool:
            cutter, working = pool.submit(cutting), [pool.submit(work, which) for which in range(workers)]
            try:
                for each in working:
                    each.result()
            finally:
                done.set()
            cutter.result()
        assert used(databases[0]) == count
    finally:
        for database in databases:
            database.close()


def test_a_commit_whose_answer_is_lost_is_found_and_not_done_twice(postgres18, name, uri, monkeypatch):
    database = Database(uri, stores.TABLES, owner="pseudonyms")
    try:
        database.run_now(claim_and_charge(1))
        engine = database._backend._engine
        commit, lost = engine.dialect.do_commit, []

        def committed_but_lost(connection):
            commit(connection)
            if not lost:
                lost.append(1)
                cut(postgres18, name)
                connection.execute("SELECT 1")  # finds that the connection is gone

        monkeypatch.setattr(engine.dialect, "do_commit", committed_but_lost)
        database.run_now(claim_and_charge(2))
        assert lost
        assert used(database) == 2
    finally:
        database.close()


def stored(connection):
    request = Request("signals", "party", bytes(16), b"h", NOW)
    inbox.store(connection, request, Answered(b"list", b"signature"), None)
    stores.claim(connection, request)


@pytest.mark.parametrize(
    "work",
    [
        lambda c: inbox.find_answer(c, Request("signals", "party", bytes(16), b"h", NOW)),
        lambda c: stores.claim(c, Request("signals", "party", bytes(16), b"h", NOW)),
        stored,
    ],
    ids=["answer", "claim", "store"],
)
def test_what_is_found_is_told_once_a_standby_has_it(work):
    """What a failover could take back: a commit whose connection was lost is seen before a standby has it."""
    with running(wheel_programs(), in_memory=True) as server, ThreadPoolExecutor(1) as pool:
        name = server.database(migrated=False)
        database = Database(server.uri(name, OWNER), tables.TABLES, owner="gateway")
        try:
            database.run_now(stored)
            server.execute("ALTER SYSTEM SET synchronous_standby_names = 'away'")
            until(server, "SELECT pg_reload_conf() AND current_setting('synchronous_standby_names') = 'away'")
            found = pool.submit(database.run_now, work)
            until(
                server, f"SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = '{name}' AND wait_event = 'SyncRep'"
            )
            assert not found.done()
            server.execute("ALTER SYSTEM RESET synchronous_standby_names")
            server.execute("SELECT pg_reload_conf()")
            found.result(20)
        finally:
            database.close()


def until(server, question):
    deadline = time.monotonic() + 20
    while server.execute(question) != [(True,)]:
        assert time.monotonic() < deadline, question
        time.sleep(0.02)


def test_the_server_is_away(tmp_path, monkeypatch):
    monkeypatch.setattr(databaseserver, "PATIENCE_SECONDS", 0.0)
    nowhere = f"postgresql://{OWNER}@/x?host={tmp_path}"
    for owner, reason in (("gateway", "GATEWAY_UNAVAILABLE"), ("pseudonyms", "EVALUATOR_UNAVAILABLE")):
        with pytest.raises(RegieError) as caught:
            Database(nowhere, stores.TABLES, owner=owner)
        assert (caught.value.reason, caught.value.status) == (reason, "UNAVAILABLE")


def test_each_role_has_a_database_of_its_own(uri):
    Database(uri, tables.TABLES, owner="gateway").close()
    with pytest.raises(DatabaseError, match="this database is the gateway's"):
        Database(uri, stores.TABLES, owner="pseudonyms")
    Database(uri, tables.TABLES, owner="gateway").close()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ("postgresql://a:secret@db.example/regie", "holds a password"),
        ("mysql://db.example/regie", "begins with postgresql://"),
        ("postgresql://db.example/regie?nonsense=1", "not one that PostgreSQL's library reads"),
    ],
)
def test_addresses_that_cannot_be_used(wrong, text):
    with pytest.raises(DatabaseError, match=text) as caught:
        Database(wrong, tables.TABLES, owner="gateway")
    assert "secret" not in str(caught.value)


def test_a_server_that_may_lose_commits_is_refused(postgres18, name, uri):
    postgres18.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with pytest.raises(DatabaseError, match="synchronous_commit=off"):
        Database(uri, tables.TABLES, owner="gateway")


def test_a_newer_schema_is_refused(postgres18, name, uri):
    Database(uri, tables.TABLES, owner="gateway").close()
    postgres18.execute("UPDATE held SET schema = 99", name)
    with pytest.raises(DatabaseError, match="schema 99"):
        Database(uri, tables.TABLES, owner="gateway")


def test_what_came_later_is_added_by_one_of_those_who_start_at_once(postgres18, name, uri):
    Database(uri, tables.TABLES, owner="gateway").close()
    new = shape(uri)
    postgres18.execute("DROP INDEX waiting_open", name)
    postgres18.execute("ALTER TABLE waiting DROP COLUMN traceparent", name)
    postgres18.execute("DROP TABLE asked", name)
    with ThreadPoolExecutor(4) as pool:
        for database in pool.map(lambda _: Database(uri, tables.TABLES, owner="gateway"), range(4)):
            database.close()
    assert shape(uri) == new


def shape(uri):
    database = Database(uri, stores.TABLES, owner="gateway")

    def look(connection):
        found = inspect(connection)
        columns = {table: {column["name"] for column in found.get_columns(table)} for table in found.get_table_names()}
        indexes = {(table, index["name"]) for table in columns for index in found.get_indexes(table)}
        return columns, indexes

    try:
        return database.run_now(look)
    finally:
        database.close()


def test_no_value_of_a_row_stands_in_an_error(uri):
    database = Database(uri, stores.TABLES, owner="gateway")
    try:
        with pytest.raises(Exception, match="quota") as caught:
            database.run_now(lambda c: c.execute(table_of(stores.Quota).insert().values(account="secret-account")))
        assert "secret-account" not in str(caught.value).replace("\n", "")
    finally:
        database.close()


def test_transactions_run_side_by_side(uri):
    """Two that each wait for the other's beginning: with one connection they would wait for ever."""
    database = Database(uri, stores.TABLES, owner="gateway")
    both = threading.Barrier(2)
    try:
        with ThreadPoolExecutor(2) as pool:
            found = pool.map(lambda _: database.run_now(lambda _c: both.wait(20) >= 0), range(2))
            assert Counter(found) == {True: 2}
    finally:
        database.close()
