"""`regie receive`: receive what residents allow."""

from __future__ import annotations

import asyncio
import signal
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import HOME, RECIPIENTS, AsOption, HomeOption, JsonOption, work
from gateway.cli.output import FAILED, OK, Output

if TYPE_CHECKING:
    from consent_ledger.errors import RegieError
    from gateway.sdk.agency import Agency
    from gateway.sdk.canary.sightings import Sighting
    from gateway.sdk.recipient import Delivery


def receive(
    *,
    follow: Annotated[bool, typer.Option("--follow", help="Keep waiting for more, until Ctrl-C.")] = False,
    receipts: Annotated[
        Path | None, typer.Option(help="Folder to write each receipt to, as DELIVERY_ID.tlog-proof.")
    ] = None,
    export_ddas: Annotated[
        Path | None,
        typer.Option(help="Instead of receiving: write what was received as a DDAS delivery (v1.2) to this file."),
    ] = None,
    register: Annotated[
        Path | None, typer.Option(help="For the delivery: your residents file (CSV), as for `regie enrol`.")
    ] = None,
    municipality: Annotated[
        str, typer.Option(metavar="CODE", help="For the delivery: your CBS code, 4 digits.", show_default=False)
    ] = "",
    period: Annotated[
        str, typer.Option(help="For the delivery: 2026-10, or 2026-10-01/2026-10-15; default: last month.")
    ] = "",
    kvk: Annotated[str, typer.Option(help="For the delivery: your KvK number, 8 digits.", show_default=False)] = "",
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Receive the signals that wait, each with the resident's wishes and a receipt.

    Every delivery is verified: the ledger's and the sender's signatures, and the proof that the release is in the log.
    One that does not verify is refused and named, and the rest goes on. With `--json`: one object a line. Once a day
    the gateway is told how many signals of earlier days fitted nobody, in tens, and never which.

    With `--export-ddas`, nothing is received: the arrears signals of a period and what you reported about them become a
    delivery to CBS. Who they are about comes from your register, since Regie has nobody's address or number.

    `regie receive --as 00000099000000007001 --json`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        if export_ddas is not None:
            from gateway.cli.ddas import write_delivery

            return await write_delivery(
                *(output, agency, export_ddas),
                {"register": register, "municipality": municipality, "period": period, "kvk": kvk},
            )
        return await _Receiver(output, agency, receipts, follow=follow).run()

    work(output, home, oin, RECIPIENTS, do)


class _Receiver:
    def __init__(self, output: Output, agency: Agency, receipts: Path | None, *, follow: bool) -> None:
        self._output, self._agency, self._receipts, self._follow = output, agency, receipts, follow
        self._received = self._unresolved = self._refused = self._wrong = 0

    async def run(self) -> int:
        """Receive until there is no more; with ``follow``, until SIGINT or SIGTERM, which is a good end."""
        if self._receipts is not None:
            self._receipts.mkdir(mode=0o700, parents=True, exist_ok=True)
        task = asyncio.create_task(self._receive())
        if self._follow:
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
            with suppress(asyncio.CancelledError):
                await task
        else:
            await task
        self._say()
        return FAILED if self._refused or self._wrong else OK

    async def _receive(self) -> None:
        batches = self._agency.recipient().batches(
            follow=self._follow, refused=self._on_refusal, canary=self._on_canary
        )
        async with aclosing(batches) as stream:
            async for batch in stream:
                # Printed and on the disk first: a crash in between prints the batch again rather than never.
                for delivery in batch.deliveries:
                    self._print(delivery)
                self._output.keep()
                await batch.done()

    def _print(self, delivery: Delivery) -> None:
        self._received += 1
        self._unresolved += delivery.resident_ref is None
        if self._receipts is not None:
            path = self._receipts / f"{delivery.delivery_id}.tlog-proof"
            path.write_text(delivery.receipt, "utf-8")
        if self._output.as_json:
            self._output.line(delivery.values())
            return
        values = delivery.values()
        wishes = values["preferences"]
        facts = ", ".join(f"{name} {_plain(value)}" for name, value in values["signal"].items() if name != "type")
        lines = [
            f"{delivery.resident_ref or '(not enrolled)'}  {delivery.sender_name}: {delivery.purpose}",
            f"    {facts}",
            f"    approach: {', '.join(wishes['channels'])}"
            + (f"; never: {', '.join(wishes['never'])}" if wishes["never"] else ""),
            f"    {delivery.explanation_nl}",
        ]
        self._output.result({}, lines)

    def _on_refusal(self, batch: str, error: RegieError) -> None:
        if not batch:
            self._output.note(f"regie: {error.message}; trying again")
            return
        self._refused += 1
        self._output.error(
            error.reason, f"delivery {batch} does not verify and is refused: {error.message}", error.field
        )

    def _on_canary(self, sighting: Sighting) -> None:
        """Say when one does not fit; else it is nobody's business here."""
        if not sighting.fits:
            self._wrong += 1
            text = f"a canary of {sighting.sender} for {sighting.purpose} came under another pseudonym than enrolled"
            self._output.error("PROOF_INVALID", f"ALARM: {text}, so others may too: see `regie canary check`")

    def _say(self) -> None:
        if self._output.as_json:
            return
        self._output.note(f"{self._received} signals received" if self._received else "nothing waits")
        if self._unresolved:
            self._output.note(
                f"{self._unresolved} of them are about nobody that is enrolled: after `regie enrol` they come again"
            )


def _plain(value: object) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value)) or "-"
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
