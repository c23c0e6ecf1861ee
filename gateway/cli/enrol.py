"""`regie enrol`: enrol residents."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import HOME, RECIPIENTS, AsOption, HomeOption, JsonOption, work
from gateway.cli.output import FAILED, OK, Output

if TYPE_CHECKING:
    from gateway.sdk.agency import Agency


def enrol(
    file: Annotated[Path, typer.Argument(help="Residents file (CSV).", show_default=False)],
    *,
    full: Annotated[
        bool, typer.Option("--full", help="The file is the whole register: it settles who lives at an address.")
    ] = False,
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Enrol residents, so that received signals can be resolved to them.

    Identifiers leave this machine blinded only. Residents enrolled before cost nothing, and a run that was broken off
    is gone on with; what was on its way is not counted twice, if that was within the last quarter of an hour. Two
    residents with one address and birth date cannot be told apart: FILE.rejected.csv names them.

    `regie enrol residents.csv --as 00000099000000007001`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        from gateway.sdk.enrolfile import enrol_file

        begun = monotonic()
        with output.progress("enrolling") as progress:
            result = await enrol_file(agency, file, full=full, progress=progress)
        summary = result.summary
        seconds = monotonic() - begun
        values = {
            "rows": result.rows,
            "rejected_rows": result.rejected_rows,
            "enrolled": summary.enrolled,
            "unchanged": summary.unchanged,
            "ambiguous": len(summary.ambiguous),
            "purposes": list(summary.purposes),
            "identifiers": summary.evaluated,
            "seconds": round(seconds, 3),
            "per_s": round(summary.evaluated / seconds, 1),
            "rejected_file": str(result.rejected_file) if result.rejected_file else None,
        }
        counts = f"{summary.enrolled} residents enrolled, {summary.unchanged} unchanged"
        speed = f"{summary.evaluated} identifiers in {seconds:.1f} s, {values['per_s']} a second"
        output.result(values, [f"{counts}, for {', '.join(summary.purposes)} ({speed})"])
        if result.rejected_file:
            output.note(f"{result.rejected_rows} rows rejected or not told apart: see {result.rejected_file}")
        return FAILED if result.rejected_rows else OK

    work(output, home, oin, RECIPIENTS, do)
