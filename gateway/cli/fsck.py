"""`regie log fsck`: every table of a ledger against its log."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import typer

from gateway.cli.common import HOME, HomeOption, JsonOption, reporting
from gateway.cli.ledgerplace import KeyOption, LedgerPlace, PlaceArgument, find_ledger, say_rows, settle_memory
from gateway.cli.output import FAILED, OK, Output

if TYPE_CHECKING:
    from consent_ledger.verify.fsck import FsckReport


def fsck(
    place: PlaceArgument = None, *, vkey: KeyOption = None, home: HomeOption = HOME, json: JsonOption = False
) -> None:
    """Check a ledger's tables: every hash, every payload, and all that is kept beside the log against the log itself.

    The ledger may be in use. Names every table and row that does not check, and ends with exit code 1; tells entries
    that were erased lawfully from those that are lost. What is wrong beside the log, `regie ledger rebuild` mends.

    `regie log fsck`, `regie log fsck backup/ledger.db`, `regie log fsck postgresql://auditor@db/regie`
    """
    output = Output(as_json=json)
    with reporting(output):
        code = check(output, find_ledger(place, home, vkey))
    if code:
        raise typer.Exit(code)


def check(output: Output, ledger: LedgerPlace) -> int:
    """Check a ledger and say what was found; returns the exit code."""
    from consent_ledger.log.errors import VerificationError
    from consent_ledger.verify import fsck as verifier

    settle_memory()
    begun = monotonic()
    try:
        with output.progress("checking") as progress:
            report = verifier.fsck(ledger.location, ledger.vkeys, progress, quorum=ledger.quorum)
    except verifier.LedgerDamaged as damaged:
        _say_damage(output, damaged.report, round(monotonic() - begun, 3))
        return FAILED
    except VerificationError as error:
        output.error("PROOF_INVALID", f"the ledger does not check: {error}")
        return FAILED
    _say(output, report, round(monotonic() - begun, 3))
    return OK


def _say(output: Output, report: FsckReport, seconds: float) -> None:
    assert report.log is not None
    opened, erased, rows = report.log.opened, report.log.erased, sum(report.rows.values())
    lines = [
        f"the ledger checks: {report.size} entries, {opened} opened by their payload, {erased} lawfully erased",
        f"    {rows} rows beside the log are as the log says",
        f"    what these columns say is bound by nothing: {', '.join(report.unchecked)}",
    ]
    from gateway.auditor.reports import fsck_values

    output.result(fsck_values(report, seconds), lines)


def _say_damage(output: Output, report: FsckReport, seconds: float) -> None:
    output.note(f"regie: the ledger is damaged: {report.count} rows do not check")
    say_rows(output, report.problems, report.count)
    from gateway.auditor.reports import fsck_values

    output.result(fsck_values(report, seconds), [])
