"""Checking without trusting the server (R24): a proof file of anybody's, the program to keep, and one's own chains."""

from __future__ import annotations

from hashlib import sha256
from urllib.parse import urlencode

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from consent_ledger.log.checkpoint import Checkpoint
from consent_ledger.log.encoding import decode_decimal
from consent_ledger.log.errors import FormatError
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.viewer.checking import program
from consent_ledger.viewer.checking.bundle import read_any
from consent_ledger.viewer.checking.chains import chain_of, chain_page
from consent_ledger.viewer.context import address, language_of, portal_of, resident_of, viewer_of
from consent_ledger.viewer.rendering import page


async def show(request: Request) -> Response:
    """Show where one checks a proof file; the program that does it stays on the device."""
    return _page(request, "", 0)


async def check(request: Request) -> Response:
    """Check a proof file here, for browsers without JavaScript."""
    async with request.form(max_files=1, max_fields=1) as form:
        sent = form.get("bewijs")
        text = await _text(sent) if isinstance(sent, UploadFile) else ""
    if not text:
        return _page(request, "none", 0)
    try:
        bundle = read_any(text)
    except FormatError:
        return _page(request, "wrong", 0)
    verdict = bundle.verdict(viewer_of(request).settings.trust)
    return _page(request, verdict, bundle.entries[0].receipt.index if bundle.entries else 0)


async def _text(sent: UploadFile) -> str:
    try:
        return (await sent.read()).decode()
    except UnicodeDecodeError:
        return "?"  # a file, and no proof


def _page(request: Request, sent: str, index: int) -> Response:
    viewer = viewer_of(request)
    file = viewer.renderer.static.content(program.STANDALONE_FILE)
    # Only keys that every browser and Go's tools know too: those of another kind are longer than a command line.
    key = next(iter(viewer.settings.trust.log_keys), "")
    command = f'regie log verify {viewer.settings.log_url or "URL"} --vkey "{key}"'
    number = viewer.words[language_of(request)].number(index)
    status = 422 if sent in ("none", "wrong") else 200
    values = {"sent": sent, "index": number, "program_hash": sha256(file).hexdigest(), "command": command}
    return page(request, "controle.html", status, **values)


async def keep(request: Request) -> Response:
    """Give the program that works without us."""
    file = viewer_of(request).renderer.static.content(program.STANDALONE_FILE)
    headers = {"Content-Disposition": f'attachment; filename="{program.STANDALONE_FILE}"'}
    return Response(file, media_type="text/html", headers=headers)


async def consistency(request: Request) -> Response:
    """Prove that the log of one size begins with that of another: what a device that remembers asks. Public."""
    try:
        old, new = (decode_decimal(request.query_params.get(name, ""), name) for name in ("van", "tot"))
    except FormatError:
        raise HTTPException(404) from None
    hashes = await portal_of(request).consistency(old, new)
    return JSONResponse({"hashes": [program.base64_of(each) for each in hashes]})


async def place(request: Request) -> Response:
    """Prove what stands at a place of the log: what the code on a paper proof is compared with. Public."""
    try:
        index = decode_decimal(request.query_params.get("nr", ""), "nr")
        portal = portal_of(request)
        note = await portal.checkpoint()
        size = Checkpoint.parse(note.partition("\n\n")[0] + "\n").size
    except FormatError:
        raise HTTPException(404) from None
    if index >= size:
        raise HTTPException(404)
    hashes = await portal.inclusion(index, size)
    return JSONResponse({"checkpoint": note, "path": [program.base64_of(each) for each in hashes]})


async def mine(request: Request) -> Response:
    """Show the check of one's own chains: here of their newest part, on the device of all."""
    count, checked, addresses = 0, True, []
    for row in _single(resident_of(request).rows):
        newest = await chain_page(portal_of(request), row)
        if newest.chain.newest_seq:
            count += len(newest.chain.links)
            checked = checked and newest.checks(viewer_of(request).settings.trust)
            addresses.append(_address(request, row, 0))
    return page(request, "controle_mijn.html", count=count, checked=checked, chains=addresses)


async def links(request: Request) -> Response:
    """Return a part of one chain with its proofs, for the program on the page."""
    row = chain_of(_single(resident_of(request).rows), request.query_params.get("keten", ""))
    before = request.query_params.get("voor", "0")
    if row is None or not (before.isascii() and before.isdigit() and len(before) < 19):
        raise HTTPException(404)
    found = await chain_page(portal_of(request), row, int(before))
    older = found.chain.next_before_index
    text = found.bundle.to_json(next=_address(request, row, older) if older else "")
    return Response(text, media_type="application/json")


def _single(rows: tuple[pb.Rows, ...]) -> list[pb.Rows]:
    """Return the rows one by one: each identifier scheme has a chain of its own."""
    return [pb.Rows(purpose=row.purpose, elements=[each]) for row in rows for each in row.elements]


def _address(request: Request, row: pb.Rows, before: int) -> str:
    rows = _single(resident_of(request).rows)
    # By number among the session's own rows: an address never names a subject.
    query = {"keten": str(rows.index(row))} | ({"voor": str(before)} if before else {})
    return f"{address(language_of(request), '/mijn/controle/keten')}?{urlencode(query)}"


routes = [
    Route("/controle", show, name="controle"),
    Route("/controle", check, methods=["POST"], name="controle_bestand"),
    Route("/controle/programma", keep, name="controle_programma"),
    Route("/controle/plaats", place, name="controle_plaats"),
    Route("/controle/samenhang", consistency, name="controle_samenhang"),
    Route("/mijn/controle", mine, name="mijn_controle"),
    Route("/mijn/controle/keten", links, name="mijn_controle_keten"),
]
