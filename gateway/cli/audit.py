"""`regie audit`: judge again what the ledger decided."""

from __future__ import annotations

import sys
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from gateway.cli.common import ANYBODY, HOME, AsOption, HomeOption, JsonOption, reporting, work
from gateway.cli.ledgerplace import KeyOption, LedgerPlace, PlaceArgument, find_ledger, settle_memory
from gateway.cli.output import FAILED, OK, Output

if TYPE_CHECKING:
    from consent_ledger.verify.replay import ReplayReport
    from gateway.sdk.agency import Agency

app = typer.Typer(no_args_is_help=True, help="Judge again what the ledger decided.")
reports = typer.Typer(no_args_is_help=True, help="Reports that an auditor signed.")
app.add_typer(reports, name="report")
_SHOWN = 20


class Signed(NamedTuple):
    """Whose key signs a report, its seed, and the file it goes to."""

    oin: str
    seed: bytes
    path: Path


@app.callback()
def audit() -> None:
    """Judge again what the ledger decided."""


@app.command()
def replay(
    place: PlaceArgument = None,
    *,
    vkey: KeyOption = None,
    start: Annotated[int, typer.Option("--from", min=0, help="Judge only from this leaf on.")] = 0,
    stop: Annotated[int | None, typer.Option("--to", min=1, help="Judge only leaves before this one.")] = None,
    report: Annotated[Path | None, typer.Option(help="Also write a signed report to this file.")] = None,
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Verify the log and its witnesses, then decide every exchange in it again and compare with what was recorded.

    Each decision, release and stop is a match; a mismatch; erased (it, or what it may rest on, was erased lawfully); or
    unopenable (its payload is lost or false). A mismatch or anything unopenable ends with exit code 1. The ledger may
    be in use. The report is signed by the auditor of the home, or by --as.

    `regie audit replay`, `regie audit replay backup/ledger.db --json`, `regie audit replay --report replay.json`
    """
    output = Output(as_json=json)
    with reporting(output):
        within = range(start, stop if stop is not None else sys.maxsize) if start or stop is not None else None
        signed = Signed(*_signer(home, oin), report) if report else None
        code = _replay(output, find_ledger(place, home, vkey), within, signed)
    if code:
        raise typer.Exit(code)


@reports.callback()
def report() -> None:
    """Reports that an auditor signed."""


@reports.command("verify")
def verify_report(
    file: Annotated[Path, typer.Argument(help="A report of `regie audit replay --report` or of the console.")],
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Check who signed a report, by the directory, and that nothing in it was changed since.

    `regie audit report verify replay.json`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        from gateway.auditor.reports import open_report

        text = file.read_text("utf-8", errors="replace")
        found, signer, key = open_report(text, await agency.registry())
        by = {"oin": signer, "key_id": key.key_id.hex(), "retired": key.retired}
        name = (await agency.registry()).participant(signer).name
        since = ", with a key that is retired since" if key.retired else ""
        said = f"{found.get('mismatch', 0)} mismatch, {found.get('unopenable', 0)} unopenable, size {found.get('size')}"
        output.result({"signed_by": by, "report": found}, [f"signed by {name} ({signer}){since}", f"    {said}"])
        return OK

    work(output, home, oin, ANYBODY, do)


def _signer(home: Path, oin: str | None) -> tuple[str, bytes]:
    """Return whose key signs, and its seed; raises HomeError."""
    from gateway.home import Home, HomeError

    opened = Home.open(home)
    chosen = oin or opened.operators.get("auditor")
    if chosen is None:
        raise HomeError("this home has no auditor: say whose key signs the report with --as OIN")
    return chosen, opened.organisation(chosen).key("sign")


def _replay(output: Output, ledger: LedgerPlace, within: range | None, signed: Signed | None) -> int:
    from consent_ledger.log.errors import VerificationError
    from consent_ledger.verify import replay as verifier

    settle_memory()
    begun = monotonic()
    try:
        with output.progress("replaying") as progress:
            report = verifier.replay(ledger.location, ledger.vkeys, progress, quorum=ledger.quorum, within=within)
    except verifier.ReplayFailed as failed:
        report = failed.report
    except VerificationError as error:
        output.error("PROOF_INVALID", f"the log does not check, so there is nothing to replay: {error}")
        return FAILED
    _say(output, report, monotonic() - begun, signed)
    return FAILED if report.broken else OK


def _say(output: Output, report: ReplayReport, seconds: float, signed: Signed | None) -> None:
    from consent_ledger.verify.verdicts import Verdict
    from gateway.auditor.reports import replay_values, sign_report

    values = replay_values(report, seconds)
    if signed:
        signed.path.write_text(sign_report(values, signed.oin, signed.seed), "utf-8")
    output.result(values, _lines(report, {verdict.value: report.count(verdict) for verdict in Verdict}))
    for one in [one for one in report.findings if one.verdict in (Verdict.MISMATCH, Verdict.UNOPENABLE)][:_SHOWN]:
        output.note(f"regie: leaf {one.index} ({one.kind}), {one.verdict.value}: {one.why}")


def _lines(report: ReplayReport, totals: dict[str, int]) -> list[str]:
    assert report.log is not None
    witnessed = f"witnessed up to size {report.witnessed}" if report.witnessed else "not witnessed"
    judged = ", ".join(f"{count} {verdict}" for verdict, count in totals.items())
    lines = [
        f"the log {report.log.origin} checks: {report.log.size} entries, {witnessed}",
        f"    judged again: {judged}",
    ]
    for kind, counts in sorted(report.counts.items()):
        lines.append(f"    {kind}: {', '.join(f'{count} {verdict}' for verdict, count in sorted(counts.items()))}")
    if report.beside:
        lines.append(f"    {report.beside} of the matches are by what is left of residents of whom something is erased")
    return lines
