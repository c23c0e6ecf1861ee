"""`regie outcome`: report what was done with signals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from gateway.cli.common import HOME, RECIPIENTS, AsOption, HomeOption, JsonOption, work
from gateway.cli.output import FAILED, OK, Output

if TYPE_CHECKING:
    from gateway.sdk.agency import Agency


class _ReportUnlessSaid(TyperGroup):
    """`regie outcome DELIVERY_ID ...` is `regie outcome report DELIVERY_ID ...`, as it was when there was no other."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["report", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_ReportUnlessSaid, no_args_is_help=True, help="Report what was done with received signals.")


@app.command()
def report(
    delivery: Annotated[str, typer.Argument(help="delivery_id of a received signal.", show_default=False)],
    *,
    offer: Annotated[str, typer.Option(help="What was offered, in at most 128 characters.", show_default=False)],
    channel: Annotated[str, typer.Option(help="How: brief, email, telefoon, huisbezoek, ...", show_default=False)],
    language: Annotated[
        str, typer.Option(help="nl or en; default: what the resident wished.", show_default=False)
    ] = "",
    address: Annotated[str, typer.Option(help="u or je; default: what the resident wished.", show_default=False)] = "",
    other_person: Annotated[
        bool, typer.Option("--other-person", help="Somebody else than before approached the resident.")
    ] = False,
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Report what was done with a received signal; the resident sees it, the gateway does not.

    `regie outcome report 4f0c...-12 --offer "gesprek schuldhulp" --channel brief`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        index = await agency.recipient().report(
            delivery,
            offer=offer,
            channel=channel,
            when_ms=agency.clock(),
            language=language,
            form_of_address=address,
            other_person=other_person,
        )
        output.result({"delivery_id": delivery, "log_index": index}, [f"recorded as entry {index} of the log"])
        return OK

    work(output, home, oin, RECIPIENTS, do)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="Outcomes file (CSV).", show_default=False)],
    *,
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Report a file of outcomes, for example of a case system, one row for each time somebody was approached.

    Bad rows are named in FILE.rejected.csv and the good ones go through. The same file again, with rows added to it,
    reports what is new. End results are those of DDAS vroegsignalering: `regie receive --export-ddas` delivers them.

    `regie outcome import outcomes.csv --as 00000099000000007001`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        from gateway.sdk.outcomefile import import_outcomes

        with output.progress("reporting") as progress:
            result = await import_outcomes(agency, file, progress=progress)
        values = {
            "rows": result.rows,
            "rejected_rows": result.rejected_rows,
            "reported": result.reported,
            "unchanged": result.unchanged,
            "rejected_file": str(result.rejected_file) if result.rejected_file else None,
        }
        output.result(values, [f"{result.reported} outcomes reported, {result.unchanged} were reported before"])
        if result.rejected_file:
            output.note(f"{result.rejected_rows} rows rejected: see {result.rejected_file}")
        return FAILED if result.rejected_rows else OK

    work(output, home, oin, RECIPIENTS, do)
