"""What was shared about the resident, and what was blocked: the list, and each exchange with its why (R15, R18-R20)."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.errors import RegieError
from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2, events_pb2
from consent_ledger.viewer.capture import capture_of
from consent_ledger.viewer.checking.proving import bundle_for
from consent_ledger.viewer.context import portal_of, resident_of, viewer_of
from consent_ledger.viewer.numbers import log_index
from consent_ledger.viewer.parties import Party, party
from consent_ledger.viewer.rendering import go, page
from consent_ledger.viewer.telling import CAN_CHOOSE, Exchange, tell_exchange, tell_exchanges
from consent_ledger.viewer.wordingthen import words_then

PAGE = 10
"""Exchanges on one page: fewer than fill a telephone three times."""
CHOICES = frozenset({"consent_granted", "consent_refused", "consent_withdrawn"})


async def listed(request: Request) -> Response:
    """Show exchanges, newest first, a page at a time, of one organisation or purpose when asked."""
    portal, resident = portal_of(request), resident_of(request)
    query = request.query_params
    before = log_index(query.get("voor") or "0")
    registry = await portal.registry()
    organisation = query.get("wie", "") if registry.find_participant(query.get("wie", "")) else ""
    purpose = query.get("doel", "") if registry.find_purpose(query.get("doel", "")) else ""
    record = await portal.record(
        resident.rows, limit=PAGE, before_index=before, organisation=organisation, purpose=purpose
    )
    chosen = {name: value for name, value in (("wie", organisation), ("doel", purpose)) if value}
    return page(
        request,
        "uitwisselingen.html",
        exchanges=tell_exchanges(registry, record, viewer_of(request).clock()),
        organisations=_organisations(registry),
        purposes=[(purpose.id, purpose.title) for purpose in registry.purposes],
        chosen={"wie": organisation, "doel": purpose},
        newest=chosen,
        before=before,
        older={**chosen, "voor": record.next_before_index} if record.next_before_index else {},
    )


def _organisations(registry: Registry) -> list[Party]:
    """Return who can send or receive: the filter offers these to everybody, so that it tells nothing."""
    taking_part = {kind for purpose in registry.purposes for kind in (*purpose.sender_kinds, *purpose.recipient_kinds)}
    kinds = taking_part - {"gateway", "pseudonyms", "ledger", "viewer"}
    found = [party(registry, each.oin) for each in registry.participants if each.kind in kinds]
    return sorted(found, key=lambda each: each.name)


def entry_indices(entry: consents_pb2.GetEntryResponse) -> list[int]:
    """Return every entry that the words about this one rest on: itself, what decided it, what followed."""
    found = [entry.entry, *entry.deciding, *entry.followed]
    return list(dict.fromkeys(each.log_index for each in found))


class Deciding(NamedTuple):
    """An event that decided an exchange: a choice, pause or answer of the resident, or an earlier signal."""

    record: consents_pb2.EntryEvent
    capture: events_pb2.Capture
    words: str
    """The words the resident saw then; "" when they are not among ours any more."""
    language: str


async def detail(request: Request) -> Response:
    """Show one exchange; a choice that was asked for by its number has a page of its own."""
    portal, rows = portal_of(request), resident_of(request).rows
    number = log_index(request.path_params["nr"])
    registry, entry = await asyncio.gather(portal.registry(), portal.entry(rows, number))
    if not entry.HasField("exchange"):
        if entry.entry.kind in CHOICES:
            return go(request, f"/mijn/toestemmingen/{number}")
        raise HTTPException(404)
    if entry.exchange.log_index != number:
        return go(request, f"/mijn/uitwisselingen/{entry.exchange.log_index}")
    exchange = tell_exchange(registry, entry.exchange, viewer_of(request).clock())
    return page(
        request,
        "uitwisseling.html",
        exchange=exchange,
        deciding=[await _deciding(request, registry, event) for event in entry.deciding],
        grant=_grant(entry),
        copy=await _copy(request, exchange),
        can_choose=exchange.record.reason in CAN_CHOOSE and not exchange.record.withheld_reason,
        bundle=await bundle_for(portal, rows, entry_indices(entry)),
        because=_because(registry, exchange),
    )


async def _deciding(request: Request, registry: Registry, event: consents_pb2.EntryEvent) -> Deciding:
    body = getattr(event.event, event.kind, None)
    capture = body.capture if body is not None and "capture" in body.DESCRIPTOR.fields_by_name else events_pb2.Capture()
    found = await words_then(request, registry, event)
    language, text = found or ("", "")
    return Deciding(event, capture, text, language)


def _grant(entry: consents_pb2.GetEntryResponse) -> events_pb2.ConsentGranted | None:
    """Return the consent that an exchange went by: since when and until when (R15)."""
    grants = [event.event.consent_granted for event in entry.deciding if event.kind == "consent_granted"]
    return grants[-1] if grants else None


def _because(registry: Registry, exchange: Exchange) -> str:
    """Return the part of the text that says why, for reasons that are about no choice of the resident."""
    reason = exchange.record.withheld_reason or exchange.record.reason
    if reason == events_pb2.REASON_PURPOSE_PROHIBITED:
        prohibited = registry.find_purpose(exchange.record.purpose)
        return "prohibited" if prohibited and prohibited.prohibited else "inferred"
    return ""


async def _copy(request: Request, exchange: Exchange) -> consents_pb2.SignalCopy | None:
    """Return the resident's own copy of what was shared, once it is recorded that somebody looks (R18, R23)."""
    if exchange.kind not in ("shared", "waiting"):
        return None
    portal, rows = portal_of(request), resident_of(request).rows
    await portal.view(rows, capture_of(request), events_pb2.VIEW_KIND_COPY)
    try:
        return await portal.copy(rows, exchange.record.log_index)
    except RegieError as error:
        if error.reason in ("COPY_GONE", "GATEWAY_UNAVAILABLE"):
            return None  # the page says so; all else on it is there
        raise


routes = [
    Route("/mijn/uitwisselingen", listed, name="uitwisselingen"),
    Route("/mijn/uitwisselingen/{nr}", detail, name="uitwisseling"),
]
