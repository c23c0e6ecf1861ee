"""The SQLite file: what it refuses, whoever asks."""

import os
import stat
import threading
from time import monotonic

import pytest
import sqlalchemy as sa
from pysqlite3 import dbapi2
from sqlalchemy.exc import DatabaseError

from consent_ledger.errors import RegieError
from consent_ledger.sequencer import open_ledger
from consent_ledger.state import EMPTY
from consent_ledger.statecodec import decode, encode
from consent_ledger.storage.rows import HeadRow, LeafRow, Writes
from consent_ledger.storage.sqlite import Lock, all_rows, check_runtime, writer_engine
from consent_ledger.storage.store import open_store
from consent_ledger.storage.tables import LedgerTable
from tests.support.ledger import SIGNER, Ledger, Time, first_events, grant


@pytest.fixture
def path(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.record("anna", grant=grant())
    header_hash, _ = ledger.decide(["anna", "bert"])
    ledger.release(header_hash)
    ledger.close()
    return ledger.path


@pytest.mark.parametrize("version", ["3.51.3", "3.53.0", "3.50.7", "3.50.9", "3.44.6", "4.0.0"])
def test_sound_runtimes(version):
    check_runtime(tuple(map(int, version.split("."))))


@pytest.mark.parametrize("version", ["3.51.2", "3.51.0", "3.50.6", "3.45.0", "3.49.1", "3.44.5", "3.40.1", "3.7.0"])
def test_runtimes_that_can_lose_commits_are_refused(version):
    with pytest.raises(RegieError, match="WAL-reset"):
        check_runtime(tuple(map(int, version.split("."))))


def test_a_vulnerable_runtime_opens_no_ledger(path, monkeypatch):
    monkeypatch.setattr(check_runtime, "__defaults__", ((3, 40, 1),))
    with pytest.raises(RegieError, match="WAL-reset"):
        open_ledger(path, SIGNER, Time())
    monkeypatch.undo()
    Ledger(path).close()  # and the lock was let go


def raw(path, *statements: str) -> None:
    connection = dbapi2.connect(str(path), isolation_level=None)
    connection.execute("PRAGMA recursive_triggers=ON")
    try:
        for statement in statements:
            connection.execute(statement)
    finally:
        connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE leaf SET entry = x'00' WHERE idx = 3",
        "DELETE FROM leaf WHERE idx = 3",
        "INSERT OR REPLACE INTO leaf VALUES (3, x'00', x'00')",
        "UPDATE payload SET event = x'00'",
        "UPDATE public_event SET idx = 999 WHERE idx = 1",
        "DELETE FROM public_event",
        "DELETE FROM head",
        "UPDATE head SET size = size - 1",
        "UPDATE head SET time_ms = time_ms - 1",
        "UPDATE head SET root = x'00'",
        "INSERT OR REPLACE INTO head SELECT id, 1, root, time_ms, checkpoint, public_sequence FROM head",
        "INSERT INTO leaf VALUES ('text', x'00', x'00')",
    ],
)
def test_the_file_itself_refuses_to_rewrite_the_log(path, statement):
    with pytest.raises(dbapi2.IntegrityError):
        raw(path, statement)


def test_tables_are_strict_and_tiles_append_only(path):
    engine = writer_engine(path)
    with engine.begin() as connection:
        listed = dict(
            connection.exec_driver_sql("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'").all()
        )
        assert {listed[table.name] for table in LedgerTable.metadata.sorted_tables} == {1}
        connection.exec_driver_sql("INSERT INTO tile VALUES (1, 0, x'00')")
    for statement in ("UPDATE tile SET hash = x'01'", "DELETE FROM tile"):
        with pytest.raises(DatabaseError), engine.begin() as connection:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_the_writers_connection_is_durable_and_strict(path):
    store = open_store(path)
    pragmas = {
        name: store._connection.exec_driver_sql(f"PRAGMA {name}").scalar()
        for name in (
            "journal_mode",
            "synchronous",
            "foreign_keys",
            "recursive_triggers",
            "trusted_schema",
            "secure_delete",
        )
    }
    store._connection.rollback()
    store.close()
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "recursive_triggers": 1,
        "trusted_schema": 0,
        "secure_delete": 1,
    }


def test_the_file_is_for_its_owner_only(path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (("PRAGMA user_version = 99",), "no ledger of this version"),
        (("PRAGMA application_id=1",), "no ledger of this version"),
        (("PRAGMA journal_mode=DELETE",), "not in WAL mode"),
        (("DROP TRIGGER head_no_DELETE", "DELETE FROM head"), "no head"),
        (("DROP TRIGGER leaf_no_DELETE", "DELETE FROM leaf WHERE idx = (SELECT max(idx) FROM leaf)"), "the log at"),
        (("DROP TRIGGER leaf_no_UPDATE", "UPDATE leaf SET hash = zeroblob(32) WHERE idx = 4"), "another root"),
        (("DROP TRIGGER leaf_no_UPDATE", "UPDATE leaf SET entry = x'00' WHERE idx = 4"), "does not verify"),
        (("DROP TRIGGER public_event_no_DELETE", "DELETE FROM public_event WHERE idx = 5"), "does not verify"),
        (("UPDATE head SET size = size + 1",), "checkpoint is of size"),
        (("UPDATE head SET public_sequence = 1",), "public events"),
        (("UPDATE head SET checkpoint = replace(checkpoint, 'ledger', 'lodger')",), "does not verify"),
    ],
)
def test_a_damaged_ledger_does_not_open_and_says_why(path, damage, said):
    raw(path, *damage)
    with pytest.raises(RegieError, match=said) as caught:
        open_ledger(path, SIGNER, Time())
    assert caught.value.reason == "LEDGER_UNAVAILABLE"
    with pytest.raises(RegieError):  # again the same: the lock was let go
        open_ledger(path, SIGNER, Time())


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 300])
def test_a_file_that_is_no_database(path, content):
    path.write_bytes(content)
    with pytest.raises(RegieError) as caught:
        open_ledger(path, SIGNER, Time())
    assert caught.value.reason == "LEDGER_UNAVAILABLE"


def test_a_flipped_page_is_found_at_start(path):
    data = bytearray(path.read_bytes())
    for at in range(4096, len(data), 4096):
        data[at] ^= 0x7F  # the kind of every page but the first
    path.write_bytes(bytes(data))
    with pytest.raises(RegieError, match=r"damaged|cannot be read"):
        open_ledger(path, SIGNER, Time())


def test_the_lock_keeps_out_another_process(path):
    lock = Lock(path)
    child = os.fork()
    if child == 0:  # pragma: no cover  (another process)
        try:
            Lock(path)
        except RegieError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    lock.release()
    Lock(path).release()


def test_the_head_moves_only_from_where_it_was(path):
    store = open_store(path)
    store.begin()
    head = store.head()
    elsewhere = head._replace(size=head.size - 1)
    with pytest.raises(RuntimeError, match="another writer"):
        store.advance(elsewhere, HeadRow(99, bytes(32), head.time_ms, "", 1))
    store.rollback()
    store.close()


def test_a_transaction_has_the_write_lock_from_its_beginning(path):
    store = open_store(path)
    store.begin()
    other = dbapi2.connect(str(path), isolation_level=None, timeout=0)
    with pytest.raises(dbapi2.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    store.rollback()
    other.execute("BEGIN IMMEDIATE")
    other.close()
    store.close()


def test_exceptions_of_the_database_show_no_values(path):
    store = open_store(path)
    store.begin()
    with pytest.raises(sa.exc.IntegrityError) as caught:
        store._connection.exec_driver_sql("INSERT INTO leaf VALUES (?, ?, ?)", (1, b"secret-entry", b"h"))
    store.rollback()
    store.close()
    assert "secret" not in str(caught.value)


def test_a_question_that_fails_at_a_later_row_fails_as_one_that_fails_at_once(path):
    rows = "SELECT abs(column1) FROM (VALUES (?), (?))"
    with writer_engine(path).begin() as connection:
        assert all_rows(connection, rows, (1, -2)) == [(1,), (2,)]
        with pytest.raises(DatabaseError) as caught:
            all_rows(connection, rows, (1, -(2**63)))
    assert str(2**63) not in str(caught.value)


def test_readers_see_one_durable_state_while_the_writer_goes_on(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db")
    with ledger.sequencer.reader.snapshot() as before:
        size = before.head().size
        ledger.decide(["anna"] * 300)
        assert before.head().size == size
        assert len(before.entries(0, 9_999)) == size == len(first_events())
        seen = []

        def read():
            with ledger.sequencer.reader.snapshot() as now:
                seen.append(now.head().size)

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert seen == [size + 300] * 8
    with pytest.raises(sa.exc.OperationalError), ledger.sequencer.reader._engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM subject")
    ledger.close()


def test_stored_state_of_another_format_is_not_guessed():
    assert decode(b"") == EMPTY
    assert encode(EMPTY) == b""
    with pytest.raises(ValueError, match="format"):
        decode(b"[2,0,[],null,null,[]]")


def test_emptying_the_log_of_writes_waits_for_nobody(path):
    store = open_store(path)
    reader = store.reader()
    with reader.snapshot() as before:
        size = before.head().size
        store.begin()
        store.append(Writes(leaves=[LeafRow(size, b"entry", b"h" * 32)]), [])
        store.commit()
        begun = monotonic()
        store.overwrite(anew=True, most_bytes=1 << 30)
        assert monotonic() - begun < 2
    store.overwrite(anew=True, most_bytes=1 << 30)
    assert path.with_name("ledger.db-wal").stat().st_size == 0
    reader.close()
    store.close()
