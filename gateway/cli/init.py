"""`regie init`: make a home."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import HOME, HomeOption, JsonOption, reporting
from gateway.cli.output import USAGE, Output

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.directory.participants import NewParticipant
    from gateway.home import Home

ParticipantsOption = Annotated[
    Path | None, typer.Option(help="Agencies to register: a CSV file with oin,kind,name,population.")
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--ledger-database",
        metavar="ADDRESS",
        help="Keep the ledger in PostgreSQL: postgresql://ROLE@HOST/NAME, after `regie ledger migrate`; no password.",
    ),
]
DemoOption = Annotated[bool, typer.Option("--demo", help="Make a synthetic town with sample files; marked demo.")]


def init(
    home: HomeOption = HOME,
    participants: ParticipantsOption = None,
    ledger_database: DatabaseOption = None,
    demo: DemoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a home: authority, certificates, keys, settings, and the ledger with participants and purposes.

    The folder must be new or empty: nothing is written over. All organisations' keys are made on this machine, which is
    for development and tests. Without --demo and --participants: one supplier, the tax office and one municipality.
    """
    from consent_ledger.clock import system_clock
    from gateway.directory.founding import found_home

    output = Output(as_json)
    if demo and participants:
        output.error("USAGE", "--demo makes its own participants: leave --participants out")
        raise typer.Exit(USAGE)
    with reporting(output):
        chosen = _participants(participants, demo=demo)
        made = found_home(home, chosen, system_clock, demo=demo, database=ledger_database)
        files = write_sample_files(made) if demo else []
    output.result(_summary(made, chosen, files), list(_lines(made, chosen, files)))


def write_sample_files(home: Home) -> list[Path]:
    """Write the synthetic town's files into HOME/town, as they are today."""
    from datetime import UTC, datetime

    from gateway.town.files import write_town
    from gateway.town.generator import make_town

    return write_town(make_town(datetime.now(UTC).date()), home.folder / "town")


def _participants(path: Path | None, *, demo: bool) -> Sequence[NewParticipant]:
    from gateway.directory.participants import read_participants
    from gateway.town.participants import SMALL, THE_OPERATORS, TOWN

    if path is None:
        return TOWN if demo else SMALL
    return [*THE_OPERATORS, *read_participants(path)]


def _summary(home: Home, participants: Sequence[NewParticipant], files: Sequence[Path]) -> dict[str, object]:
    return {
        "home": str(home.folder),
        "demo": home.demo,
        "log_verifier_key": home.log_verifier_key,
        "addresses": home.addresses,
        "participants": [{"oin": p.oin, "kind": p.kind, "name": p.name} for p in participants],
        "files": [str(path) for path in files],
    }


def _lines(home: Home, participants: Sequence[NewParticipant], files: Sequence[Path]) -> Iterator[str]:
    yield f"Made {home.folder}: {len(participants)} participants with their keys, and a ledger without any choices yet."
    for participant in participants:
        yield f"  {participant.oin}  {participant.kind:16} {participant.name}"
    if files:
        yield f"Sample files are in {files[0].parent}."
    yield "\nNext:"
    yield f"  export REGIE_HOME={home.folder.absolute()}"
    if home.demo:
        yield "  regie serve all                 # every role on this machine: no separation of trust"
    else:
        yield "  regie serve witness             # each role in its own terminal; in production at its own operator"
        yield "  regie serve ledger"
        yield "  regie serve pseudonyms"
        yield "  regie serve gateway"
        yield "  regie serve viewer              # once regie.toml says how residents log in: docs/viewer.md"
        yield "  regie serve auditor             # once regie.toml says how auditors log in: docs/auditor.md"
    yield "  regie directory list            # in another terminal"
