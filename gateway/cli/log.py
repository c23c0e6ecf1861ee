"""`regie log`: check the whole log."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.common import ANYBODY, HOME, AsOption, HomeOption, JsonOption, reporting, work
from gateway.cli.output import FAILED, OK, Output

if TYPE_CHECKING:
    from consent_ledger.verify.log import LogReport
    from gateway.sdk.agency import Agency

app = typer.Typer(no_args_is_help=True, help="Check the log; show its checkpoint.")

ONLINE_CHUNK = 4096


@app.command()
def verify(
    path: Annotated[
        Path | None, typer.Argument(help="ledger.db, or a home; default: the ledger of --home.", show_default=False)
    ] = None,
    *,
    online: Annotated[bool, typer.Option("--online", help="Read the log from the running ledger instead.")] = False,
    vkey: Annotated[str | None, typer.Option(help="The log's verifier key; default: the one of the home.")] = None,
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Derive the log again from its entries and compare with what was signed; in a database, open every commitment too.

    Says what fails, and where, and ends with exit code 1.

    `regie log verify`, `regie log verify backup/ledger.db --vkey KEY`, `regie log verify --online`
    """
    output = Output(as_json=json)
    if online:
        work(output, home, oin, ANYBODY, lambda agency: _verify_online(output, agency, vkey))
        return
    with reporting(output):
        code = _verify_database(output, path, home, vkey)
    if code:
        raise typer.Exit(code)


@app.command()
def checkpoint(
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Print the ledger's newest signed checkpoint, verified.

    `regie log checkpoint > checkpoint.note`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        from consent_ledger.log.checkpoint import open_checkpoint
        from consent_ledger.log.errors import VerificationError
        from gateway.sdk.remote import GrpcRemote

        assert isinstance(agency.remote, GrpcRemote)
        note = await agency.remote.checkpoint()
        try:
            opened = open_checkpoint(note, [agency.log_verifier])
        except VerificationError as error:
            return _failed(output, error)
        values = {"origin": opened.origin, "size": opened.size, "root": opened.root.hex(), "checkpoint": note}
        output.result(values, [note.rstrip("\n")])
        return OK

    work(output, home, oin, ANYBODY, do)


def _verify_database(output: Output, path: Path | None, home: Path, vkey: str | None) -> int:
    from consent_ledger.log.errors import VerificationError
    from consent_ledger.verify.database import verify_database

    database, key = _find(path, home, vkey)
    begun = monotonic()
    try:
        with output.progress("verifying") as progress:
            report = verify_database(database, key, progress)
    except VerificationError as error:
        return _failed(output, error)
    more = {"opened": report.opened, "erased": report.erased}
    _say(output, report.log, {**more, "seconds": round(monotonic() - begun, 3)})
    return OK


def _find(path: Path | None, home: Path, vkey: str | None) -> tuple[Path, str]:
    """Return the database and the key to check it with; raises HomeError when there is no such file or home."""
    from gateway.home import Home, HomeError

    if path is None or path.is_dir():
        opened = Home.open(path or home)
        path, key = opened.operator("ledger").data / "ledger.db", vkey or opened.log_verifier_key
    else:
        key = vkey or Home.open(home).log_verifier_key
    if not path.is_file():
        raise HomeError(f"there is no ledger at {path}")
    return path, key


async def _verify_online(output: Output, agency: Agency, vkey: str | None) -> int:
    from consent_ledger.log.checkpoint import open_checkpoint
    from consent_ledger.log.errors import VerificationError
    from consent_ledger.log.merkle import leaf_hash
    from consent_ledger.log.note import Verifier
    from consent_ledger.verify.log import LogReplay
    from gateway.sdk.remote import GrpcRemote

    assert isinstance(agency.remote, GrpcRemote)
    begun = monotonic()
    try:
        verifier = Verifier.parse(vkey) if vkey else agency.log_verifier
        signed = open_checkpoint(await agency.remote.checkpoint(), [verifier])
        replay = LogReplay()
        with output.progress("verifying") as progress:
            while replay.size < signed.size:
                entries = await agency.remote.entries(replay.size, min(ONLINE_CHUNK, signed.size - replay.size))
                if not entries:
                    break
                replay.add(entries, [leaf_hash(entry) for entry in entries])
                progress(replay.size, signed.size)
        report = replay.finish(signed)
    except VerificationError as error:
        return _failed(output, error)
    _say(output, report, {"seconds": round(monotonic() - begun, 3)})
    return OK


def _say(output: Output, report: LogReport, more: dict[str, Any]) -> None:
    values = {
        "verified": True,
        "origin": report.origin,
        "size": report.size,
        "root": report.root.hex(),
        "public_events": len(report.public_events),
        "commitments": report.commitments,
        **more,
    }
    lines = [
        f"the log {report.origin} checks: {report.size} entries give exactly the root that was signed",
        f"    {len(report.public_events)} public events without a gap, {report.commitments} commitments",
    ]
    if "opened" in more:
        lines.append(f"    {more['opened']} commitments opened by their payload, {more['erased']} lawfully erased")
    output.result(values, lines)


def _failed(output: Output, error: Exception) -> int:
    output.error("PROOF_INVALID", f"the log does not check: {error}")
    return FAILED
