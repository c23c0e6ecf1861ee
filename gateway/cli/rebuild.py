"""`regie ledger rebuild`: the tables beside the log, made again from it."""

from __future__ import annotations

import typer

from gateway.cli.common import HOME, HomeOption, JsonOption, reporting
from gateway.cli.ledgerplace import KeyOption, LedgerPlace, PlaceArgument, find_ledger, say_rows, settle_memory
from gateway.cli.output import FAILED, OK, Output


def rebuild(
    place: PlaceArgument = None, *, vkey: KeyOption = None, home: HomeOption = HOME, json: JsonOption = False
) -> None:
    """Make what the ledger keeps beside its log again from the log: consent states, permits, indices, tiles.

    The ledger must be stopped (on PostgreSQL it waits; name the role that owns the database). The log is verified first
    and never written; rows that are right stay as they are, all others change in one transaction. Then everything is
    checked as by `regie log fsck`: exit code 1 when that still finds something.

    `regie ledger rebuild`, `regie ledger rebuild postgresql://owner@db/regie`
    """
    output = Output(as_json=json)
    with reporting(output):
        code = _rebuild(output, find_ledger(place, home, vkey))
    if code:
        raise typer.Exit(code)


def _rebuild(output: Output, ledger: LedgerPlace) -> int:
    from consent_ledger import rebuild as ledgers
    from consent_ledger.log.errors import VerificationError
    from consent_ledger.verify import fsck as verifier

    settle_memory()
    try:
        with output.progress("rebuilding") as progress:
            done = ledgers.rebuild(ledger.location, ledger.vkeys, progress)
    except VerificationError as error:
        output.error("PROOF_INVALID", f"nothing was written: the log does not check: {error}")
        return FAILED
    problems: tuple[object, ...] = ()
    count = 0
    try:
        with output.progress("checking") as progress:
            verifier.fsck(ledger.location, ledger.vkeys, progress, quorum=ledger.quorum)
    except verifier.LedgerDamaged as damaged:
        problems, count = damaged.report.problems, damaged.report.count
        output.note(f"regie: {count} rows still do not check: the log does not tell what they should say")
        say_rows(output, damaged.report.problems, count)
    values = {
        "size": done.size,
        "added": done.added,
        "changed": done.changed,
        "removed": done.removed,
        "openings_lost": done.openings_lost,
        "problems": [str(problem) for problem in problems],
        "problem_count": count,
    }
    output.result(values, _lines(done.written, values))
    return FAILED if count else OK


def _lines(written: int, values: dict[str, object]) -> list[str]:
    if not written:
        return [f"nothing to do: every table says what the log of {values['size']} entries says"]
    lines = [f"rebuilt from the log of {values['size']} entries: {written} rows"]
    for what in ("added", "changed", "removed"):
        rows = values[what]
        assert isinstance(rows, dict)
        if rows:
            lines.append(f"    {what}: {', '.join(f'{count} of {table}' for table, count in rows.items())}")
    if values["openings_lost"]:
        lines.append(f"    {values['openings_lost']} signals can no longer be delivered: what opens them is in no log")
    return lines
