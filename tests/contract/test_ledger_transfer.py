"""Moving a ledger between engines: every byte arrives, and a log never gets two continuations."""

import pytest

from consent_ledger import opening
from consent_ledger.errors import RegieError
from consent_ledger.log.keys import LogKeys
from consent_ledger.sequencer import create_ledger, open_ledger
from consent_ledger.storage import transfer
from consent_ledger.storage.engines import open_for_reading
from consent_ledger.storage.postgres import PostgresStore
from consent_ledger.storage.sqlite import writer_engine
from consent_ledger.verify import verify_database
from tests.support.ledger import SIGNER, Ledger, Time, decide_work, first_events, grant, header, listed

KEYS = LogKeys.of(SIGNER)
VKEY = SIGNER.verifier.format()


def check(store):
    opening.check_whole(store, KEYS)


@pytest.fixture
def ledger(tmp_path):
    """A ledger in a file, with something in nearly every table and more leaves than one tile."""
    found = Ledger(tmp_path / "ledger.db")
    for person in ("anna", "bert"):
        found.record(person, grant=grant())
    found.decide([f"p{n}" for n in range(600)], 7)
    for batch in range(40, 60):
        found.decide(["anna"], batch)  # more than a subject keeps in its own row
    header_hash, answer = found.decide(["anna", "bert"], 1)
    found.answered = list(answer.log_indices)
    found.release(header_hash)
    found.close()
    return found


def tables_of(location):
    reader = open_for_reading(location)
    with reader.snapshot() as snapshot:
        found = {
            table.name: [row for page in transfer.pages(snapshot, table) for row in page] for table in transfer.TABLES
        }
    reader.close()
    return found


def database(request, server):
    found = request.getfixturevalue(server)
    return found.uri(found.database())


@pytest.mark.parametrize("server", ["postgres18", pytest.param("postgres15", marks=pytest.mark.needs("postgres15"))])
def test_a_ledger_moves_into_postgres_and_goes_on_there(ledger, request, server):
    location = database(request, server)
    before = tables_of(ledger.path)
    seen = []
    moved = transfer.move(ledger.path, location, check, lambda done, total: seen.append((done, total)))
    assert tables_of(location) == before
    assert len(before["leaf"]) == moved.size > 600
    assert {name: len(rows) for name, rows in before.items()} == moved.rows
    assert len(before["subject_entry"]) > 0
    assert seen[-1][0] == seen[-1][1] == 2 * sum(moved.rows.values())
    verify_database(location, VKEY)

    there = Ledger(location, ledger.clock)
    again = decide_work(["anna", "bert"], header(1, count=2, now_ms=ledger.clock()))
    assert list(listed(there.sequencer.submit(again).result(10)).log_indices) == ledger.answered
    _, answer = there.decide(["anna"], 2)
    assert list(answer.log_indices) == [moved.size]
    there.close()
    verify_database(location, VKEY)


def test_the_file_that_was_moved_is_written_no_more(ledger, request):
    location = database(request, "postgres18")
    transfer.move(ledger.path, location, check)
    with pytest.raises(RegieError, match="two continuations"):
        open_ledger(ledger.path, SIGNER, ledger.clock)
    verify_database(ledger.path, VKEY)  # it can be read as before
    with pytest.raises(RegieError, match="created once"):
        transfer.move(ledger.path, location, check)


def test_a_ledger_comes_back_from_postgres_by_a_copy(ledger, request, tmp_path):
    location = database(request, "postgres18")
    transfer.move(ledger.path, location, check)
    copy, home = tmp_path / "copy.db", tmp_path / "home.db"
    transfer.copy(location, copy)
    with pytest.raises(RegieError, match="two continuations"):
        open_ledger(copy, SIGNER, ledger.clock)
    assert tables_of(copy) == tables_of(location)
    transfer.move(copy, home, check)
    back = Ledger(home, ledger.clock)
    back.decide(["anna"], 3)
    back.close()
    verify_database(home, VKEY)


def test_a_copy_is_of_one_moment_of_a_ledger_at_work(ledger, tmp_path):
    at_work = Ledger(ledger.path, ledger.clock)
    size = at_work.sequencer.head.size
    asked = []

    def meanwhile(done, _total):
        if not asked and done > 100:
            asked.append(at_work.decide(["anna"], 99))

    transfer.copy(ledger.path, tmp_path / "copy.db", meanwhile)
    assert asked
    assert at_work.sequencer.head.size == size + 1
    at_work.close()
    assert verify_database(tmp_path / "copy.db", VKEY).log.size == size


def test_a_move_waits_for_nobody_who_writes(ledger, request):
    at_work = Ledger(ledger.path, ledger.clock)
    with pytest.raises(RegieError, match="has a writer"):
        transfer.move(ledger.path, database(request, "postgres18"), check)
    at_work.decide(["anna"], 2)
    at_work.close()


def test_nothing_is_moved_over_a_ledger(ledger, request, tmp_path):
    location = database(request, "postgres18")
    create_ledger(location, SIGNER, first_events(), Time())
    before = tables_of(location)
    for target in (location, ledger.path):
        with pytest.raises(RegieError, match="created once"):
            transfer.move(ledger.path, target, check)
    with pytest.raises(RegieError, match="created once"):
        transfer.copy(location, ledger.path)
    assert tables_of(location) == before
    Ledger(ledger.path, ledger.clock).close()


def test_a_damaged_ledger_is_not_moved(ledger, request):
    """One entry changed together with nothing that was derived from it: only hashing every entry again shows it."""
    engine = writer_engine(ledger.path)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER leaf_no_UPDATE")
        connection.exec_driver_sql("UPDATE leaf SET entry = ? WHERE idx = 300", (b"\x0a\x20" + bytes(32),))
    engine.dispose()
    location = database(request, "postgres18")
    with pytest.raises(RegieError, match="does not verify"):
        transfer.move(ledger.path, location, check)
    assert tables_of(location)["leaf"] == []
    Ledger(ledger.path, ledger.clock).close()  # and is not marked


def test_a_row_that_changes_on_the_way_is_seen(ledger, request, monkeypatch):
    location = database(request, "postgres18")
    honest = PostgresStore.restore

    def lossy(store, table, columns, rows):
        if table == "change":
            rows = [(*row[:-1], row[-1] + 1) for row in rows]
        honest(store, table, columns, rows)

    monkeypatch.setattr(PostgresStore, "restore", lossy)
    with pytest.raises(RegieError, match="table change is not the same"):
        transfer.move(ledger.path, location, check)
    assert tables_of(location)["change"] == []
    Ledger(ledger.path, ledger.clock).close()


def test_a_move_that_ends_between_its_two_commits_can_be_done_again(ledger, request, monkeypatch):
    """The file is marked and the database empty: no writer anywhere, until the same move again."""
    location = database(request, "postgres18")
    honest = PostgresStore.commit

    def crash(_store):
        raise KeyboardInterrupt

    monkeypatch.setattr(PostgresStore, "commit", crash)
    with pytest.raises(KeyboardInterrupt):
        transfer.move(ledger.path, location, check)
    monkeypatch.setattr(PostgresStore, "commit", honest)
    with pytest.raises(RegieError, match="two continuations"):
        open_ledger(ledger.path, SIGNER, ledger.clock)
    with pytest.raises(RegieError, match="there is no ledger"):
        open_ledger(location, SIGNER, ledger.clock)
    transfer.move(ledger.path, location, check)
    Ledger(location, ledger.clock).close()
    verify_database(location, VKEY)
