"""A13: take out what a filter chooses, or the proof of one decision; each file says what it is and of which head."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import IO

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from consent_ledger.log.proof import Receipt
from consent_ledger.registry import Registry
from gateway.auditor.console import EXPORT, Console, console_of, looked, pseudonyms_of
from gateway.auditor.exporting import LINES, Manifest, Row, pack, row_of
from gateway.auditor.filters import Filter, filter_of
from gateway.auditor.index import queries, standing
from gateway.auditor.judging import judge
from gateway.auditor.naming import naming_of
from gateway.auditor.pseudonyms import Pseudonyms
from gateway.auditor.showing import AUDIT, Menu, case_of, show

PATH = f"{AUDIT}/uitvoer"
MOST = 200_000
"""Rows of one file; of more, one takes a period after the other."""
_PAGE = 1_000
_CHUNK = 64 * 1024


async def exports(request: Request) -> Response:
    """Show what can be taken out."""
    chosen, console = filter_of(request.query_params), console_of(request)
    found = await console.ask(
        lambda connection: (
            standing.state(connection),
            queries.total(connection, chosen),
            queries.erased(connection, chosen),
        )
    )
    state, total, erased = found
    return show(
        request,
        "audit_exports.html",
        chosen=chosen,
        state=state,
        count=total - erased,
        most=MOST,
        kinds=list(LINES),
        names=naming_of(request),
    )


@looked("export", act=EXPORT)
async def take(request: Request) -> Response:
    """Give the file; 413 when it would be too long."""
    kind, chosen, console = request.path_params["kind"], filter_of(request.query_params), console_of(request)
    if kind not in LINES:
        raise HTTPException(404)
    state, total = await console.ask(
        lambda connection: (
            standing.state(connection),
            queries.total(connection, chosen) - queries.erased(connection, chosen),
        )
    )
    if total > MOST:
        raise HTTPException(413)
    manifest = _manifest(request, kind, chosen.query, state)
    name, lines = LINES[kind]
    rows = _Rows(console, chosen, asyncio.get_running_loop(), pseudonyms_of(request))
    file = await asyncio.to_thread(pack, manifest, name, lines(rows), lambda: rows.count)
    return _file(file, f"regie-{case_of(request)}-{kind}.zip")


@looked("proof", act=EXPORT, about="index")
async def proof(request: Request) -> Response:
    """Give the proof of one decision, without what opens it: salts stay at the ledger."""
    console, index = console_of(request), request.path_params["index"]
    judged = await judge(console, index)
    state = await console.ask(standing.state)
    manifest = _manifest(request, "proof", {"index": str(index)}, state)
    said = {
        "log_index": index,
        "entry": judged.proven.entry.hex(),
        "head": {"size": judged.head.size, "root": judged.head.root.hex()},
        "tlog_proof": Receipt(b"", index, tuple(judged.path), judged.checkpoint).format(),
        "published": await console.log.checkpoint(published=True),
        "agrees": judged.agrees,
    }
    file = await asyncio.to_thread(pack, manifest, "proof.json", [json.dumps(said, indent=2) + "\n"], lambda: 1)
    return _file(file, f"regie-{case_of(request)}-proof-{index}.zip")


class _Rows:
    """The rows of an export, read page by page in the console's reading thread; iterated in another thread."""

    def __init__(
        self, console: Console, chosen: Filter, loop: asyncio.AbstractEventLoop, pseudonyms: Pseudonyms
    ) -> None:
        self._console, self._chosen, self._loop, self._pseudonyms = console, chosen, loop, pseudonyms
        self._registry: Registry = console.registry()
        self.count = 0

    def __iter__(self) -> Iterator[Row]:
        before: int | None = None
        while rows := self._page(before):
            for row in rows:
                self.count += 1
                yield row_of(row, self._party, self._pseudonyms.shown)
            before = rows[-1].idx

    def _page(self, before: int | None) -> list[queries.Exchange]:
        def work(connection: Connection) -> list[queries.Exchange]:
            return queries.page(connection, self._chosen, before, _PAGE)

        return asyncio.run_coroutine_threadsafe(self._console.ask(work), self._loop).result()

    def _party(self, oin: str) -> str:
        found = self._registry.find_participant(oin)
        return found.name if found else ""


def _manifest(request: Request, kind: str, query: dict[str, str], state: standing.State) -> Manifest:
    return Manifest(
        kind=kind,
        query=query,
        case=case_of(request),
        time_ms=console_of(request).clock(),
        head_size=state.size,
        head_root=state.head_root,
        checkpoint=state.checkpoint,
    )


def _file(file: IO[bytes], name: str) -> Response:
    safe = "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in name)
    return _Download(file, {"Content-Disposition": f'attachment; filename="{safe}"', "Cache-Control": "no-store"})


class _Download(StreamingResponse):
    """A file that is closed when the answer ends, also when nobody waits for it any more."""

    def __init__(self, file: IO[bytes], headers: Mapping[str, str]) -> None:
        super().__init__(iter(partial(file.read, _CHUNK), b""), media_type="application/zip", headers=headers)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


menu = Menu(130, PATH, "exports.menu")
routes = [
    Route(PATH, exports, name="exports"),
    Route(f"{PATH}/bewijs/{{index:int}}", proof, name="proof"),
    Route(f"{PATH}/{{kind}}", take, name="export"),
]
