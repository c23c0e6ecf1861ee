"""What a resident takes along; that somebody did is in the access log (R23)."""

from __future__ import annotations

import json
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.v1 import events_pb2
from consent_ledger.viewer.capture import capture_of
from consent_ledger.viewer.context import portal_of, resident_of, viewer_of, words_of
from consent_ledger.viewer.export.everything import everything
from consent_ledger.viewer.export.proofs import PER_FILE, at_most, entries, proofs_zip
from consent_ledger.viewer.export.receipts import receipts
from consent_ledger.viewer.rendering import page

PATH = "/mijn/download"


async def show(request: Request) -> Response:
    """Show what there is to download; of a long record the files of proofs are counted off when that is asked for."""
    portal, rows = portal_of(request), resident_of(request).rows
    parts = None
    if (most := await at_most(portal, rows)) <= PER_FILE:
        parts = 1 if most else 0
    elif request.query_params.get("bewijzen") == "alle":
        parts = -(-len(await entries(portal, rows)) // PER_FILE)
    return page(request, "download.html", parts=parts)


async def all_of_it(request: Request) -> Response:
    """Send everything as JSON."""
    await _record_download(request)
    found = await everything(portal_of(request), resident_of(request).rows, viewer_of(request).clock())
    return _json(found, "regie-gegevens.json", "application/json")


async def consents(request: Request) -> Response:
    """Send a consent receipt per choice (ISO/IEC TS 27560 with DPV)."""
    await _record_download(request)
    portal, viewer = portal_of(request), viewer_of(request)
    record = await portal.record(resident_of(request).rows, limit=1)
    words, origin = words_of(request), viewer.settings.origin
    found = receipts(await portal.registry(), record.choices, words, origin, viewer.clock())
    return _json(found, "regie-toestemmingen.json", "application/ld+json")


async def proofs(request: Request) -> Response:
    """Send one file of proofs, the oldest entries in the first."""
    number: int = request.path_params["number"]
    found = await entries(portal_of(request), resident_of(request).rows)
    part = found[(number - 1) * PER_FILE : number * PER_FILE] if number else []
    if not part:
        raise HTTPException(404)
    await _record_download(request)
    readme = "\n\n".join(words_of(request).text(f"download.readme_{line}") for line in range(1, 5)) + "\n"
    content = await proofs_zip(portal_of(request), resident_of(request).rows, part, readme)
    return _attached(content, f"regie-bewijzen-{number}.zip", "application/zip")


async def _record_download(request: Request) -> None:
    await portal_of(request).view(resident_of(request).rows, capture_of(request), events_pb2.VIEW_KIND_DOWNLOAD)


def _json(value: dict[str, Any], name: str, kind: str) -> Response:
    return _attached(json.dumps(value, ensure_ascii=False, indent=2).encode(), name, kind)


def _attached(content: bytes, name: str, kind: str) -> Response:
    return Response(content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


routes = [
    Route(PATH, show, name="download"),
    Route(PATH + "/gegevens.json", all_of_it, name="download_all"),
    Route(PATH + "/toestemmingen.json", consents, name="download_consents"),
    Route(PATH + "/bewijzen-{number:int}.zip", proofs, name="download_proofs"),
]
