"""The commands of `regie`. Modules here import nothing heavy: the work is imported inside commands."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import typer

from gateway.cli import (
    audit,
    canary,
    consent,
    directory,
    doctor,
    enrol,
    erase,
    exchange,
    init,
    ldv,
    ledger,
    log,
    notice,
    outcome,
    proof,
    question,
    receive,
    send,
    serve,
    witness,
)

app = typer.Typer(
    name="regie",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"regie {version('regie')}")
        except PackageNotFoundError:
            print("regie (not installed: run from its source)")
        raise typer.Exit


@app.callback()
def regie(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Share signals between agencies only where the resident's own choice allows it, and prove it.

    A home is a folder with settings and keys: `regie init` makes one, and every other command works in it (`--home`, or
    `REGIE_HOME`; default `.regie` here). Exit codes: 0 done, 1 a check failed or rows were rejected, 2 wrong call, file
    or home, 3 not reachable now.
    """


app.command()(init.init)
app.command()(serve.serve)
app.command()(doctor.doctor)
app.command()(enrol.enrol)
consent.app.command()(erase.erase)
app.add_typer(consent.app, name="consent")
app.command()(send.send)
app.command()(receive.receive)
app.add_typer(outcome.app, name="outcome")
app.add_typer(question.app, name="question")
app.add_typer(notice.app, name="notice")
app.add_typer(canary.app, name="canary")
app.add_typer(exchange.app, name="exchange")
app.add_typer(proof.app, name="proof")
app.add_typer(log.app, name="log")
app.add_typer(audit.app, name="audit")
app.add_typer(ledger.app, name="ledger")
app.add_typer(ldv.app, name="ldv")
app.add_typer(witness.app, name="witness")
app.add_typer(directory.app, name="directory")
if importlib.util.find_spec("gateway.cli.demo"):
    from gateway.cli import demo

    app.command()(demo.demo)
