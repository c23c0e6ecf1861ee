"""The proof of one entry: what it proves, files to keep, and a QR code for paper (R24)."""

from __future__ import annotations

import asyncio
import io
from base64 import urlsafe_b64encode

import segno
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.log.merkle import leaf_hash
from consent_ledger.v1 import events_pb2
from consent_ledger.verify.leaves import SALT_BYTES, commitment_entry, commitment_of
from consent_ledger.viewer.capture import capture_of
from consent_ledger.viewer.checking.bundle import Bundle
from consent_ledger.viewer.checking.proving import bundle_for
from consent_ledger.viewer.context import address, language_of, portal_of, resident_of, viewer_of, words_of
from consent_ledger.viewer.numbers import log_index
from consent_ledger.viewer.pages.uitwisselingen import entry_indices
from consent_ledger.viewer.parties import party
from consent_ledger.viewer.rendering import page
from consent_ledger.viewer.telling import tell_exchange

PATH = "/mijn/uitwisselingen/{nr}/bewijs"
"""Choices have proofs as well: ``nr`` is the log index of any entry about the resident."""


async def show(request: Request) -> Response:
    """Show what is proven about one entry, and how somebody else can check it."""
    portal, rows = portal_of(request), resident_of(request).rows
    number = log_index(request.path_params["nr"])
    registry, entry = await asyncio.gather(portal.registry(), portal.entry(rows, number))
    bundle = await bundle_for(portal, rows, entry_indices(entry))
    leaf = _leaf(bundle, number)
    link = _link(request, number, leaf)
    exchange = entry.HasField("exchange") and entry.exchange.log_index == number
    scope = getattr(getattr(entry.entry.event, entry.entry.kind, None), "scope", None)
    return page(
        request,
        "bewijs.html",
        nr=number,
        event=entry.entry,
        exchange=tell_exchange(registry, entry.exchange, viewer_of(request).clock()) if exchange else None,
        parties=(party(registry, scope.sender), party(registry, scope.recipient)) if scope else (),
        bundle=bundle,
        leaf=leaf.hex(),
        qr=_qr(link, words_of(request).text("bewijs.qr", number=words_of(request).number(number))),
        link=link,
    )


def _leaf(bundle: Bundle, number: int) -> bytes:
    """Return the leaf hash of an entry (RFC 6962): what anybody can compare with the public log. b"" without proof."""
    for each in bundle.entries:
        if each.receipt.index == number:
            salt, event = each.receipt.extra[:SALT_BYTES], each.receipt.extra[SALT_BYTES:]
            return leaf_hash(commitment_entry(commitment_of(salt, event)))
    return b""


def _link(request: Request, number: int, leaf: bytes) -> str:
    """Return what the QR code says: where one checks, and which entry. The part after # never reaches a server."""
    code = urlsafe_b64encode(leaf).decode().rstrip("=")
    return f"{viewer_of(request).settings.origin}{address(language_of(request), '/controle')}#{number}.{code}"


def _qr(text: str, title: str) -> Markup:
    """Draw a QR code, dark on light in every colour scheme, because a camera has to read it."""
    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        out, kind="svg", xmldecl=False, svgns=False, omitsize=True, border=4, light="#fff", title=title, svgclass="qr"
    )
    svg = out.getvalue().decode().replace("<svg", '<svg role="img"', 1)
    return Markup(svg)  # noqa: S704  (segno escapes the title; all else is numbers)


async def keep_proof(request: Request) -> Response:
    """Give the proof as a c2sp.org/tlog-proof file, which any tool for such logs can check."""
    number = log_index(request.path_params["nr"])
    await _recorded(request)
    found = await portal_of(request).proof(resident_of(request).rows, number)
    return _file(found.proof, f"regie-bewijs-{number}.tlog-proof", "text/plain; charset=utf-8")


async def keep_bundle(request: Request) -> Response:
    """Give the proof with everything that the words rest on, names included; the page /controle reads it."""
    portal, rows = portal_of(request), resident_of(request).rows
    number = log_index(request.path_params["nr"])
    await _recorded(request)
    bundle = await bundle_for(portal, rows, entry_indices(await portal.entry(rows, number)))
    return _file(bundle.to_json(), f"regie-bewijs-{number}.json", "application/json")


async def _recorded(request: Request) -> None:
    """Record that somebody takes a file along, before it is given (R23)."""
    await portal_of(request).view(resident_of(request).rows, capture_of(request), events_pb2.VIEW_KIND_DOWNLOAD)


def _file(content: str, name: str, kind: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(content, media_type=kind, headers=headers)


routes = [
    Route(PATH, show, name="bewijs"),
    Route(f"{PATH}/tlog-proof", keep_proof, name="bewijs_bestand"),
    Route(f"{PATH}/json", keep_bundle, name="bewijs_namen"),
]
