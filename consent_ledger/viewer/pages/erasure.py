"""Have everything erased: first what disappears and what stays, then a yes in so many words, then what was done."""

from __future__ import annotations

import asyncio
from collections import Counter

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.v1 import consents_pb2
from consent_ledger.viewer.capture import capture_of
from consent_ledger.viewer.context import portal_of, resident_of, words_of
from consent_ledger.viewer.export.proofs import at_most
from consent_ledger.viewer.forms import Form, read_form
from consent_ledger.viewer.once import change_id
from consent_ledger.viewer.parties import Party, party
from consent_ledger.viewer.rendering import page
from consent_ledger.viewer.routing import needs

PATH = "/mijn/wissen"
_KINDS = {
    "consent_": "consent",
    "sharing_": "consent",
    "ask_": "consent",
    "grant_": "consent",
    "exchange_": "exchange",
    "outcome_": "exchange",
    "stop_use_": "exchange",
    "notice_": "exchange",
    "question_": "question",
    "preferences_": "contact",
    "record_viewed": "others",
    "representative_": "others",
    "presence_": "others",
    "attempt_": "others",
    "audit_": "others",
}
"""What entries are about, by how the name of their kind begins; the rest is "rest"."""


@needs("own")
async def show(request: Request) -> Response:
    """Show what would be erased; changes nothing."""
    return await _show(request, Form({}))


@needs("own")
async def erase(request: Request) -> Response:
    """Erase it, when the resident ticked that they are sure."""
    form = await read_form(request)
    form.some_of("zeker", ["ja"], least=1, error="erasure.sure_needed")
    if form.errors:
        return await _show(request, form)
    sure = words_of(request).text("erasure.sure_yes")
    erased = await portal_of(request).erase(
        resident_of(request).rows, capture_of(request, sure), change_id=change_id(request)
    )
    return page(request, "erased.html", erased=erased)


async def _show(request: Request, form: Form) -> Response:
    portal, rows = portal_of(request), resident_of(request).rows
    # Counting goes through all there is about somebody: it waits until that is asked for.
    counting = request.query_params.get("tellen") == "ja"
    preview = await portal.preview_erasure(rows) if counting else None
    return page(
        request,
        "erasure.html",
        422 if form.errors else 200,
        form=form,
        anything=await at_most(portal, rows) > 0,
        preview=preview,
        counts=_counted(preview) if preview else [],
        received=await _received(request),
    )


async def _received(request: Request) -> list[Party]:
    """Return who received something about the resident: they keep it, and only they can erase it (GDPR art. 19)."""
    portal, rows = portal_of(request), resident_of(request).rows
    registry, summary = await asyncio.gather(portal.registry(), portal.summary(rows))
    found = {party(registry, each.recipient) for each in summary.parties if each.count.shared}
    return sorted(found, key=lambda each: each.name)


def _counted(preview: consents_pb2.PreviewErasureResponse) -> list[tuple[str, int]]:
    found = Counter(_kind(each.kind) for each in preview.entries)
    order = dict.fromkeys((*_KINDS.values(), "rest"))
    return [(kind, found[kind]) for kind in order if found[kind]]


def _kind(name: str) -> str:
    return next((kind for start, kind in _KINDS.items() if name.startswith(start)), "rest")


routes = [
    Route(PATH, show, name="erasure"),
    Route(PATH, erase, methods=["POST"], name="erase"),
]
