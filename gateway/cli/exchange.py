"""`regie exchange`: what the gateway's operator can see of the exchange."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.common import HOME, HomeOption, JsonOption, day, moment, reporting
from gateway.cli.output import FAILED, Output

app = typer.Typer(no_args_is_help=True, help="Look at the exchange, as the gateway's operator.")


@app.callback()
def exchange() -> None:
    """Look at the exchange, as the gateway's operator."""


@app.command()
def unresolved(
    *,
    days: Annotated[int, typer.Option(help="How many days back.", min=1, max=400)] = 35,
    share: Annotated[
        int, typer.Option(help="Percentage of a day's signals from which a count is an alarm.", min=1, max=100)
    ] = 50,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Show how many delivered signals recipients could not resolve, by recipient, purpose and closed day, in tens.

    That is all the gateway hears: never which. Many at once mean that an evaluator uses a wrong factor in that
    recipient's domain: exit code 1.

    `regie exchange unresolved --json`
    """
    output = Output(as_json=json)
    with reporting(output):
        code = _show(output, home, days, share)
    if code:
        raise typer.Exit(code)


@app.command()
def refusals(
    *,
    days: Annotated[int, typer.Option(help="How many days back.", min=1, max=35)] = 2,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Show how many signals of each sender were refused, by hour, and whom the gateway slowed down for it.

    A sender with REGIE_SENDER_REFUSALS_PER_HOUR refusals (5,000) waits for the next hour. That may be a mistake in its
    list, or somebody with its key who tries out residents: exit code 1.

    `regie exchange refusals --days 7`
    """
    output = Output(as_json=json)
    with reporting(output):
        code = _show_refusals(output, home, days)
    if code:
        raise typer.Exit(code)


def _show_refusals(output: Output, home: Path, days: int) -> int:
    from consent_ledger.clock import DAY_MS, system_clock
    from gateway.exchange.refusals import HOUR_MS, hour_counts
    from gateway.home import Home
    from gateway.settings import load_settings

    most = load_settings().sender_refusals_per_hour
    database = Home.open(home).database("gateway", "gateway")
    rows = [
        {
            "hour": moment(count.hour * HOUR_MS),
            "sender": count.sender,
            "asked": count.asked,
            "refused": count.refused,
            "turned_away": count.turned_away,
            "alarm": count.refused >= most,
        }
        for count in hour_counts(database, (system_clock() - days * DAY_MS) // HOUR_MS)
        if count.refused
    ]
    lines = [
        f"{row['hour']}  {row['sender']}: {row['refused']} of {row['asked']} refused"
        + (f", {row['turned_away']} turned away  ALARM" if row["alarm"] else "")
        for row in rows
    ]
    alarms = sum(bool(row["alarm"]) for row in rows)
    output.result({"hours": rows, "alarms": alarms}, [*lines, f"{len(rows)} senders and hours, {alarms} alarms"])
    return FAILED * bool(alarms)


def _show(output: Output, home: Path, days: int, share: int) -> int:
    from consent_ledger.clock import DAY_MS, system_clock
    from gateway.exchange.unresolved import day_counts
    from gateway.home import Home

    database = Home.open(home).database("gateway", "gateway")
    found = day_counts(database, system_clock() // DAY_MS - days)
    rows = [
        {
            "day": day(count.day * DAY_MS),
            "recipient": count.recipient,
            "purpose": count.purpose,
            "delivered": count.delivered,
            "unresolved": count.unresolved,
            "alarm": bool(count.unresolved) and 100 * (count.unresolved or 0) >= share * count.delivered,
        }
        for count in found
    ]
    lines = [
        f"{row['day']}  {row['recipient']} for {row['purpose']}: "
        + (f"{row['unresolved']} of" if row["unresolved"] is not None else "nothing told of")
        + f" {row['delivered']} delivered"
        + ("  ALARM" if row["alarm"] else "")
        for row in rows
    ]
    alarms = sum(bool(row["alarm"]) for row in rows)
    output.result({"days": rows, "alarms": alarms}, [*lines, f"{len(rows)} days and purposes, {alarms} alarms"])
    return FAILED * bool(alarms)
