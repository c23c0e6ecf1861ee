"""`regie log`: check the whole log."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import logkeys
from gateway.cli.common import ANYBODY, HOME, AsOption, HomeOption, JsonOption, reporting, work
from gateway.cli.fsck import fsck
from gateway.cli.ledgerplace import LedgerPlace, find_ledger
from gateway.cli.logreceipt import receipt
from gateway.cli.output import FAILED, OK, Output
from gateway.cli.publiclog import is_url, verify_url

if TYPE_CHECKING:
    from consent_ledger.verify.log import LogReport
    from gateway.sdk.agency import Agency

app = typer.Typer(no_args_is_help=True, help="Check the log; show its checkpoint.")

ONLINE_CHUNK = 4096


@app.command()
def verify(
    place: Annotated[
        str | None,
        typer.Argument(
            help="URL prefix of a public log, ledger.db, postgresql://ROLE@HOST/NAME, or a home; default: --home.",
            show_default=False,
        ),
    ] = None,
    *,
    online: Annotated[bool, typer.Option("--online", help="Read the log from the running ledger instead.")] = False,
    vkey: Annotated[
        str | None, typer.Option(help="The log's verifier key, or several with spaces; default: those of the home.")
    ] = None,
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Derive the log again from its entries and compare with what was signed; in a database, open every commitment too.

    Of a public log every tile and every entry is read as strangers see it, and nothing else is needed than a key. Says
    what fails, and where, and ends with exit code 1.

    `regie log verify`, `regie log verify https://log.example/log --vkey KEY`, `regie log verify backup/ledger.db`
    """
    output = Output(as_json=json)
    if online:
        work(output, home, oin, ANYBODY, lambda agency: _verify_online(output, agency, vkey))
        return
    with reporting(output):
        if place is not None and is_url(place):
            code = _verify_url(output, place, home, vkey)
        else:
            code = _verify_database(output, find_ledger(place, home, vkey))
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
            opened = open_checkpoint(note, agency.log_verifiers)
        except VerificationError as error:
            return _failed(output, error)
        values = {"origin": opened.origin, "size": opened.size, "root": opened.root.hex(), "checkpoint": note}
        output.result(values, [note.rstrip("\n")])
        return OK

    work(output, home, oin, ANYBODY, do)


logkeys.add_to(app)
app.command()(fsck)
app.command()(receipt)


def _verify_url(output: Output, url: str, home: Path, vkey: str | None) -> int:
    from consent_ledger.log.errors import VerificationError

    begun = monotonic()
    try:
        report, more = verify_url(output, url, home, vkey)
    except VerificationError as error:
        return _failed(output, error)
    _say(output, report, {**more, "seconds": round(monotonic() - begun, 3)})
    return OK


def _verify_database(output: Output, ledger: LedgerPlace) -> int:
    from consent_ledger.log.errors import VerificationError
    from consent_ledger.verify.database import verify_database

    begun = monotonic()
    try:
        with output.progress("verifying") as progress:
            report = verify_database(ledger.location, ledger.vkeys, progress)
    except VerificationError as error:
        return _failed(output, error)
    more = {"opened": report.opened, "erased": report.erased}
    _say(output, report.log, {**more, "seconds": round(monotonic() - begun, 3)})
    return OK


async def _verify_online(output: Output, agency: Agency, vkey: str | None) -> int:
    from consent_ledger.log.checkpoint import open_checkpoint
    from consent_ledger.log.errors import VerificationError
    from consent_ledger.log.keys import parse_verifiers
    from consent_ledger.log.merkle import leaf_hash
    from consent_ledger.verify.log import LogReplay
    from gateway.sdk.remote import GrpcRemote

    assert isinstance(agency.remote, GrpcRemote)
    begun = monotonic()
    try:
        verifiers = parse_verifiers(vkey) if vkey else agency.log_verifiers
        signed = open_checkpoint(await agency.remote.checkpoint(), verifiers)
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
    if "signed_by" in more:
        signed_by = ", ".join(f"{key['key_id']} ({key['kind']})" for key in more["signed_by"])
        lines.append(f"    every tile and every entry was read as it is published; signed by {signed_by}")
        if more["witnessed_by"]:
            lines.append(f"    cosigned by {len(more['witnessed_by'])} witnesses: {', '.join(more['witnessed_by'])}")
    output.result(values, lines)


def _failed(output: Output, error: Exception) -> int:
    output.error("PROOF_INVALID", f"the log does not check: {error}")
    return FAILED
