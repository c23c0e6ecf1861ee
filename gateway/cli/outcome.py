"""`regie outcome`: report what was done with a signal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import HOME, RECIPIENTS, AsOption, HomeOption, JsonOption, work
from gateway.cli.output import OK, Output

if TYPE_CHECKING:
    from gateway.sdk.agency import Agency


def outcome(
    delivery: Annotated[str, typer.Argument(help="delivery_id of a received signal.", show_default=False)],
    *,
    offer: Annotated[str, typer.Option(help="What was offered, in at most 128 characters.", show_default=False)],
    channel: Annotated[str, typer.Option(help="How: brief, email, telefoon, huisbezoek, ...", show_default=False)],
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Report what was done with a received signal; the resident sees it, the gateway does not.

    `regie outcome 4f0c...-12 --offer "gesprek schuldhulp" --channel brief`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        index = await agency.recipient().report(delivery, offer=offer, channel=channel, when_ms=agency.clock())
        output.result({"delivery_id": delivery, "log_index": index}, [f"recorded as entry {index} of the log"])
        return OK

    work(output, home, oin, RECIPIENTS, do)
