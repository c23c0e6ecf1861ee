"""`regie question`: read and answer questions of residents (R21)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway.cli.common import HOME, RECIPIENTS, SENDERS, AsOption, HomeOption, JsonOption, day, work
from gateway.cli.output import OK, Output

if TYPE_CHECKING:
    from gateway.sdk.agency import Agency

app = typer.Typer(no_args_is_help=True, help="Read and answer questions of residents.")
AGENCIES = SENDERS | RECIPIENTS


@app.command("list")
def list_(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also questions that are answered.")] = False,
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """List questions that wait for an answer, oldest first; neither the gateway nor the ledger can read them.

    `regie question list --as 00000099000000007001`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        from gateway.sdk.tasks import Tasks

        found = await Tasks(agency).questions(everything=everything)
        now_ms = agency.clock()
        if json:
            output.result({"questions": [asked.values(now_ms) for asked in found]}, [])
            return OK
        if not found:
            output.note("no question waits for an answer")
            return OK
        rows = [
            (
                asked.reference,
                asked.text if asked.text is not None else "(sealed to a key this home has no more)",
                asked.delivery_id or "no signal",
                f"{day(asked.due_ms)}{' OVERDUE' if asked.values(now_ms)['overdue'] else ''}",
                day(asked.answered_ms) or "no",
            )
            for asked in found
        ]
        output.table("Questions of residents", ("reference", "question", "about", "answer by", "answered"), rows)
        return OK

    work(output, home, oin, AGENCIES, do)


@app.command()
def answer(
    reference: Annotated[str, typer.Argument(help="Reference of the question, or its log index.", show_default=False)],
    *,
    file: Annotated[
        Path,
        typer.Option(
            "--file", metavar="FILE", help="Text of the answer, at most 1500 characters; - is standard input."
        ),
    ] = Path("-"),
    language: Annotated[Literal["nl", "en"], typer.Option(help="Language of the answer.")] = "nl",
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Answer a question, once; only the resident can read it.

    A file or standard input, because other users of this machine can read command lines.

    `regie question answer VR-7K3M-9QPD --file answer.txt --as 00000099000000007001`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        from gateway.sdk.tasks import Tasks

        text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
        index = await Tasks(agency).answer(reference, text, language=language)
        output.result({"reference": reference, "log_index": index}, [f"answered: entry {index} of the log"])
        return OK

    work(output, home, oin, AGENCIES, do)
