"""rebuild.py: what is kept beside the log is found again from the log, byte for byte, and nothing else is touched."""

import random
import shutil
from pathlib import Path

import pytest
from pysqlite3 import dbapi2

from consent_ledger import rebuild as rebuilding
from consent_ledger.errors import RegieError
from consent_ledger.log.errors import VerificationError
from consent_ledger.rebuild import rebuild
from consent_ledger.sequencer import open_ledger
from consent_ledger.verify.fsck import LedgerDamaged, fsck
from tests.support.ledger import SIGNER, Ledger, Time, grant
from tests.support.lively import check_fake_signature, lively_ledger
from tests.support.tampering import KEYS, columns_of, delete, dump, flipped_in, opened, rows_of, set_column

VKEY = SIGNER.verifier.format()
REBUILT = ("public_event", "tile", "subject", "subject_entry", "permit", "task", "head")


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "erasing"])
def sound(request, tmp_path_factory):
    return lively_ledger(tmp_path_factory.mktemp("lively") / "ledger.db", 120, erasing=request.param)


@pytest.fixture
def database(sound, tmp_path):
    return Path(shutil.copy(sound, tmp_path / "ledger.db"))


def check(path):
    return fsck(path, VKEY, check_signature=check_fake_signature)


def test_a_sound_ledger_is_left_as_it_is(database):
    before = dump(database)
    report = rebuild(database, VKEY)
    assert (report.written, report.openings_lost) == (0, 0)
    assert report.size == check(database).size
    assert dump(database) == before


@pytest.mark.parametrize("table", ["public_event", "tile", "subject", "subject_entry"])
def test_a_whole_table_comes_back(database, table):
    before = dump(database)
    connection = opened(database)
    triggers = connection.execute("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'").fetchone()
    assert triggers == (0,)
    connection.execute(f"DELETE FROM {table}")
    connection.close()
    report = rebuild(database, VKEY)
    assert report.added == ({table: len(before[table])} if before[table] else {})
    assert (report.changed, report.removed) == ({}, {})
    assert dump(database) == before


def test_everything_that_can_be_rebuilt_at_once(database):
    before = dump(database)
    connection = opened(database)
    for table in ("public_event", "tile", "subject", "subject_entry"):
        connection.execute(f"DELETE FROM {table}")
    connection.execute("UPDATE permit SET subject = x'01', decided_idx = 5, released_idx = 7 WHERE decided_idx >= 0")
    connection.execute("UPDATE head SET size = 3, time_ms = 9, public_sequence = 1, root = x'00'")
    connection.close()
    assert rebuild(database, VKEY).written > 100
    assert dump(database) == before


def test_one_flipped_bit_anywhere_in_a_projection(sound, tmp_path):
    """Opening aside, which is no fact of the log."""
    before, rng = dump(sound), random.Random(4)
    for table, column in columns_of(sound):
        if table not in REBUILT or f"{table}.{column}" in ("permit.opening", "head.id", "head.checkpoint"):
            continue
        rows = [
            row for row in rows_of(sound, table) if row[column] not in (None, b"", -1) and row.get("decided_idx") != -1
        ]
        for row in rng.sample(rows, min(2, len(rows))):
            path = Path(shutil.copy(sound, tmp_path / "flipped.db"))
            flipped_in(path, table, row, column, rng)
            with pytest.raises(LedgerDamaged):
                check(path)
            report = rebuild(path, VKEY)
            assert report.written in (1, 2), (table, column)
            assert dump(path) == before, (table, column)


def test_a_removed_permit_comes_back_without_what_opened_it(database):
    row = next(row for row in rows_of(database, "permit") if row["opening"])
    delete(database, "permit", row)
    report = rebuild(database, VKEY)
    assert (report.added, report.openings_lost) == ({"permit": 1}, 1)
    (back,) = [one for one in rows_of(database, "permit") if one["decided_idx"] == row["decided_idx"]]
    assert back == row | {"opening": None}


def test_a_forged_permit_goes(database):
    batch = rows_of(database, "batch")[0]["header_hash"]
    before = dump(database)
    connection = opened(database)
    connection.execute(
        "INSERT INTO permit VALUES (?, 999, 40, ?, ?, NULL, NULL, NULL, NULL)", (batch, bytes(32), bytes(32))
    )
    connection.close()
    assert rebuild(database, VKEY).removed == {"permit": 1}
    assert dump(database) == before


def test_the_seat_belts_are_back(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.record("anna", grant=grant())
    ledger.close()
    connection = connected(ledger.path)
    before = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name").fetchall()
    connection.execute("UPDATE subject SET seq = 7")
    connection.close()
    assert rebuild(ledger.path, VKEY).changed == {"subject": 1}
    connection = connected(ledger.path)
    after = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name").fetchall()
    connection.close()
    assert after == before
    assert len(after) > 5


def connected(path):
    """With its triggers, which ``opened`` takes away."""
    return dbapi2.connect(path, isolation_level=None)


def test_a_rebuilt_ledger_goes_on(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.record("anna", grant=grant())
    ledger.decide(["anna"])
    ledger.close()
    connection = connected(ledger.path)
    connection.execute("UPDATE subject SET state = x'', seq = 9, last = x'', recent = x''")
    connection.close()
    rebuild(ledger.path, VKEY)
    again = Ledger(ledger.path, ledger.clock)
    again.decide(["anna"], 2)
    assert again.reasons() == ["ALLOWED", "ALLOWED"]
    again.close()
    assert check(ledger.path).count == 0


def test_a_ledger_in_use_is_not_rebuilt(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db")
    with pytest.raises(RegieError, match="has a writer already"):
        rebuild(ledger.path, VKEY)
    ledger.close()
    assert rebuild(ledger.path, VKEY).written == 0
    open_ledger(ledger.path, SIGNER, Time()).close()


def test_a_log_that_does_not_check_writes_nothing(database):
    row = rows_of(database, "payload")[3]
    connection = opened(database)
    connection.execute("DELETE FROM subject")
    connection.execute("DELETE FROM payload WHERE idx = ?", (row["idx"],))
    connection.close()
    before = dump(database)
    with pytest.raises(VerificationError, match=f"payload {row['idx']}, row"):
        rebuild(database, VKEY)
    assert dump(database) == before
    set_column(database, "leaf", rows_of(database, "leaf")[50], "entry", b"\x0a\x20" + bytes(32))
    with pytest.raises(VerificationError):
        rebuild(database, VKEY)


def test_a_crash_before_the_commit_changes_nothing(database, monkeypatch):
    connection = opened(database)
    connection.execute("DELETE FROM subject")
    connection.execute("DELETE FROM tile")
    connection.close()
    before = dump(database)

    def crash(_self):
        raise KeyboardInterrupt

    monkeypatch.setattr(rebuilding._Rebuild, "_permits", crash)
    with pytest.raises(KeyboardInterrupt):
        rebuild(database, VKEY)
    assert dump(database) == before


def test_what_is_no_ledger_is_not_touched(tmp_path):
    with pytest.raises(RegieError, match="there is no ledger at"):
        rebuild(tmp_path / "none.db", VKEY)
    (tmp_path / "text.db").write_bytes(b"not a database" * 100)
    with pytest.raises(RegieError, match="cannot be rebuilt"):
        rebuild(tmp_path / "text.db", VKEY)


def test_every_table_is_rebuilt_or_a_memory():
    """A new table must be told from the projections, or rebuilt."""
    memories = {"batch", "pull_nonce", "change", "erasure", "published"}
    assert set(KEYS) == {"leaf", "payload"} | set(REBUILT) | memories
