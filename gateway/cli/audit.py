"""`regie audit`: judge again what the ledger decided."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import typer

from gateway.cli.common import HOME, HomeOption, JsonOption, reporting
from gateway.cli.ledgerplace import KeyOption, LedgerPlace, PlaceArgument, find_ledger, settle_memory
from gateway.cli.output import FAILED, OK, Output

if TYPE_CHECKING:
    from consent_ledger.verify.replay import Finding, ReplayReport

app = typer.Typer(no_args_is_help=True, help="Judge again what the ledger decided.")
_SHOWN = 20


@app.callback()
def audit() -> None:
    """Judge again what the ledger decided."""


@app.command()
def replay(
    place: PlaceArgument = None, *, vkey: KeyOption = None, home: HomeOption = HOME, json: JsonOption = False
) -> None:
    """Verify the log and its witnesses, then decide every exchange in it again and compare with what was recorded.

    Each decision, release and stop is a match; a mismatch; erased (it, or what it may rest on, was erased lawfully); or
    unopenable (its payload is lost or false). A mismatch or anything unopenable ends with exit code 1. The ledger may
    be in use.

    `regie audit replay`, `regie audit replay backup/ledger.db --json`
    """
    output = Output(as_json=json)
    with reporting(output):
        code = _replay(output, find_ledger(place, home, vkey))
    if code:
        raise typer.Exit(code)


def _replay(output: Output, ledger: LedgerPlace) -> int:
    from consent_ledger.log.errors import VerificationError
    from consent_ledger.verify import replay as verifier

    settle_memory()
    begun = monotonic()
    try:
        with output.progress("replaying") as progress:
            report = verifier.replay(ledger.location, ledger.vkeys, progress, quorum=ledger.quorum)
    except verifier.ReplayFailed as failed:
        _say(output, failed.report, monotonic() - begun)
        return FAILED
    except VerificationError as error:
        output.error("PROOF_INVALID", f"the log does not check, so there is nothing to replay: {error}")
        return FAILED
    _say(output, report, monotonic() - begun)
    return OK


def _say(output: Output, report: ReplayReport, seconds: float) -> None:
    from consent_ledger.verify.verdicts import Verdict

    assert report.log is not None
    totals = {verdict.value: report.count(verdict) for verdict in Verdict}
    values: dict[str, Any] = {
        "verified": report.broken == 0,
        "origin": report.log.origin,
        "size": report.log.size,
        "root": report.log.root.hex(),
        "witnessed_size": report.witnessed,
        **totals,
        "beside_erased": report.beside,
        "by_kind": report.counts,
        "findings": [_finding(one) for one in report.findings],
        "findings_left_out": report.left_out,
        "seconds": round(seconds, 3),
        "entries_per_second": round(report.log.size / seconds) if seconds else None,
    }
    output.result(values, _lines(report, totals))
    for one in [one for one in report.findings if one.verdict in (Verdict.MISMATCH, Verdict.UNOPENABLE)][:_SHOWN]:
        output.note(f"regie: leaf {one.index} ({one.kind}), {one.verdict.value}: {one.why}")


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "index": one.index,
        "kind": one.kind,
        "verdict": one.verdict.value,
        "why": one.why,
        "erased_by": one.erased_by,
    }


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
