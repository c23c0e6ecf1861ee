"""`regie ledger`: the tables that a ledger is kept in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import HOME, HomeOption, JsonOption, reporting
from gateway.cli.output import Output
from gateway.cli.rebuild import rebuild

if TYPE_CHECKING:
    from consent_ledger.storage.transfer import Moved

app = typer.Typer(no_args_is_help=True, help="Keep the ledger's tables: newer versions, PostgreSQL, copies.")

OwnerOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="ADDRESS",
        help="PostgreSQL, as the role that owns the database: postgresql://OWNER@HOST/NAME. Default: the home's file.",
    ),
]
WriterOption = Annotated[list[str], typer.Option("--writer", metavar="ROLE", help="Role that serves the ledger.")]
ReaderOption = Annotated[list[str], typer.Option("--reader", metavar="ROLE", help="Role that audits: it only reads.")]
FileArgument = Annotated[Path, typer.Argument(help="A ledger's SQLite file.", show_default=False)]


@app.command()
def migrate(
    database: OwnerOption = None,
    writer: WriterOption = [],  # noqa: B006  (typer's way)
    reader: ReaderOption = [],  # noqa: B006  (typer's way)
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Bring the ledger's tables to this version of regie; on PostgreSQL make them, and say who may do what in them.

    Migrations only add, so replicas of the version before go on beside it; a SQLite file is migrated while nobody
    serves it. A writer may add to the log and not change it; the ledger refuses to be served as any other role.

    `regie ledger migrate`, `regie ledger migrate --database postgresql://owner@db/regie --writer regie_ledger`
    """
    output = Output(as_json)
    with reporting(output):
        if database is None:
            version = _migrate_home(home)
        else:
            from consent_ledger.storage.migrations import migrate_postgres

            version = migrate_postgres(database, writers=writer, readers=reader)
    output.result({"version": version}, [f"the ledger's tables are at version {version}"])


def _migrate_home(home: Path) -> int:
    from consent_ledger.storage.migrations import migrate_sqlite
    from gateway.home import Home, HomeError

    location = Home.open(home).ledger
    if not isinstance(location, Path):
        raise HomeError("this home's ledger is in PostgreSQL: name it with --database, as the role that owns it")
    return migrate_sqlite(location)


@app.command("import")
def import_(file: FileArgument, home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Move a ledger from a file to where this home keeps its ledger: PostgreSQL, when regie.toml names a database.

    Nobody may serve it meanwhile. Every row is compared and the log verified before anything counts; the log's bytes
    stay the same. The file stays too, marked, so that no writer opens it again: a log has one continuation.

    `regie ledger import .regie/orgs/00000099000000003000/data/ledger.db`
    """
    output = Output(as_json)
    with reporting(output):
        from consent_ledger import opening
        from consent_ledger.log.keys import LogKeys
        from consent_ledger.storage.transfer import move
        from gateway.home import Home

        opened = Home.open(home)
        keys = LogKeys.parse(opened.operator("ledger").text_key("log"))
        with output.progress("moving") as progress:
            moved = move(file, opened.ledger, lambda store: opening.check_whole(store, keys), progress)
    _say(output, moved, f"{file} is the ledger of this home now; the file itself is no longer written")


@app.command()
def export(file: FileArgument, home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Copy this home's ledger, as it is at this moment, into a new SQLite file; it may be served meanwhile.

    The copy can be verified, audited and imported. No writer opens it. It holds what opens every entry: keep it as you
    keep the ledger.

    `regie ledger export ledger-copy.db`
    """
    output = Output(as_json)
    with reporting(output):
        from consent_ledger.storage.transfer import copy
        from gateway.home import Home

        with output.progress("copying") as progress:
            moved = copy(Home.open(home).ledger, file, progress)
    _say(output, moved, f"{file} is a copy of this home's ledger")


app.command()(rebuild)


def _say(output: Output, moved: Moved, what: str) -> None:
    rows = sum(moved.rows.values())
    values = {"size": moved.size, "checkpoint": moved.checkpoint, "rows": moved.rows}
    output.result(values, [what, f"    {moved.size} entries, {rows} rows in {len(moved.rows)} tables, all compared"])
