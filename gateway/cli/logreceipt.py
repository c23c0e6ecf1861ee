"""`regie log receipt`: a proof file of one entry, for whom the entry concerns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import ANYBODY, HOME, AsOption, HomeOption, JsonOption, work
from gateway.cli.output import FAILED, OK, USAGE, Output

if TYPE_CHECKING:
    from gateway.sdk.agency import Agency


def receipt(
    index: Annotated[int, typer.Argument(min=0, help="The entry's place in the log.")],
    out: Annotated[Path | None, typer.Option("--out", help="Where to write it; default: standard output.")] = None,
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Make a receipt (`.tlog-proof`) of an entry: the event, its place in the log, and the log's signature.

    For a sender its decisions, for a recipient what was released to it, for the portal everything. Verified here first;
    anybody can check it offline with `regie proof verify`.

    `regie log receipt 4711 --out decided.tlog-proof --as 00000099000000005001`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        from consent_ledger.log.errors import VerificationError
        from consent_ledger.log.proof import Receipt
        from consent_ledger.verify.receipt import verify_receipt
        from gateway.sdk.remote import GrpcRemote

        assert isinstance(agency.remote, GrpcRemote)
        answer = await agency.remote.events([index])
        entry = answer.entries[0]
        if not entry.HasField("opened"):
            output.error("PEER_KIND_NOT_SERVED", "this entry is public, erased, or does not concern this organisation")
            return USAGE
        path = tuple(entry.path[at : at + 32] for at in range(0, len(entry.path), 32))
        text = Receipt(entry.opened.salt + entry.opened.event, entry.index, path, answer.checkpoint).format()
        try:
            verified = verify_receipt(text, agency.home.log_verifier_key)
        except VerificationError as error:
            output.error("PROOF_INVALID", f"the ledger's answer does not check: {error}")
            return FAILED
        if out is not None:
            out.write_text(text, "utf-8")
        values = {"index": index, "size": verified.size, "event": verified.event.WhichOneof("body"), "receipt": text}
        output.result(values, [f"wrote {out}"] if out else [text.rstrip("\n")])
        return OK

    work(output, home, oin, ANYBODY, do)
