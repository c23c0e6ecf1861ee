"""`regie proof`: check a receipt without asking anybody."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.common import HOME, HomeOption, JsonOption, moment, reporting
from gateway.cli.output import FAILED, Output

if TYPE_CHECKING:
    from consent_ledger.verify.receipt import VerifiedReceipt

app = typer.Typer(no_args_is_help=True, help="Check receipts, offline.")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="Receipt (.tlog-proof); - is standard input.", show_default=False)],
    vkey: Annotated[str | None, typer.Option(help="The log's verifier key; default: the one of the home.")] = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Check a receipt offline: that its event stands in the log, and that the log signed it.

    `regie proof verify 4f0c...-12.tlog-proof`
    """
    from consent_ledger.log.errors import VerificationError
    from consent_ledger.verify.receipt import verify_receipt
    from gateway.home import Home

    output = Output(as_json=json)
    with reporting(output):
        key = vkey or Home.open(home).log_verifier_key
        source = Path("/dev/stdin") if str(file) == "-" else file
        try:
            proven = verify_receipt(source.read_bytes().decode("utf-8"), key)
        except (VerificationError, UnicodeDecodeError) as error:
            text = str(error) if isinstance(error, VerificationError) else "expected text, got other bytes"
            output.error("PROOF_INVALID", f"{file} proves nothing: {text}")
            raise typer.Exit(FAILED) from None
        values = _values(proven)
        output.result(values, _lines(values))


def _values(proven: VerifiedReceipt) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    kind = proven.event.WhichOneof("body") or ""
    return {
        "valid": True,
        "origin": proven.origin,
        "index": proven.index,
        "size": proven.size,
        "time": moment(proven.event.time_ms),
        "event": kind,
        "content": MessageToDict(getattr(proven.event, kind), preserving_proto_field_name=True),
    }


def _lines(values: dict[str, Any]) -> list[str]:
    content = values["content"]
    named = ("sender", "recipient", "purpose", "position", "decided_index")
    facts = [f"    {name.replace('_', ' '):14} {content[name]}" for name in named if name in content]
    return [
        f"valid: entry {values['index']} of the log {values['origin']}, which has {values['size']} entries signed,",
        f"says that on {values['time']} this happened: {values['event'].replace('_', ' ')}",
        *facts,
    ]
