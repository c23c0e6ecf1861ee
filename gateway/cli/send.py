"""`regie send`: send a file of signals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway.cli.common import HOME, SENDERS, AsOption, HomeOption, JsonOption, work
from gateway.cli.output import FAILED, OK, UNAVAILABLE, Output

if TYPE_CHECKING:
    from gateway.sdk.agency import Agency
    from gateway.sdk.sendfile import FileSummary

_MEANING = {
    "accepted": "accepted: the recipient gets it, if the resident still agrees then",
    "geen_toestemming": "refused: no permission for this",
    "later_opnieuw": "not now: report it again later",
    "gegevens_niet_toegestaan": "refused: more data than is allowed",
    "doel_verboden": "refused: sharing for this purpose is prohibited",
    "probeer_later": "no answer: send the same file again",
}


def send(
    file: Annotated[
        Path, typer.Argument(help="Arrears or income file (CSV); its header tells which.", show_default=False)
    ],
    *,
    purpose: Annotated[str, typer.Option(help="Purpose of the exchange.", show_default=False)],
    to: Annotated[str, typer.Option("--to", metavar="OIN", help="The recipient.", show_default=False)],
    oin: AsOption = None,
    items: Annotated[
        str, typer.Option(help="Data items, with commas between; default: those of the purpose.", show_default=False)
    ] = "",
    basis: Annotated[
        Literal["observed", "inferred"], typer.Option(help="Own observation, or an inference (which is prohibited).")
    ] = "observed",
    retry_later: Annotated[
        bool,
        typer.Option(
            "--retry-later",
            help="FILE is your list of today: report again only what you were told to report later.",
        ),
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to keep trying when the gateway is out of reach.")] = 30.0,
    answers: Annotated[
        Path | None, typer.Option(help="Write the answer to each row here (CSV: reference,answer).")
    ] = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Send a file of signals; each resident's own choice decides which go through.

    Bad rows are named in FILE.rejected.csv and the good ones go through. The same file again goes on where a broken-off
    send was, and never makes a second exchange.

    After `not now: report it again later`, make a fresh file and send it with `--retry-later`, once a day for example:
    rows that you were told to report later, and that still stand in it under the same reference about the same person,
    go again as they are in it now. Others are passed over; what is not in it any more was solved, and is forgotten.

    `regie send arrears.csv --purpose vroegsignalering-energie --to 00000099000000007001`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        from gateway.sdk.sendfile import send_file

        chosen = [item.strip() for item in items.split(",") if item.strip()]
        with output.progress("sending") as progress:
            summary = await send_file(
                agency,
                file,
                purpose=purpose,
                recipient=to,
                items=chosen,
                basis=basis,
                retry_later=retry_later,
                patience=timeout,
                progress=progress,
            )
        if answers is not None:
            _write_answers(answers, summary)
        return _say(output, summary, retry_later=retry_later)

    work(output, home, oin, SENDERS, do)


def _say(output: Output, summary: FileSummary, *, retry_later: bool) -> int:
    sent = summary.sent
    values = {
        "rows": summary.rows,
        "rejected_rows": summary.rejected_rows,
        "batches": sent.batches,
        **sent.counts,
        "seconds": sent.seconds,
        "rejected_file": str(summary.rejected_file) if summary.rejected_file else None,
    }
    if retry_later:
        values |= {"passed_over": sent.passed_over, "forgotten": sent.forgotten}
        output.note(f"{sent.passed_over} rows were not to be reported again, {sent.forgotten} are no longer reported")
    output.table(
        f"{summary.rows} rows in {sent.batches} batches, {sent.seconds:.1f} s",
        ("rows", "answer"),
        [(sent.counts[name], meaning) for name, meaning in _MEANING.items() if sent.counts[name]],
    )
    output.result(values, [])
    if summary.rejected_file:
        output.note(f"{summary.rejected_rows} rows rejected: see {summary.rejected_file}")
    if sent.trouble is not None:
        output.note(f"regie: {sent.trouble.message}")
    if sent.counts["probeer_later"]:
        output.note(f"{sent.counts['probeer_later']} rows have no answer yet: send the same file again later")
        return UNAVAILABLE
    if sent.canary not in {None, "accepted"}:
        output.note(
            f"regie: ALARM: a canary was answered {sent.canary}, so others may be wrong too: `regie canary check`"
        )
        return FAILED
    return FAILED if summary.rejected_rows else OK


def _write_answers(path: Path, summary: FileSummary) -> None:
    import csv

    path.touch(mode=0o600)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("reference", "answer"))
        writer.writerows(summary.sent.answers.items())
