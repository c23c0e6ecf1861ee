"""The console's index: folded from a log that proves itself, and never from another one."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from consent_ledger.v1 import events_pb2 as pb
from gateway.auditor.filters import Filter
from gateway.auditor.index import follow, queries, standing, tables
from gateway.auditor.index.follow import Follower
from gateway.database import Database, table_of
from tests.support.auditlog import SIGNER, FakeLog, subject

KEY = b"\x05" * 32
ALL = Filter()


@asynccontextmanager
async def following(log: FakeLog, path):
    database = Database(path / "audit.db", tables.TABLES)
    try:
        yield Follower(log, database, KEY, lambda: [SIGNER.verifier], lambda: log.now_ms), database
    finally:
        database.close()


def contents(database_rows):
    return sorted(map(tuple, database_rows), key=repr)


async def everything(database: Database) -> dict[str, list]:
    """All tables but progress, which says when; cells by what they count, since their numbers tell who came first."""
    cells = "SELECT day, route, reason, state, count, erased FROM cell WHERE count > 0"
    exchanges = (
        "SELECT cell.day, cell.route, cell.reason, cell.state, exchange.* FROM exchange JOIN cell ON cell.id = cell"
    )

    def read(connection):
        names = {table.name for table in map(table_of, tables.TABLES)} - {"progress", "head", "cell", "exchange"}
        found = {name: contents(connection.exec_driver_sql(f"SELECT * FROM {name}")) for name in names}
        found["cell"] = contents(connection.exec_driver_sql(cells))
        found["exchange"] = contents((*row[:6], *row[7:]) for row in connection.exec_driver_sql(exchanges))
        return found

    return await database.run(read)


async def test_what_became_of_each_decision_is_counted_where_it_is_now(tmp_path):
    log = FakeLog()
    allowed, other = log.decide(1), log.decide(2)
    log.decide(3, pb.REASON_NO_CONSENT)
    async with following(log, tmp_path) as (follower, database):
        assert await follower.round() == 3
        released = log.release(allowed, 1)
        acknowledged = pb.ExchangeAcknowledged(recipient="x", released_index=released)
        log.add(pb.Event(exchange_acknowledged=acknowledged), [subject(1)], 3)
        outcome = pb.OutcomeReported(released_index=released, deviation=True, deviations=[1, 2], channel=3)
        log.add(pb.Event(outcome_reported=outcome), [subject(1)], 4)
        withheld = pb.ExchangeWithheld(decided_index=other)
        log.add(pb.Event(exchange_withheld=withheld), [subject(2)], 2, reason=pb.REASON_PAUSED)
        assert await follower.round() == 4
        by_state = await database.run(lambda connection: queries.facet(connection, ALL, "stand"))
        assert {count.value: count.number for count in by_state} == {0: 1, 2: 1, 6: 1}
        row = await database.run(lambda connection: queries.exchange(connection, allowed))
        assert (row.released_idx, row.channel, row.deviations, row.acked_idx) == (released, 3, "1 2", released + 1)
        assert (await database.run(lambda connection: queries.exchange(connection, other))).reason == pb.REASON_PAUSED


async def test_small_batches_a_new_start_and_one_go_give_the_same_index(tmp_path, monkeypatch):
    log = FakeLog()
    for person in range(12):
        index = log.decide(person, pb.REASON_ALLOWED if person % 3 else pb.REASON_REFUSED, sender=f"{person % 2:020d}")
        if person % 3:
            log.release(index, person)
    log.erase(4)
    for name in ("one", "many"):
        (tmp_path / name).mkdir()
    async with following(log, tmp_path / "one") as (follower, database):
        await follower.round()
        at_once = await everything(database)
    monkeypatch.setattr(follow, "BATCH", 3)
    monkeypatch.setattr(follow, "OPENINGS", 2)
    for size in (5, 6, 6, None):
        log.size = size
        async with following(log, tmp_path / "many") as (follower, database):
            await follower.round()
            in_parts = await everything(database)
    assert in_parts == at_once


async def test_erased_entries_are_in_no_list_and_still_count(tmp_path):
    log = FakeLog()
    first, second = log.decide(1), log.decide(2)
    async with following(log, tmp_path) as (follower, database):
        await follower.round()
        log.erase(first)
        await follower.round()
        rows = await database.run(lambda connection: queries.page(connection, ALL))
        assert [row.idx for row in rows] == [second]
        assert await database.run(lambda connection: queries.total(connection, ALL)) == 2
        assert await database.run(lambda connection: queries.erased(connection, ALL)) == 1
        assert await database.run(lambda connection: queries.resident_at(connection, first)) == b""


async def test_a_log_that_goes_back_stops_the_follower_for_good(tmp_path):
    log = FakeLog()
    log.decide(1)
    log.decide(2)
    async with following(log, tmp_path) as (follower, database):
        await follower.round()
        log.size = 1
        assert await follower.round() == 0
        assert (await database.run(standing.state)).stopped == "went_back"
        log.size = None
        log.decide(3)
    async with following(log, tmp_path) as (follower, database):  # a new start does not forget
        assert await follower.round() == 0
        state = await database.run(standing.state)
        assert (state.stopped, state.size) == ("went_back", 2)


@pytest.mark.parametrize("longer", [False, True])
async def test_a_log_that_forked_stops_the_follower(tmp_path, longer):
    log = FakeLog()
    for person in range(5):
        log.decide(person)
    async with following(log, tmp_path) as (follower, database):
        await follower.round()
        log.entries_[2], log.entries_[3] = log.entries_[3], log.entries_[2]
        if longer:
            log.decide(9)
        assert await follower.round() == 0
        state = await database.run(standing.state)
        assert (state.stopped, state.size) == ("forked", 5)
        kept = await database.run(lambda c: c.exec_driver_sql("SELECT old_size, checkpoint FROM finding").one())
        assert kept[0] == 5
        assert kept[1].startswith(SIGNER.name)


async def test_entries_that_are_not_those_of_the_checkpoint_are_not_folded(tmp_path):
    log = FakeLog()
    log.decide(1)
    log.decide(2)
    signed = await log.checkpoint()
    log.entries_[1] = log.entries_[0]

    async def checkpoint():
        return signed

    log.checkpoint = checkpoint
    async with following(log, tmp_path) as (follower, database):
        assert await follower.round() == 0
        state = await database.run(standing.state)
        assert (state.stopped, state.size, state.decided) == ("forked", 0, 0)


async def test_a_payload_that_does_not_open_its_entry_is_a_finding_and_is_not_believed(tmp_path):
    log = FakeLog()
    log.decide(1)
    bad = log.decide(2)
    log.opened[bad].event = log.opened[bad].event.replace(b"betalings", b"betalingz")
    async with following(log, tmp_path) as (follower, database):
        assert await follower.round() == 2
        state = await database.run(standing.state)
        assert (state.decided, state.unopenable, state.stopped) == (1, 1, "")


async def test_a_checkpoint_that_the_log_did_not_sign_is_a_finding(tmp_path):
    log = FakeLog()
    log.decide(1)
    async with following(log, tmp_path) as (follower, database):
        follower._verifiers = list  # no key is known
        assert await follower.round() == 0
        assert (await database.run(standing.state)).stopped == "unproven"


async def test_residents_are_counted_once_in_an_hour(tmp_path):
    log = FakeLog()
    for person in (1, 1, 2, 1):
        log.decide(person)
    async with following(log, tmp_path) as (follower, database):
        await follower.round()
        log.decide(2)
        await follower.round()
        rows = await database.run(lambda c: c.exec_driver_sql("SELECT signals, residents FROM hour").all())
        assert rows == [(5, 2)]


async def test_no_salt_subject_or_payload_is_in_the_file(tmp_path):
    log = FakeLog()
    for person in range(20):
        log.decide(person)
    async with following(log, tmp_path) as (follower, _):
        await follower.round()
        content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert log.opened
    for index, opened in log.opened.items():
        assert opened.salt not in content
        assert subject(index % 20) not in content


def test_the_look_that_a_page_records_itself_makes_no_page_say_that_it_lags():
    assert not standing.State(size=5_189, head_size=5_190).behind
    assert not standing.State(size=900, head_size=1_000).behind
    assert standing.State(size=899, head_size=1_000).behind
