"""`regie witness`: make a witness of logs, and show its keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import HOME, HomeOption, JsonOption, reporting
from gateway.cli.output import Output
from gateway.home import Home, HomeError

if TYPE_CHECKING:
    from gateway.witness.home import WitnessFolder

app = typer.Typer(no_args_is_help=True, help="A witness: it cosigns checkpoints of logs that only grow.")

NameOption = Annotated[
    str, typer.Option(help="The witness's name: a URL without scheme of its operator, such as witness.example/w1.")
]
LogOption = Annotated[
    list[str],
    typer.Option("--log", help="A verifier key of a log to witness; once for each of its keys, of one or more logs."),
]
AddressOption = Annotated[
    str | None, typer.Option(help="Where it listens, host:port; default a free port of this machine only.")
]


@app.command()
def init(
    name: NameOption,
    log: LogOption,
    address: AddressOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Make a witness with keys and a memory of its own, in a home of its own; then `regie serve witness` runs it.

    `regie witness init --home guard --name witness.example/w1 --log 'example.com/log+33d7b496+AeHT...'`
    """
    from gateway.directory.founding import free_ports

    output = Output(as_json=json)
    with reporting(output):
        listens = address or f"127.0.0.1:{free_ports(1)[0]}"
        _show(output, _found(home, name, log, listens), listens)


@app.command()
def show(home: HomeOption = HOME, json: JsonOption = False) -> None:
    """Show the witness of this home: its verifier keys, as they go into a ledger's regie.toml, and the logs it knows.

    `regie witness show --home guard`
    """
    from gateway.witness.home import WitnessFolder

    output = Output(as_json=json)
    with reporting(output):
        opened = Home.open_witness(home)
        if "witness" not in opened.addresses:
            raise HomeError(f"{home / 'regie.toml'} lacks [addresses] witness")
        _show(output, WitnessFolder.of(home), opened.addresses["witness"])


def _found(home: Path, name: str, keys: list[str], address: str) -> WitnessFolder:
    """Make the home last: what a failure leaves is no home."""
    import os

    from gateway.witness.home import found_witness

    settings = home / "regie.toml"
    if settings.exists():
        raise HomeError(f"{home} is a home already: a witness is best kept by somebody else; name another folder")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = found_witness(home, name, _by_origin(keys), os.urandom)
    settings.write_text(f'# A witness, made by `regie witness init`.\n[addresses]\nwitness = "{address}"\n', "utf-8")
    return made


def _by_origin(keys: list[str]) -> list[list[str]]:
    origins: dict[str, list[str]] = {}
    for key in keys:
        origins.setdefault(key.partition("+")[0], []).append(key)
    return list(origins.values())


def _show(output: Output, folder: WitnessFolder, address: str) -> None:
    keys, logs = folder.verifier_keys(), [log.origin for log in folder.logs()]
    snippet = ["[[witnesses.known]]", f'url = "http://{address}"', "verifier_keys = [", *(f'    "{k}",' for k in keys)]
    values = {"verifier_keys": keys, "address": address, "logs": logs}
    lines = [f"Witnesses {', '.join(logs)}. For the regie.toml of the ledger:", "", *snippet, "]"]
    output.result(values, lines)
