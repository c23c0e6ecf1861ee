"""`regie canary`: signals about nobody that show whether every factor is still the right one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import ANYBODY, HOME, RECIPIENTS, SENDERS, AsOption, HomeOption, JsonOption, moment, work
from gateway.cli.output import FAILED, OK, UNAVAILABLE, Output

if TYPE_CHECKING:
    from gateway.sdk.agency import Agency

app = typer.Typer(no_args_is_help=True, help="Watch the blind evaluation with signals about nobody.")

_MARKS = {"ok": "ok", "alarm": "ALARM", "waiting": "not yet"}


@app.command()
def setup(
    folder: Annotated[Path, typer.Argument(help="Folder to write the cards to.", show_default=False)],
    *,
    sender: Annotated[
        list[str] | None, typer.Option(metavar="OIN", help="Only for this sender; can be repeated.")
    ] = None,
    purpose: Annotated[list[str] | None, typer.Option(help="Only for this purpose; can be repeated.")] = None,
    count: Annotated[
        int, typer.Option(help="Canaries on a card; a daily send needs about 8, a weekly one 2.", min=1, max=20)
    ] = 2,
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Make canaries as a recipient: one card for each sender and purpose.

    Give each card to the portal first, which joins it, and then to its sender. A card is not public: who has it can
    make canaries of that sender look received.

    `regie canary setup cards --as 00000099000000007001`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        from gateway.sdk.canary.setting import set_up

        written = await set_up(agency, folder, senders=sender or (), purposes=purpose or (), count=count)
        cards = [
            {"sender": one.card.sender, "purpose": one.card.purpose, "canaries": count, "file": str(one.path)}
            for one in written
        ]
        output.result({"cards": cards}, [f"{card['file']}: {count} canaries" for card in cards])
        output.note("give them to the portal first, then each to its sender: `regie canary join`")
        return OK

    work(output, home, oin, RECIPIENTS, do)


@app.command()
def join(
    cards: Annotated[list[Path], typer.Argument(help="Cards that `regie canary setup` wrote.", show_default=False)],
    *,
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Take cards over: the portal records a yes for each canary, and a sender's sends take one along from then on.

    `regie canary join cards/*.json --as 00000099000000004000`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        from gateway.sdk.canary.cards import Card
        from gateway.sdk.canary.setting import join as take_over

        joined = await take_over(agency, [Card.read(path) for path in cards])
        output.result({"cards": len(cards), "canaries": joined}, [f"{joined} canaries of {len(cards)} cards"])
        return OK

    work(output, home, oin, SENDERS, do)


@app.command()
def send(
    *,
    purpose: Annotated[str, typer.Option(help="Purpose of the exchange.", show_default=False)],
    to: Annotated[str, typer.Option("--to", metavar="OIN", help="The recipient.", show_default=False)],
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Send one canary by itself, now. Every `regie send` takes one along anyway, hidden among real signals.

    `regie canary send --purpose vroegsignalering-energie --to 00000099000000007001`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        summary = await agency.sender().send_canary(purpose=purpose, recipient=to)
        answer = summary.canary or "probeer_later"
        output.result({"answer": answer, "seconds": summary.seconds}, [f"answered: {answer}"])
        if summary.trouble is not None:
            output.note(f"regie: {summary.trouble.message}")
        if answer == "probeer_later":
            return UNAVAILABLE
        return OK if answer == "accepted" else FAILED

    work(output, home, oin, SENDERS, do)


@app.command()
def check(
    *,
    within: Annotated[int, typer.Option(help="Days in which a canary must have come from every sender.", min=1)] = 35,
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Look at this organisation's canaries; ends with exit code 1 when one shows a wrong factor. Meant for every day.

    A recipient looks one up through both evaluators and at those that came; a sender at what its own were answered; the
    portal at their choices in the ledger.

    `regie canary check --as 00000099000000007001`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        from gateway.sdk.canary.checking import check as look

        findings = await look(agency, within_days=within)
        counts = {status: sum(finding.status == status for finding in findings) for status in _MARKS}
        values = [
            {
                "path": finding.path,
                "sender": finding.sender,
                "recipient": finding.recipient,
                "purpose": finding.purpose,
                "status": finding.status,
                "detail": finding.detail,
                "time": moment(finding.time_ms) or None,
            }
            for finding in findings
        ]
        lines = [
            f"{_MARKS[f.status]:8} {f.path:8} {f.sender} to {f.recipient} for {f.purpose}: {f.detail}" for f in findings
        ]
        total = f"{counts['ok']} ok, {counts['alarm']} alarms, {counts['waiting']} not yet"
        output.result({"findings": values, **counts}, [*lines, total])
        return FAILED if counts["alarm"] else OK

    work(output, home, oin, ANYBODY, do)
