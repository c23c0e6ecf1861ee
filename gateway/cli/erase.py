"""`regie consent erase`: what the ledger holds about a resident, gone for good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.common import HOME, PORTALS, AsOption, HomeOption, JsonOption, day, moment, work
from gateway.cli.consent import LanguageOption, ResidentOption, ViaOption
from gateway.cli.output import OK, Output

if TYPE_CHECKING:
    from consent_ledger.v1 import consents_pb2
    from gateway.sdk.agency import Agency


def erase(
    *,
    resident: ResidentOption,
    purpose: Annotated[
        list[str] | None, typer.Option(help="Only what concerns this purpose; may be given several times.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Erase. Without it, nothing changes.")] = False,
    via: ViaOption = "web",
    language: LanguageOption = "nl",
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Erase what the ledger holds about a resident: choices, exchanges, refusals. Without --yes, only show what goes.

    Nothing that was chosen before counts any more, so nothing is shared until the resident chooses anew. What a
    recipient received already is with that recipient. The log stays whole, and says that entries went, but not whose.

    `regie consent erase --resident me.csv`, then the same with `--yes`
    """
    output = Output(as_json=json)
    purposes = tuple(purpose or ())

    async def do(agency: Agency) -> int:
        from gateway.sdk.choices import CAPTURES
        from gateway.sdk.importfile import read_resident

        who = read_resident(resident, agency.clock())
        erasing = agency.erasing()
        if not yes:
            _show(output, await erasing.preview(who, purposes))
            return OK
        receipt = await erasing.erase(who, purposes, via=CAPTURES[via], language=language)
        _tell(output, receipt)
        return OK

    work(output, home, oin, PORTALS, do)


def _show(output: Output, found: consents_pb2.PreviewErasureResponse) -> None:
    values = {
        "dry_run": True,
        "entries": [_entry(entry) for entry in found.entries],
        "kept": [_entry(entry) for entry in found.kept],
        "waiting": found.waiting,
    }
    output.table("Would go", ("what", "how many", "from", "to"), _by_kind(found.entries))
    output.table("Would stay: about another purpose too", ("what", "how many", "from", "to"), _by_kind(found.kept))
    lines = [] if found.entries else ["The ledger holds nothing about this resident that could be erased."]
    if found.waiting:
        lines.append(f"{found.waiting} permitted signals that were not fetched yet can then no longer be opened.")
    if found.entries:
        lines.append("Nothing was changed. Say --yes to erase; nobody can undo it.")
    output.result(values, lines)


def _tell(output: Output, receipt: consents_pb2.EraseReceipt) -> None:
    erased = receipt.erased
    values = {
        "dry_run": False,
        "erased": erased.entries,
        "kept": erased.kept,
        "log_indices": list(erased.log_indices),
        "announced_by": moment(erased.announced_by_ms) or None,
        "checkpoint": receipt.checkpoint,
    }
    if erased.entries:
        by = day(erased.announced_by_ms)
        lines = [f"done: {erased.entries} entries erased, signed by the ledger; the log announces them by {by}"]
    else:
        lines = ["The ledger holds nothing about this resident that could be erased."]
    if erased.kept:
        lines.append(f"{erased.kept} entries stay, because they are about another purpose too.")
    output.result(values, lines)


def _entry(entry: consents_pb2.ErasableEntry) -> dict[str, Any]:
    return {"log_index": entry.log_index, "time": moment(entry.time_ms), "kind": entry.kind}


def _by_kind(entries: Iterable[consents_pb2.ErasableEntry]) -> list[tuple[object, ...]]:
    """Return (kind, count, first day, last day), the kinds in the order of their first entry."""
    listed = list(entries)
    counts = Counter(entry.kind for entry in listed)
    days = {kind: [day(entry.time_ms) for entry in listed if entry.kind == kind] for kind in counts}
    return [(kind.replace("_", " "), count, days[kind][0], days[kind][-1]) for kind, count in counts.items()]
