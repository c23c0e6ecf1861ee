"""`regie ldv`: the processing log (Logboek Dataverwerkingen) of whoever's keys this home holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.common import HOME, AsOption, HomeOption, JsonOption, moment, reporting, run
from gateway.cli.output import FAILED, OK, UNAVAILABLE, Output
from gateway.home import Home, HomeError

if TYPE_CHECKING:
    from gateway.ldv.here import Shelf

app = typer.Typer(no_args_is_help=True, help="The processing log (Logboek Dataverwerkingen): docs/ldv.md.")
_SHOWN = 20


@app.command()
def status(*, oin: AsOption = None, home: HomeOption = HOME, json: JsonOption = False) -> None:
    """Say how many records of processing were exported, how many wait, and whether all are accounted for.

    Of the ledger they are compared with what its own tables hold. Exit code 1 when records are missing.

    `regie ldv status`, `regie ldv status --as 00000099000000000021 --json`
    """
    output = Output(as_json=json)
    with reporting(output):
        code = run(_status(output, Home.open(home), oin))
    if code:
        raise typer.Exit(code)


@app.command()
def export(
    file: Annotated[
        Path | None, typer.Argument(help="A new file for OTLP/JSON lines; without it: to the endpoint of regie.toml.")
    ] = None,
    *,
    everything: Annotated[
        bool,
        typer.Option(
            "--all", help="All that was not erased, from the beginning; what counts as exported stays as it is."
        ),
    ] = False,
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Export the records that wait, in order; afterwards they count as exported.

    To a file, or to the collector that `[ldv] endpoint` in regie.toml names. A ledger that runs does the latter by
    itself. What a crash leaves is exported again, under the same ids: a collector keeps each record once.

    `regie ldv export records.jsonl`, `regie ldv export --as 00000099000000000021`
    """
    output = Output(as_json=json)
    with reporting(output):
        opened = Home.open(home)
        code = run(_export(output, opened, oin, file, everything=everything))
    if code:
        raise typer.Exit(code)


@app.command()
def register(*, home: HomeOption = HOME, json: JsonOption = False) -> None:
    """Show the register of processing activities that records refer to, every version.

    `regie ldv register`, `regie ldv register --json`
    """
    from consent_ledger.processing import PATH, REGISTER
    from gateway.ldv.settings import LdvSettings

    output = Output(as_json=json)
    with reporting(output):
        settings = LdvSettings.of(Home.open(home))
    rows = [(one.id, one.version, one.party, one.title.nl) for one in REGISTER]
    output.table(f"Published at {settings.register}{PATH}/ID/VERSION", ("id", "version", "by", "title"), rows)
    if json:
        values = [{**one.document(), "uri": settings.uri(one)} for one in REGISTER]
        output.result({"register": f"{settings.register}{PATH}", "activities": values}, [])


async def _status(output: Output, home: Home, oin: str | None) -> int:
    from gateway.ldv.book import LdvError
    from gateway.ldv.here import keepers, open_shelf
    from gateway.ldv.settings import LdvSettings

    settings, told = LdvSettings.of(home), []
    for each in [oin] if oin else keepers(home):
        with open_shelf(home, each) as shelf:
            try:
                told.append(await _told(home, shelf))
            except LdvError as error:
                output.error("PROOF_INVALID", str(error))
                return FAILED
    rows = [
        (one["oin"], book["book"], book["exported"], book["pending"], len(book["set_aside"]), book["problem"] or "yes")
        for one in told
        for book in one["books"]
    ]
    title = f"Processing log: {settings.endpoint or 'no endpoint, records wait'}"
    output.table(title, ("organisation", "book", "exported", "waiting", "set aside", "all there"), rows)
    output.result({"endpoint": settings.endpoint, "organisations": told}, list(_lines(told, settings.endpoint)))
    return FAILED if any(book["problem"] for one in told for book in one["books"]) else OK


async def _told(home: Home, shelf: Shelf) -> dict[str, Any]:
    """Return what is to be said about the books of one organisation; raises LdvError."""
    from gateway.ldv.count import account, missing
    from gateway.ldv.ledgerbook import LedgerBook
    from gateway.ldv.state import State

    books: list[dict[str, Any]] = []
    with State.open(shelf.organisation) as state:
        trouble = await state.trouble()
        for book in shelf.books:
            standing, count = await state.standing(book), await state.count(book)
            held, problem = {}, None
            if isinstance(book, LedgerBook):
                book.read(standing)  # says whether the cursor can be one of this ledger
                below, pending = account(home.ledger, count)
                held, problem = {"held": {**below.kinds, "erased": below.gone}}, missing(count, below)
            else:
                pending = book.pending(standing)
            aside = [{"place": one.place, "why": one.why} for one in count.set_aside]
            values = {"book": book.name, "exported": count.exported, "without_subject": count.anonymous}
            books.append({**values, "pending": pending, "set_aside": aside, "problem": problem, **held})
    last = {"why": trouble[0], "at": moment(trouble[1])} if trouble else None
    return {"oin": shelf.organisation.oin, "books": books, "trouble": last}


def _lines(told: list[dict[str, Any]], endpoint: str | None) -> list[str]:
    lines = []
    for one in told:
        if one["trouble"]:
            lines.append(f"{one['oin']}: {one['trouble']['why']} ({one['trouble']['at']}); it is tried again")
        for book in one["books"]:
            places = [f"{refused['place']} ({refused['why']})" for refused in book["set_aside"]]
            more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
            if places:
                lines.append(f"{one['oin']} {book['book']}: set aside: {', '.join(places[:_SHOWN])}{more}")
    waiting = [one["oin"] for one in told if any(book["pending"] for book in one["books"])]
    if waiting and not endpoint:
        lines.append("Records wait. To export them:")
        lines += [f"  regie ldv export FILE --as {each}" for each in waiting]
        lines.append('or name a collector in regie.toml: [ldv] endpoint = "https://HOST/v1/traces" (docs/ldv.md)')
    return lines


async def _export(output: Output, home: Home, oin: str | None, file: Path | None, *, everything: bool) -> int:
    from contextlib import AsyncExitStack

    from consent_ledger.clock import system_clock
    from gateway.ldv.book import LdvError
    from gateway.ldv.collector import CollectorDown, LinesFile, open_collector
    from gateway.ldv.follow import Again
    from gateway.ldv.here import keeper, open_shelf
    from gateway.ldv.settings import LdvSettings
    from gateway.ldv.state import State

    settings = LdvSettings.of(home)
    if file is None and settings.endpoint is None:
        raise HomeError("regie.toml names no [ldv] endpoint: name a file to export to (docs/ldv.md)")
    async with AsyncExitStack() as stack:
        shelf = stack.enter_context(open_shelf(home, keeper(home, oin)))
        state = Again() if everything else stack.enter_context(State.open(shelf.organisation))
        if file is not None:
            target: Any = LinesFile.create(file)
            stack.callback(target.close)
        else:
            target = await stack.enter_async_context(open_collector(str(settings.endpoint), system_clock))
        try:
            counts = await _books(output, shelf, state, target)
        except CollectorDown as down:
            output.error("OVERLOADED", down.why)
            return UNAVAILABLE
        except LdvError as error:
            output.error("PROOF_INVALID", str(error))
            return FAILED
    where = str(file or settings.endpoint)
    lines = [f"{count} records of {name} exported to {where}" for name, count in counts.items()]
    output.result({"exported": counts, "to": where}, lines)
    return OK


async def _books(output: Output, shelf: Shelf, state: Any, target: Any) -> dict[str, int]:
    from concurrent.futures import ThreadPoolExecutor

    from gateway.ldv.follow import Exporter, export_all

    counts: dict[str, int] = {}
    with ThreadPoolExecutor(1) as thread, output.progress("exporting") as progress:
        for book in shelf.books:
            exporter = Exporter(book, state, thread)
            counts[book.name] = await export_all(exporter, target, lambda done: progress(done, done))
    return counts
