"""One button that stops everything, on every page; here its end date, what becomes active again, and companies (R7)."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.clock import DAY_MS
from consent_ledger.dates import local_time
from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.viewer import wording
from consent_ledger.viewer.acting import allow, record_change, record_changes
from consent_ledger.viewer.context import portal_of, resident_of, viewer_of, words_of
from consent_ledger.viewer.forms import Form, read_form
from consent_ledger.viewer.rendering import done, page
from consent_ledger.viewer.routing import needs
from consent_ledger.viewer.telling import Choice, tell_choices

PATH = "/mijn/pauze"
LONGEST_MS = 366 * DAY_MS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def show(request: Request) -> Response:
    """Show whether everything is paused, and what holds when it is not."""
    return await _shown(request, Form({}))


async def _shown(request: Request, form: Form) -> Response:
    registry, record = await _record(request)
    choices = [choice for choice in _told(request, registry, record) if choice.stoppable]
    words, now_ms = words_of(request), viewer_of(request).clock()
    return page(
        request,
        "pauze.html",
        422 if form.errors else 200,
        form=form,
        paused=bool(record.paused_since_ms),
        since_ms=record.paused_since_ms,
        until_ms=record.paused_until_ms,
        choices=choices,
        companies=[choice for choice in choices if choice.private],
        wording=wording.of_resume(words) if record.paused_since_ms else wording.of_pause(words),
        first_day=_iso(now_ms + DAY_MS),
        last_day=_iso(now_ms + LONGEST_MS),
    )


async def _record(request: Request) -> tuple[Registry, pb.GetRecordResponse]:
    portal, rows = portal_of(request), resident_of(request).rows
    return await asyncio.gather(portal.registry(), portal.record(rows, limit=1))


def _told(request: Request, registry: Registry, record: pb.GetRecordResponse) -> list[Choice]:
    return tell_choices(registry, record.choices, viewer_of(request).clock())


@needs("stop")
async def change(request: Request) -> Response:
    """Pause, resume, or stop what companies take part in. A pause needs no more than its button."""
    form = await read_form(request)
    doing = {"pauze": _pause, "hervat": _resume, "bedrijven": _stop_companies}.get(form.text("doe"))
    if doing is None:
        raise HTTPException(404)
    return await doing(request, form)


async def _pause(request: Request, form: Form) -> Response:
    until_ms = _until(form, viewer_of(request).clock())
    if form.errors:
        return await _shown(request, form)
    await record_change(request, wording.of_pause(words_of(request), until_ms), pb.Pause(until_ms=until_ms))
    if until_ms:
        return done(request, PATH, "pauze.done_until", day=words_of(request).day(until_ms))
    return done(request, PATH, "pauze.done")


async def _resume(request: Request, _form: Form) -> Response:
    allow(request, "choose")
    await record_change(request, wording.of_resume(words_of(request)), pb.Resume())
    return done(request, PATH, "pauze.resumed")


async def _stop_companies(request: Request, _form: Form) -> Response:
    """Stop every choice that a company sends or receives by; each on its own, with the words of its own."""
    registry, record = await _record(request)
    found = [choice for choice in _told(request, registry, record) if choice.private and choice.stoppable]
    for choice in found:
        scope = choice.record.scope
        await record_changes(request, wording.of_stop(words_of(request), registry, scope), pb.Withdraw(scope=scope))
    return done(request, PATH, "pauze.companies_done", n=len(found))


def _until(form: Form, now_ms: int) -> int:
    """Return when the pause ends: the beginning of the chosen day in the Netherlands; 0 when none was chosen."""
    text = form.text("tot")
    if not text:
        return 0
    try:
        until_ms = midnight_ms(date.fromisoformat(text))
    except ValueError:
        form.errors["tot"] = "pauze.no_date"
        return 0
    if not now_ms < until_ms <= now_ms + LONGEST_MS:
        form.errors["tot"] = "pauze.other_date"
    return until_ms


def midnight_ms(day: date) -> int:
    """Return when a day begins in the Netherlands; the clock there never changes at midnight."""
    begins = datetime(day.year, day.month, day.day, tzinfo=UTC)
    midnight = (begins - _EPOCH) // timedelta(milliseconds=1)
    hours = local_time(midnight - 2 * 3_600_000).hour  # 0 in summer, 23 in winter
    return midnight - (2 if hours == 0 else 1) * 3_600_000


def _iso(time_ms: int) -> str:
    return local_time(time_ms).date().isoformat()


routes = [
    Route(PATH, show, name="pauze"),
    Route(PATH, change, methods=["POST"], name="pauze_anders"),
]
