"""fsck, replay and rebuild on PostgreSQL: the same lives as in a file give the same answers, and damage the same names."""

import psycopg
import pytest

from consent_ledger.errors import RegieError
from consent_ledger.rebuild import rebuild
from consent_ledger.storage.transfer import move
from consent_ledger.verify.database import verify_database
from consent_ledger.verify.fsck import LedgerDamaged, fsck
from consent_ledger.verify.replay import replay
from tests.support.ledger import SIGNER
from tests.support.lively import check_fake_signature, lively_ledger
from tests.support.postgres import OWNER, READER, WRITER
from tests.support.tampering import dump

VKEY = SIGNER.verifier.format()
ON_18 = pytest.mark.parametrize("moved", ["postgres18"], indirect=True)


def check(location):
    return fsck(location, VKEY, check_signature=check_fake_signature)


@pytest.fixture(scope="module")
def moved(request, tmp_path_factory):
    """A ledger in a file, the server that it was moved to, and the name of its database there."""
    server = request.getfixturevalue(request.param)
    path = lively_ledger(tmp_path_factory.mktemp("lively") / "ledger.db", 80, erasing=True)
    name = server.database()
    move(path, server.uri(name), lambda _store: None)
    return path, server, name


def rows_of(server, name):
    """Everything in every table of the database, as ``dump`` gives it of a file."""
    tables = server.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name)
    found = {}
    for (table,) in tables:
        if table != "alembic_version":
            columns = server.execute(
                f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 ORDER BY attnum",
                name,
            )
            listed = ", ".join(column for (column,) in columns)
            found[table] = sorted(server.execute(f"SELECT {listed} FROM {table}", name), key=repr)
    return found


def tamper(server, name, *statements):
    for table in ("leaf", "tile", "public_event", "payload", "head"):
        server.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER", name)
    for statement in statements:
        server.execute(statement, name)
    for table in ("leaf", "tile", "public_event", "payload", "head"):
        server.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER", name)


@pytest.mark.parametrize(
    "moved", ["postgres18", pytest.param("postgres15", marks=pytest.mark.needs("postgres15"))], indirect=True
)
def test_the_same_answers_as_from_the_file(moved):
    path, server, name = moved
    auditor = server.uri(name, READER)
    assert verify_database(auditor, VKEY) == verify_database(path, VKEY)
    assert check(auditor).rows == check(path).rows
    one, other = replay(auditor, VKEY), replay(path, VKEY)
    assert one.counts == other.counts
    assert one.findings == other.findings


@ON_18
@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("UPDATE leaf SET hash = set_byte(hash, 3, get_byte(hash, 3) # 1) WHERE idx = 50", "leaf"),
        ("UPDATE payload SET private = set_byte(private, 3, get_byte(private, 3) # 1)", "payload"),
        ("UPDATE subject SET state = set_byte(state, 8, get_byte(state, 8) # 2) WHERE length(state) > 0", "subject"),
        ("DELETE FROM subject_entry", "subject_entry"),
        ("UPDATE batch SET recipient = sender", "batch"),
        ("UPDATE permit SET decided_idx = decided_idx + 1 WHERE decided_idx > 0", "permit"),
        ("UPDATE change SET idx = idx + 1 WHERE idx > 0", "change"),
        ("DELETE FROM public_event WHERE idx = 3", "public_event"),
        ("DELETE FROM tile", "tile"),
        ("UPDATE head SET public_sequence = 1", "head"),
    ],
)
def test_damage_is_named_and_what_is_a_projection_is_rebuilt(moved, statement, table):
    path, server, origin = moved
    name = f"{origin}_{table}"
    server.execute(f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {origin}")
    before = rows_of(server, name)
    assert {table: len(rows) for table, rows in dump(path).items()} == {t: len(rows) for t, rows in before.items()}
    tamper(server, name, statement)
    if rows_of(server, name) == before:
        assert not before[table], "there was something to change"
        return
    with pytest.raises(LedgerDamaged) as raised:
        check(server.uri(name, READER))
    assert table in {one.table for one in raised.value.report.problems}
    if table in ("leaf", "payload", "batch", "change"):
        return
    report = rebuild(server.uri(name, OWNER), VKEY)
    assert report.written > 0
    assert rows_of(server, name) == before
    assert check(server.uri(name, READER)).count == 0
    with pytest.raises(AssertionError):
        tamper_as_writer(server, name)


def tamper_as_writer(server, name):
    """The triggers are back: also the owner cannot change the log by mistake."""
    with psycopg.connect(server.uri(name, OWNER)) as connection:
        try:
            connection.execute("DELETE FROM tile")
        except psycopg.Error as error:
            raise AssertionError from error


@ON_18
def test_only_the_owner_rebuilds(moved):
    _, server, name = moved
    for role in (WRITER, READER):
        with pytest.raises(RegieError, match="only the owner of the database may rebuild it"):
            rebuild(server.uri(name, role), VKEY)
    assert rebuild(server.uri(name, OWNER), VKEY).written == 0


@ON_18
def test_no_database(moved):
    _, server, name = moved
    with pytest.raises(RegieError) as raised:
        check(server.uri(f"{name}_none", READER))
    assert raised.value.reason == "LEDGER_UNAVAILABLE"
