"""What the ledger refuses of a PostgreSQL, and what PostgreSQL refuses of the ledger; on both major versions."""

import psycopg
import pytest

from consent_ledger.errors import RegieError
from consent_ledger.sequencer import create_ledger, open_ledger
from consent_ledger.storage import migrations
from consent_ledger.storage.engines import open_for_reading, open_for_writing
from consent_ledger.storage.ports import UnreachableError
from consent_ledger.storage.rows import PayloadRow, Writes
from consent_ledger.storage.sqlite import SCHEMA_VERSION
from tests.support.ledger import SIGNER, Ledger, Time, first_events, grant
from tests.support.postgres import OWNER, READER, WRITER


@pytest.fixture(params=["postgres18", pytest.param("postgres15", marks=pytest.mark.needs("postgres15"))])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def name(server):
    return server.database()


@pytest.fixture
def location(server, name):
    ledger = server.uri(name)
    create_ledger(ledger, SIGNER, first_events(), Time())
    return ledger


def refusal(call):
    with pytest.raises(RegieError) as caught:
        call()
    assert caught.value.reason == "LEDGER_UNAVAILABLE"
    return caught.value.message


# -- what the ledger refuses ------------------------------------------------------------------------------------------


def test_a_ledger_is_created_once_and_never_by_opening(server, name):
    location = server.uri(name)
    assert "there is no ledger" in refusal(lambda: open_ledger(location, SIGNER, Time()))
    create_ledger(location, SIGNER, first_events(), Time())
    assert "created once" in refusal(lambda: create_ledger(location, SIGNER, first_events(), Time()))
    open_ledger(location, SIGNER, Time()).close()


def test_two_creations_at_once_make_one_ledger(server, name):
    first = open_for_writing(server.uri(name))
    first.claim_empty()
    assert "being given one" in refusal(lambda: create_ledger(server.uri(name), SIGNER, first_events(), Time()))
    first.close()
    create_ledger(server.uri(name), SIGNER, first_events(), Time())


def test_a_database_without_the_schema_is_refused(server):
    empty = server.uri(server.database(migrated=False))
    assert "regie ledger migrate" in refusal(lambda: open_ledger(empty, SIGNER, Time()))
    assert "regie ledger migrate" in refusal(lambda: create_ledger(empty, SIGNER, first_events(), Time()))


def test_an_older_schema_is_refused_and_a_newer_one_is_served(server, name, location):
    """Migrations only add, so that replicas are replaced one by one after the schema."""
    server.execute("UPDATE alembic_version SET version_num = '0001'", name)
    assert f"version {SCHEMA_VERSION} is needed" in refusal(lambda: open_ledger(location, SIGNER, Time()))
    server.execute("UPDATE alembic_version SET version_num = '9999'", name)
    server.execute("ALTER TABLE batch ADD COLUMN later text NOT NULL DEFAULT ''", name)
    server.execute("ALTER TABLE permit ADD COLUMN later bigint", name)
    ledger = Ledger(location)
    ledger.record("anna", grant=grant())
    header_hash, _ = ledger.decide(["anna"])
    assert ledger.release(header_hash).signals
    ledger.close()


@pytest.mark.parametrize("value", ["off", "local", "remote_write"])
def test_a_server_that_may_lose_commits_is_refused(server, name, location, value):
    server.execute(f"ALTER ROLE {WRITER} IN DATABASE {name} SET synchronous_commit = {value}")
    assert f"synchronous_commit={value}" in refusal(lambda: open_ledger(location, SIGNER, Time()))


def test_how_commits_are_made_durable_does_not_change_under_a_session(server, name, location):
    store = open_for_writing(location)
    with psycopg.connect(server.uri(name, OWNER), autocommit=True) as other:
        try:
            server.execute("ALTER SYSTEM SET synchronous_commit = off")
            server.execute("SELECT pg_reload_conf()")
            while other.execute("SHOW synchronous_commit").fetchone() == ("on",):
                pass  # every session hears of it within milliseconds
            assert store.ask("SHOW synchronous_commit") == [("on",)]
        finally:
            server.execute("ALTER SYSTEM RESET synchronous_commit")
            server.execute("SELECT pg_reload_conf()")
            while other.execute("SHOW synchronous_commit").fetchone() != ("on",):
                pass
    store.close()


@pytest.mark.parametrize("role", [OWNER, "postgres"])
def test_a_role_that_may_change_the_log_is_refused(server, name, location, role):
    message = refusal(lambda: open_ledger(server.uri(name, role), SIGNER, Time()))
    assert f"role {role} may change the log" in message
    assert "--writer" in message


def test_a_server_that_takes_no_writes_is_refused(server, name, location):
    server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")  # as a standby says
    with pytest.raises(UnreachableError):
        open_ledger(location, SIGNER, Time())
    reader = open_for_reading(location)  # which is good enough for reading
    with reader.snapshot() as snapshot:
        assert snapshot.head().size == len(first_events())
    reader.close()


def test_a_password_does_not_belong_in_an_address(location):
    secret = location.replace(f"{WRITER}@", f"{WRITER}:hunter2@")
    message = refusal(lambda: open_ledger(secret, SIGNER, Time()))
    assert "password file" in message
    assert "hunter2" not in message


def test_an_address_of_nothing_says_where_it_looked(location):
    with pytest.raises(UnreachableError, match="nowhere"):
        open_ledger(location.replace("host=/", "host=/nowhere/"), SIGNER, Time())
    assert "postgresql://" in refusal(lambda: open_ledger("mysql://localhost/ledger", SIGNER, Time()))
    assert "library reads" in refusal(lambda: open_ledger("postgresql://[", SIGNER, Time()))


def test_another_signing_key_is_refused(location):
    other = type(SIGNER)(SIGNER.name, bytes(32))
    assert "does not verify" in refusal(lambda: open_ledger(location, other, Time()))


# -- what PostgreSQL refuses ------------------------------------------------------------------------------------------

CHANGES = [
    "UPDATE leaf SET entry = 'x' WHERE idx = 0",
    "DELETE FROM leaf WHERE idx = 0",
    "TRUNCATE leaf",
    "UPDATE tile SET hash = 'x'",
    "DELETE FROM tile",
    "DELETE FROM public_event",
    "UPDATE payload SET event = 'x'",
    "TRUNCATE payload",
    "DELETE FROM head",
    "UPDATE head SET size = size - 1",
    "UPDATE head SET time_ms = time_ms - 1",
    "UPDATE head SET root = 'x'",
]


@pytest.mark.parametrize("role", [WRITER, OWNER])
def test_nobody_changes_what_is_in_the_log(server, name, location, role):
    """The writer by privilege or trigger, the owner by trigger."""
    for statement in CHANGES:
        with psycopg.connect(server.uri(name, role)) as connection, pytest.raises(psycopg.Error) as caught:
            connection.execute(statement)
        expected = psycopg.errors.RaiseException, psycopg.errors.InsufficientPrivilege
        assert isinstance(caught.value, expected), statement


def test_who_audits_only_reads(server, name, location):
    with psycopg.connect(server.uri(name, READER), autocommit=True) as connection:
        for table, columns in connection.execute(
            "SELECT table_name, min(column_name) FROM information_schema.columns WHERE table_schema = 'public' GROUP BY 1"
        ).fetchall():
            connection.execute(f"SELECT count(*) FROM {table}")
            for change in (f"DELETE FROM {table}", f"UPDATE {table} SET {columns} = NULL"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(change)


def test_the_writer_says_not_which_version_this_is(server, name, location):
    with (
        psycopg.connect(location, autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")


def test_no_error_shows_a_value(server, name, location):
    """I4: the server's texts quote rows; they stay behind."""
    store = open_for_writing(location)
    store.begin()
    with pytest.raises(RuntimeError) as caught:
        store.restore("subject_entry", ("subject", "idx"), [(b"planted", 1), (b"planted", 1)])
    assert "planted" not in repr(caught.value)
    assert b"planted".hex() not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    store.close()


def test_migrating_again_changes_nothing(server, name, location):
    before = server.execute("SELECT * FROM alembic_version", name)
    assert migrations.migrate_postgres(server.uri(name, OWNER), writers=[WRITER]) == SCHEMA_VERSION
    assert server.execute("SELECT * FROM alembic_version", name) == before
    Ledger(location).close()


def test_only_the_owner_migrates(server):
    empty = server.database(migrated=False)
    message = refusal(lambda: migrations.migrate_postgres(server.uri(empty, WRITER)))
    assert "cannot be migrated" in message
    assert server.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", empty) == [(0,)]


def test_a_role_that_is_not_there_leaves_no_half_migration(server):
    empty = server.database(migrated=False)
    assert "nobody_here" in refusal(
        lambda: migrations.migrate_postgres(server.uri(empty, OWNER), writers=["nobody_here"])
    )
    assert server.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", empty) == [(0,)]


def test_erased_bytes_leave_the_files_when_the_table_is_written_anew(server, name, location):
    """What docs/postgres.md tells the owner to do."""
    marker = b"planted-marker-" + name.encode()
    store = open_for_writing(location)
    store.begin()
    rows = [PayloadRow(10**6 + n, marker if n % 3 else b"kept", b"event", b"private") for n in range(90)]
    store.append(Writes(payloads=rows), [])
    store.commit()
    (folder,) = server.execute(f"SELECT oid FROM pg_database WHERE datname = '{name}'")
    files = server.folder / "data" / "base" / str(folder[0])

    def found():
        server.execute("CHECKPOINT")
        return any(marker in path.read_bytes() for path in files.iterdir())

    assert found()
    store.begin()
    assert len(store.ask("DELETE FROM payload WHERE salt = ? RETURNING idx", marker)) == 60
    store.commit()
    store.close()
    server.execute("VACUUM payload", name)
    assert found()  # deleted, and still there to be read from the disk
    with psycopg.connect(server.uri(name, OWNER), autocommit=True) as owner:
        owner.execute("VACUUM FULL payload, subject, subject_entry, permit, pull_nonce, change, batch, erasure")
    assert not found()
