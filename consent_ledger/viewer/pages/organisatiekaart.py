"""One card per organisation: what it received, what it may receive, and what it may not (R12)."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.purpose import Text
from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.viewer import wording
from consent_ledger.viewer.acting import record_change
from consent_ledger.viewer.context import portal_of, resident_of, viewer_of, words_of
from consent_ledger.viewer.forms import read_form
from consent_ledger.viewer.parties import Party, party
from consent_ledger.viewer.rendering import done, page
from consent_ledger.viewer.routing import needs
from consent_ledger.viewer.telling import Choice, tell_choices, tell_exchanges, title_of

NEWEST = 3


class Line(NamedTuple):
    """What one organisation had to do with another, for a purpose."""

    other: Party
    title: Text
    shared: int
    blocked: int
    waiting: int
    newest_ms: int


async def card(request: Request) -> Response:
    """Show one organisation as this resident sees it."""
    portal, rows, now_ms = portal_of(request), resident_of(request).rows, viewer_of(request).clock()
    oin = request.path_params["oin"]
    registry = await portal.registry()
    if registry.find_participant(oin) is None:
        raise HTTPException(404)
    record, summary = await asyncio.gather(portal.record(rows, limit=NEWEST, organisation=oin), portal.summary(rows))
    choices = _choices(registry, record, oin, now_ms)
    sent, received = _lines(registry, summary, oin)
    return page(
        request,
        "organisatiekaart.html",
        party=party(registry, oin),
        sent=sent,
        received=received,
        may=[choice for choice in choices if choice.stoppable],
        may_not=[choice for choice in choices if not choice.stoppable],
        prohibited=[purpose for purpose in registry.purposes if purpose.prohibited and not purpose.retired],
        newest=tell_exchanges(registry, record, now_ms),
        paused=bool(record.paused_since_ms),
    )


def _choices(registry: Registry, record: pb.GetRecordResponse, oin: str, now_ms: int) -> list[Choice]:
    found = [each for each in record.choices if oin in (each.scope.sender, each.scope.recipient)]
    return tell_choices(registry, found, now_ms)


def _lines(registry: Registry, summary: pb.GetSummaryResponse, oin: str) -> tuple[list[Line], list[Line]]:
    """Return what it sent, or wanted to send, and what it received, or would have."""
    sent: list[Line] = []
    received: list[Line] = []
    for each in summary.parties:
        if oin in (each.sender, each.recipient):
            other = party(registry, each.recipient if each.sender == oin else each.sender)
            title = title_of(registry.find_purpose(each.purpose), each.purpose)
            line = Line(other, title, each.count.shared, each.count.blocked, each.count.waiting, each.newest_ms)
            (sent if each.sender == oin else received).append(line)
    return sent, received


@needs("stop")
async def stop(request: Request) -> Response:
    """Stop every choice that this organisation takes part in."""
    form = await read_form(request)
    oin = request.path_params["oin"]
    portal, rows = portal_of(request), resident_of(request).rows
    registry, record = await asyncio.gather(portal.registry(), portal.record(rows, limit=1))
    if form.text("doe") != "stop" or registry.find_participant(oin) is None:
        raise HTTPException(404)
    found = [each for each in _choices(registry, record, oin, viewer_of(request).clock()) if each.stoppable]
    for choice in found:
        scope = choice.record.scope
        await record_change(request, wording.of_stop(words_of(request), registry, scope), pb.Withdraw(scope=scope))
    return done(request, f"/mijn/organisaties/{oin}", "organisatiekaart.stopped", n=len(found))


routes = [
    Route("/mijn/organisaties/{oin}", card, name="organisatiekaart"),
    Route("/mijn/organisaties/{oin}", stop, methods=["POST"], name="organisatiekaart_stop"),
]
