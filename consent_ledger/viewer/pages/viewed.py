"""Who looked at the resident's pages, per day, and what was tried and not allowed (R23)."""

from __future__ import annotations

from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2, events_pb2
from consent_ledger.viewer.catalogue import Words
from consent_ledger.viewer.context import portal_of, resident_of, words_of
from consent_ledger.viewer.rendering import page

Relations = dict[str, int]
"""References of representatives (hexadecimal), and what they are to the resident."""


class Seen(NamedTuple):
    """Somebody looked, or tried something."""

    time_ms: int
    who: str
    what: str
    log_index: int


async def show(request: Request) -> Response:
    """Show both, newest first."""
    others = await portal_of(request).others(resident_of(request).rows)
    words = words_of(request)
    relations = {each.reference.hex(): int(each.relation) for each in others.representatives}
    registry = await portal_of(request).registry()
    views = [
        _audited(words, registry, each) if each.HasField("audit") else _seen(words, relations, each)
        for each in others.views
    ]
    attempts = [_tried(words, relations, each) for each in others.attempts]
    return page(request, "viewed.html", views=views, attempts=attempts)


def who(words: Words, relations: Relations, capture: events_pb2.Capture) -> str:
    """Name somebody as far as the record knows them: never by name."""
    if capture.via != events_pb2.CAPTURED_VIA_REPRESENTATIVE:
        return words.text(f"viewed.who_{int(capture.via) or 1}", by=capture.by)
    relation = relations.get(capture.by)
    if relation is None:
        return words.text("viewed.who_5_unknown")
    return words.text("viewed.who_5", relation=words.text(f"representatives.relation_{relation}").lower())


def _seen(words: Words, relations: Relations, view: consents_pb2.ViewRecord) -> Seen:
    what = words.text(f"viewed.what_{int(view.kind)}")
    return Seen(view.time_ms, who(words, relations, view.capture), what, view.log_index)


def _audited(words: Words, registry: Registry, view: consents_pb2.ViewRecord) -> Seen:
    """An auditor looked: the organisation and its case are named, the person is known there."""
    audit = view.audit
    found = registry.find_participant(audit.auditor)
    name = found.name if found else audit.auditor
    seen_by = words.text("viewed.who_audit", name=name, case=audit.case)
    return Seen(view.time_ms, seen_by, words.text(f"viewed.what_audit_{int(audit.act)}"), view.log_index)


def _tried(words: Words, relations: Relations, record: consents_pb2.AttemptRecord) -> Seen:
    attempt = record.attempt
    what = _known(words, "viewed.attempt_", attempt.what)
    because = _known(words, "viewed.because_", attempt.reason)
    return Seen(record.time_ms, who(words, relations, attempt.capture), f"{what}. {because}", record.log_index)


def _known(words: Words, prefix: str, name: str) -> str:
    """Return a text, or that for the rest: the ledger may learn of new kinds before these pages do."""
    return words.text(prefix + name if prefix + name in words else prefix + "other")


routes = [Route("/mijn/ingezien", show, name="viewed")]
