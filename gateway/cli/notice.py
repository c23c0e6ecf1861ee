"""`regie notice`: stop using what a resident no longer allows, and say so (R5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway.cli.common import HOME, RECIPIENTS, AsOption, HomeOption, JsonOption, day, work
from gateway.cli.output import OK, Output

if TYPE_CHECKING:
    from gateway.sdk.agency import Agency

app = typer.Typer(no_args_is_help=True, help="Stop using what a resident no longer allows, and say so.")


@app.command("list")
def list_(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also notices that are acknowledged.")] = False,
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """List deliveries whose use must stop, oldest first; why the resident stopped is not told.

    `regie notice list --as 00000099000000007001`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        from gateway.sdk.tasks import Tasks

        found = await Tasks(agency).notices(everything=everything)
        now_ms = agency.clock()
        if json:
            output.result({"notices": [notice.values(now_ms) for notice in found]}, [])
            return OK
        if not found:
            output.note("no notice waits: nothing has to stop")
            return OK
        rows = [
            (
                notice.log_index,
                "\n".join(notice.delivery_ids),
                f"{day(notice.due_ms)}{' OVERDUE' if notice.values(now_ms)['overdue'] else ''}",
                day(notice.acknowledged_ms) or "no",
            )
            for notice in found
        ]
        output.table("Stop using these deliveries", ("notice", "delivery_id", "by", "acknowledged"), rows)
        return OK

    work(output, home, oin, RECIPIENTS, do)


@app.command()
def acknowledge(
    notice: Annotated[int, typer.Argument(help="Number of the notice: its log index.", show_default=False)],
    *,
    how: Annotated[
        Literal["deleted", "stopped"],
        typer.Option(help="deleted; or stopped: kept only as the law demands, and used no more.", show_default=False),
    ],
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Say that the use of what a notice names has stopped; the resident sees it.

    `regie notice acknowledge 812 --how deleted --as 00000099000000007001`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        from gateway.sdk.tasks import Tasks

        index = await Tasks(agency).acknowledge(notice, how=how)
        output.result({"notice": notice, "log_index": index}, [f"acknowledged: entry {index} of the log"])
        return OK

    work(output, home, oin, RECIPIENTS, do)
