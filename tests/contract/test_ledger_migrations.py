"""Every version of the tables leads to the newest, by adding and by nothing else."""

import io
import re
import shutil

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from consent_ledger.errors import RegieError
from consent_ledger.storage import migrations
from consent_ledger.storage.connection import connect
from consent_ledger.storage.sqlite import APPLICATION_ID, SCHEMA_VERSION, create_file, writer_engine
from consent_ledger.storage.store import open_store
from consent_ledger.storage.tables import LedgerTable
from consent_ledger.verify import verify_database
from tests.support.ledger import SIGNER, Ledger, grant
from tests.support.postgres import OWNER

# What a file of each version lacks that the next one has: the way back, which only tests go.
BACK = {
    6: ("DROP TABLE task",),
    5: ("ALTER TABLE permit DROP COLUMN outcome_idx",),
    4: ("DROP TABLE erasure", "DROP INDEX ix_change_idx", "ALTER TABLE change DROP COLUMN idx"),
    3: ("DROP TABLE published",),
    2: ("ALTER TABLE subject DROP COLUMN recent",),
}


def columns_of(engine):
    inspector = sa.inspect(engine)
    found = {}
    for table in sorted(set(inspector.get_table_names()) - {"alembic_version"}):
        keys = set(inspector.get_pk_constraint(table)["constrained_columns"])
        for column in inspector.get_columns(table):
            kind = type(column["type"])._type_affinity.__name__
            found[table, column["name"]] = (kind, column["nullable"], column["name"] in keys)
        found[table, "indexes"] = sorted(tuple(index["column_names"]) for index in inspector.get_indexes(table))
    return found


def meant():
    engine = sa.create_engine("sqlite://")
    LedgerTable.metadata.create_all(engine)
    return {key: sorted(set(value)) if isinstance(value, list) else value for key, value in columns_of(engine).items()}


def test_the_newest_migration_is_the_version_of_the_tables():
    assert migrations.newest() == SCHEMA_VERSION
    assert set(BACK) == set(range(2, SCHEMA_VERSION + 1))


def test_postgres_has_the_tables_of_the_code(postgres18):
    uri = postgres18.uri(postgres18.database())
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: connect(uri))
    found = columns_of(engine)
    engine.dispose()
    unique = ("sender", "batch_id")  # PostgreSQL counts the index of a constraint among the indexes
    found["batch", "indexes"] = [index for index in found["batch", "indexes"] if index != unique]
    assert found == meant()


@pytest.fixture
def old(tmp_path, request):
    """A ledger's file as a version before made it, with people in it."""
    path = tmp_path / "ledger.db"
    ledger = Ledger(path)
    ledger.record("anna", grant=grant())
    ledger.decide(["anna", "bert"])
    ledger.close()
    engine = writer_engine(path)
    with engine.begin() as connection:
        # What this version keeps in ``recent`` stood in the table.
        for key, recent in connection.exec_driver_sql("SELECT id, recent FROM subject").all():
            for at in range(0, len(recent), 8):
                row = (key, int.from_bytes(recent[at : at + 8], "big"))
                connection.exec_driver_sql("INSERT INTO subject_entry VALUES (?, ?)", row)
        for version in range(SCHEMA_VERSION, request.param, -1):
            for statement in BACK[version]:
                connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f"PRAGMA user_version={request.param}")
    engine.dispose()
    return path


@pytest.mark.parametrize("old", range(1, SCHEMA_VERSION), indirect=True)
def test_a_file_of_any_version_becomes_one_of_the_newest(old, tmp_path):
    with pytest.raises(RegieError, match="regie ledger migrate"):
        open_store(old)
    assert migrations.migrate_sqlite(old) == SCHEMA_VERSION
    new = create_file(tmp_path / "new.db")
    engine = writer_engine(old)
    assert columns_of(engine) == columns_of(new)
    with engine.connect() as connection, new.connect() as other:
        strict = "SELECT name, strict, wr FROM pragma_table_list WHERE schema = 'main' ORDER BY name"
        found, expected = (each.exec_driver_sql(strict).all() for each in (connection, other))
        assert {row[0]: row[1] for row in found} == {row[0]: row[1] for row in expected}
    engine.dispose()
    new.dispose()
    ledger = Ledger(old)
    ledger.decide(["anna"], 2)
    with ledger.sequencer.reader.snapshot() as snapshot:
        size = snapshot.head().size
        anna = next(row for row in snapshot.payloads([size - 1]).values())
        assert anna.idx == size - 1
    assert len(ledger.reasons()) == 3
    ledger.close()
    verify_database(old, SIGNER.verifier.format())


def test_a_file_is_migrated_only_while_nobody_writes_it(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db")
    with pytest.raises(RegieError, match="has a writer"):
        migrations.migrate_sqlite(ledger.path)
    ledger.close()
    before = ledger.path.read_bytes()
    assert migrations.migrate_sqlite(ledger.path) == SCHEMA_VERSION
    Ledger(ledger.path).close()
    assert before[:100].count(APPLICATION_ID.to_bytes(4, "big")) == 1


@pytest.mark.parametrize("version", [0, -SCHEMA_VERSION, SCHEMA_VERSION + 1])
def test_what_is_no_older_ledger_is_not_migrated(tmp_path, version):
    path = tmp_path / "ledger.db"
    Ledger(path).close()
    engine = writer_engine(path)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"PRAGMA user_version={version}")
    engine.dispose()
    with pytest.raises(RegieError, match="can migrate"):
        migrations.migrate_sqlite(path)
    with pytest.raises(RegieError, match="there is no ledger"):
        migrations.migrate_sqlite(tmp_path / "none.db")


@pytest.mark.parametrize("old", [1], indirect=True)
def test_a_migration_that_fails_leaves_the_file_as_it_was(old, tmp_path, monkeypatch):
    untouched = shutil.copy(old, tmp_path / "untouched.db")
    steps = list(ScriptDirectory.from_config(migrations._scripts()).iterate_revisions("head", "0001"))

    def fails():
        raise ZeroDivisionError

    monkeypatch.setattr(ScriptDirectory, "iterate_revisions", lambda *_: steps)
    monkeypatch.setattr(steps[0].module, "upgrade", fails)
    with pytest.raises(ZeroDivisionError):
        migrations.migrate_sqlite(old)
    engines = [writer_engine(path) for path in (old, untouched)]
    found = [columns_of(engine) for engine in engines]
    assert found[0] == found[1]
    with engines[0].connect() as connection:
        assert connection.exec_driver_sql("PRAGMA user_version").scalar() == 1
    for engine in engines:
        engine.dispose()


def test_migrations_only_add():
    """So that a replica of the version before works on, beside those of this one."""
    config = migrations._scripts()
    out = io.StringIO()
    config.output_buffer = out
    command.upgrade(config, "0001:head", sql=True)
    statements = [line.strip() for line in out.getvalue().split(";") if line.strip()]
    allowed = re.compile(
        r"(BEGIN|COMMIT|CREATE TABLE|CREATE INDEX|UPDATE alembic_version|--"
        r"|ALTER TABLE \w+ ADD COLUMN \w+ \w+ DEFAULT .* NOT NULL$|ALTER TABLE \w+ ADD COLUMN \w+ \w+$)"
    )
    assert len(statements) > SCHEMA_VERSION
    assert [statement for statement in statements if not allowed.match(statement)] == []


def test_an_older_postgres_is_brought_forward(postgres18):
    """One version at a time, as the servers of people who skip some are."""
    name = postgres18.database(migrated=False)
    uri = postgres18.uri(name, OWNER)
    for version in range(1, SCHEMA_VERSION + 1):
        migrations.migrate_postgres(uri, to=f"{version:04}")
        assert postgres18.execute("SELECT version_num FROM alembic_version", name) == [(f"{version:04}",)]
