"""A3: one decision: what was asked, which rule decided, by which events, what the resident reads, and its proof."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.decide import RULES_IN_ORDER
from consent_ledger.log.errors import VerificationError
from consent_ledger.viewer.context import language_of
from gateway.auditor.console import Console, console_of, looked, pseudonyms_of
from gateway.auditor.index import queries, states
from gateway.auditor.judging import Judged, judge
from gateway.auditor.loghead import log_keys
from gateway.auditor.naming import naming_of
from gateway.auditor.showing import AUDIT, show
from gateway.witness.quorum import quorum_of

PATH = f"{AUDIT}/beslissing/{{index:int}}"


@looked("decision", about="index")
async def decision(request: Request) -> Response:
    """Show it; the resident reads that somebody looked."""
    console, index = console_of(request), request.path_params["index"]
    judged = await judge(console, index)
    row = await console.ask(lambda connection: queries.exchange(connection, index))
    registry = judged.registry
    body = judged.entry.event.exchange_decided
    purpose = registry.find_purpose(body.purpose)
    language = language_of(request)
    return show(
        request,
        "audit_decision.html",
        judged=judged,
        index=index,
        body=body,
        row=row,
        deciding=_deciding(judged),
        names=naming_of(request),
        shown=pseudonyms_of(request).shown(judged.resident),
        items=[getattr(purpose.label(item), language) if purpose else item for item in body.items],
        told=getattr(judged.told, language),
        not_asked=_not_asked(judged),
        state_names=states.STATES,
        witnesses=await _witnesses(console, index),
    )


def _not_asked(judged: Judged) -> list[int]:
    """Return the rules behind the one that decided."""
    reached = {rule.reason for rule in judged.rules}
    return [reason for reason in RULES_IN_ORDER if reason not in reached]


def _deciding(judged: Judged) -> list[tuple[int, str, int]]:
    """Return the entries that decided: index, kind, time; those erased since with neither."""
    known = {one.index: one for one in judged.deciding}
    found = []
    for index in judged.entry.private.decided_by:
        event = known[index].event if index in known else None
        found.append((index, str(event.WhichOneof("body")) if event else "", event.time_ms if event else 0))
    return found


async def _witnesses(console: Console, index: int) -> dict[str, Any]:
    """Return who cosigned the newest published checkpoint, and whether it covers this entry."""
    note, quorum = await console.log.checkpoint(published=True), quorum_of(console.home)
    try:
        size = quorum.open(note, log_keys(console)).size
    except VerificationError:
        return {"size": 0, "names": [], "covers": False, "needed": quorum.needed}
    return {"size": size, "names": sorted(quorum.cosigned(note)), "covers": index < size, "needed": quorum.needed}


routes = [Route(PATH, decision, name="decision")]
