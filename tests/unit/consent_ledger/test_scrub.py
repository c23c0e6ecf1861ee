"""What SQLite leaves in its pages is overwritten, and no row with it."""

import random

import pytest
from pysqlite3 import dbapi2 as sqlite3

from consent_ledger.storage.scrub import Scrub, unallocated


def make(path, *pragmas):
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in (*pragmas, "journal_mode=WAL", "secure_delete=ON", "synchronous=OFF"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE person (id BLOB PRIMARY KEY, state BLOB) STRICT, WITHOUT ROWID")
    return connection


def fill(connection, count=6_000, seed=1):
    """Rows at random places that grow, so that pages split; returns the keys of those deleted afterwards."""
    chance = random.Random(seed)
    keys = [chance.randbytes(32) for _ in range(count)]
    for _ in range(40):
        rows = [(key, chance.randbytes(chance.choice([0, 80, 200, 600, 9_000 if chance.random() < 0.02 else 1])))
                for key in chance.sample(keys, 400)]  # fmt: skip
        connection.execute("BEGIN")
        connection.executemany("INSERT OR REPLACE INTO person VALUES (?, ?)", rows)
        connection.execute("COMMIT")
    gone = chance.sample([row[0] for row in connection.execute("SELECT id FROM person ORDER BY id")], 800)
    connection.executemany("DELETE FROM person WHERE id = ?", [(key,) for key in gone])
    return gone


def truncate(connection):
    assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


def scrub(connection, path, most_bytes=1 << 30):
    truncate(connection)
    pass_ = Scrub(path)
    pass_.anew()
    changed = 0
    while not pass_.done:
        changed += pass_.step(most_bytes)
    connection.execute("PRAGMA shrink_memory")
    connection.close()
    pass_.close()
    return changed


def ghosts(path, gone):
    data = path.read_bytes()
    return sum(key in data for key in gone)


def rows(path):
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    found = connection.execute("SELECT * FROM person ORDER BY id").fetchall()
    connection.close()
    return found


@pytest.mark.parametrize("page_size", [1_024, 4_096, 65_536])
@pytest.mark.parametrize("most_bytes", [1, 1 << 30], ids=["page by page", "at once"])
def test_copies_that_secure_delete_leaves_are_gone_and_every_row_is_there(tmp_path, page_size, most_bytes):
    path = tmp_path / "a.db"
    connection = make(path, f"page_size={page_size}")
    gone = fill(connection)
    truncate(connection)
    before = connection.execute("SELECT * FROM person ORDER BY id").fetchall()
    left = ghosts(path, gone)
    if page_size == 4_096:  # the ledger's
        assert left  # else there is nothing to show
    assert scrub(connection, path, most_bytes) >= min(left, 1)
    assert ghosts(path, gone) == 0
    assert rows(path) == before


def test_the_writers_cache_brings_nothing_back(tmp_path):
    path = tmp_path / "a.db"
    connection = make(path, "cache_size=-65536")
    gone = fill(connection)
    truncate(connection)
    connection.execute("SELECT count(*), sum(length(state)) FROM person").fetchall()  # every page is in the cache
    pass_ = Scrub(path)
    pass_.anew()
    assert pass_.step(1 << 30)
    connection.execute("PRAGMA shrink_memory")
    connection.execute("UPDATE person SET state = zeroblob(length(state))")  # every page is written again
    truncate(connection)
    assert ghosts(path, gone) == 0
    connection.close()
    pass_.close()
    assert rows(path)


def test_a_reader_in_the_middle_sees_its_rows(tmp_path):
    path = tmp_path / "a.db"
    connection = make(path)
    fill(connection)
    truncate(connection)
    reader = sqlite3.connect(path)
    cursor = reader.execute("SELECT * FROM person ORDER BY id")
    first = cursor.fetchmany(10)
    scrub(connection, path)
    read = [*first, *cursor.fetchall()]
    reader.close()
    assert read == rows(path)


def test_pages_of_other_kinds_are_left_alone():
    page = bytes((0,)) + bytes(range(255)) * 16 + b"x" * 15
    assert len(page) == 4_096
    assert unallocated(page, 0, 4_096, 0) == (0, 0)
    # A header that cannot be: the cells begin before the list of them ends.
    assert unallocated(bytes((13, 0, 0, 0, 200, 0, 9, 0)) + bytes(4_088), 0, 4_096, 0) == (0, 0)
    # A leaf with one cell at 4,000; and the first page, whose header is behind that of the file.
    leaf = bytes((13, 0, 0, 0, 1)) + (4_000).to_bytes(2, "big") + bytes(4_089)
    assert unallocated(leaf, 0, 4_096, 0) == (10, 4_000)
    assert unallocated(bytes(100) + leaf[:3_996], 0, 4_096, 100) == (110, 4_000)


def test_a_file_whose_pages_cannot_be_told_apart_is_refused(tmp_path):
    path = tmp_path / "a.db"
    connection = make(path, "auto_vacuum=FULL")
    fill(connection, 2_000)
    truncate(connection)
    connection.close()
    pass_ = Scrub(path)
    pass_.anew()
    with pytest.raises(RuntimeError, match="auto_vacuum"):
        pass_.step(1 << 20)
    pass_.close()
