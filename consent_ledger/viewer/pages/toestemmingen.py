"""The resident's choices: the list, and each with all there is to know before keeping or stopping it (R5, R15)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.v1 import events_pb2
from consent_ledger.viewer import wording
from consent_ledger.viewer.acting import record_change
from consent_ledger.viewer.checking.proving import bundle_for
from consent_ledger.viewer.context import portal_of, resident_of, viewer_of, words_of
from consent_ledger.viewer.forms import read_form
from consent_ledger.viewer.numbers import log_index
from consent_ledger.viewer.rendering import done, page
from consent_ledger.viewer.routing import needs
from consent_ledger.viewer.telling import Choice, same_parties, tell_choice, tell_choices, tell_exchanges
from consent_ledger.viewer.wordingthen import words_then

GROUPS = (("attention", ("confirm", "ends")), ("allowed", ("active", "starts")), ("no", ("no",)))
"""Which states are shown together, in this order; what is over comes last."""
OVER = ("stopped", "ended")
NEWEST = 3


async def listed(request: Request) -> Response:
    """Show every choice as it stands."""
    portal, rows, now_ms = portal_of(request), resident_of(request).rows, viewer_of(request).clock()
    registry, record = await asyncio.gather(portal.registry(), portal.record(rows, limit=1))
    choices = tell_choices(registry, record.choices, now_ms)
    groups = [(name, [choice for choice in choices if choice.state in states]) for name, states in GROUPS]
    return page(
        request,
        "toestemmingen.html",
        groups=[(name, found) for name, found in groups if found],
        over=[choice for choice in choices if choice.state in OVER],
        companies=[choice for choice in choices if choice.private and choice.stoppable],
        paused=bool(record.paused_since_ms),
    )


async def detail(request: Request) -> Response:
    """Show one choice: the one that counts now, or an older one as it was."""
    portal, rows, now_ms = portal_of(request), resident_of(request).rows, viewer_of(request).clock()
    number = log_index(request.path_params["id"])
    registry, entry = await asyncio.gather(portal.registry(), portal.entry(rows, number))
    scope = _scope(entry.entry)
    record = await portal.record(rows, limit=NEWEST, organisation=scope.recipient, purpose=scope.purpose)
    current = _current(record.choices, scope)
    shown = _shown(registry, current, entry.entry, now_ms)
    found = await words_then(request, registry, entry.entry)
    exchanges = [each for each in tell_exchanges(registry, record, now_ms) if each.record.sender == scope.sender]
    return page(
        request,
        "toestemming.html",
        choice=shown,
        number=number,
        newer=current if current and number not in (current.log_index, current.withdrawn_index) else None,
        words=found,
        capture=_body(entry.entry).capture,
        stopping=wording.of_stop(words_of(request), registry, scope) if shown.stoppable else "",
        exchanges=exchanges,
        bundle=await bundle_for(portal, rows, _proven(number, current)),
        notices=[each for each in record.notices if current and each.because_index == current.withdrawn_index],
        paused=bool(record.paused_since_ms),
    )


def _proven(number: int, current: pb.ChoiceRecord | None) -> list[int]:
    """Return the entries that the page's words are of."""
    mine = (number, current.log_index, current.withdrawn_index) if current else (number,)
    return [index for index in dict.fromkeys(mine) if index]


def _body(event: pb.EntryEvent) -> events_pb2.ConsentGranted:
    """Return what a choice says; its other kinds have the same scope and capture."""
    body: events_pb2.ConsentGranted = getattr(event.event, event.kind)
    return body


def _scope(event: pb.EntryEvent) -> events_pb2.Scope:
    """Return whom a choice is about; raises HTTPException 404 when the entry is no choice."""
    if event.kind not in ("consent_granted", "consent_refused", "consent_withdrawn"):
        raise HTTPException(404)
    return _body(event).scope


def _current(choices: Iterable[pb.ChoiceRecord], scope: events_pb2.Scope) -> pb.ChoiceRecord | None:
    return next((choice for choice in choices if same_parties(choice.scope, scope)), None)


def _shown(registry: Registry, current: pb.ChoiceRecord | None, event: pb.EntryEvent, now_ms: int) -> Choice:
    """Tell the choice that counts now when the entry is of it, else the entry as it was written."""
    if current and event.log_index in (current.log_index, current.withdrawn_index):
        return tell_choice(registry, current, now_ms)
    body = _body(event)
    record = pb.ChoiceRecord(scope=body.scope, mode=_mode(event), recorded_ms=event.time_ms, log_index=event.log_index)
    if event.kind == "consent_granted":
        record.items.extend(body.items)
        record.valid_from_ms, record.valid_until_ms, record.threshold = (
            body.valid_from_ms,
            body.valid_until_ms,
            body.threshold,
        )
    if event.kind == "consent_withdrawn":
        record.withdrawn_ms = event.time_ms
    return tell_choice(registry, record, now_ms)._replace(replaced=True)


def _mode(event: pb.EntryEvent) -> events_pb2.Mode.ValueType:
    match event.kind:
        case "consent_granted":
            return event.event.consent_granted.mode
        case "consent_refused":
            return events_pb2.MODE_NEE
        case _:
            return events_pb2.MODE_UNSPECIFIED


@needs("stop")
async def stop(request: Request) -> Response:
    """Stop a choice: one button, no reason asked, and no screen in between (R5)."""
    form = await read_form(request)
    portal, rows = portal_of(request), resident_of(request).rows
    number = log_index(request.path_params["id"])
    registry, entry = await asyncio.gather(portal.registry(), portal.entry(rows, number))
    scope = _scope(entry.entry)
    if form.text("doe") != "stop":
        raise HTTPException(404)
    await record_change(request, wording.of_stop(words_of(request), registry, scope), pb.Withdraw(scope=scope))
    return done(request, f"/mijn/toestemmingen/{number}", "toestemmingen.stopped")


routes = [
    Route("/mijn/toestemmingen", listed, name="toestemmingen"),
    Route("/mijn/toestemmingen/{id}", detail, name="toestemming"),
    Route("/mijn/toestemmingen/{id}", stop, methods=["POST"], name="toestemming_stop"),
]
