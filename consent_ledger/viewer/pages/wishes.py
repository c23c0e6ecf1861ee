"""How to approach the resident: what counts now, one screen per part, and exactly what a recipient gets (R26-R35)."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.v1 import consents_pb2, events_pb2
from consent_ledger.viewer import wishes, wishestold
from consent_ledger.viewer.acting import record_change
from consent_ledger.viewer.context import portal_of, resident_of, viewer_of, words_of
from consent_ledger.viewer.forms import Form, read_form
from consent_ledger.viewer.rendering import done, page
from consent_ledger.viewer.telling import tell_choices

PATH = "/mijn/contact"


async def _record(request: Request) -> consents_pb2.GetRecordResponse:
    return await portal_of(request).record(resident_of(request).rows, limit=1)


async def show(request: Request) -> Response:
    """Show what counts now and what travels with a signal; ``?voor=`` chooses the consent of the example sentence."""
    record = await _record(request)
    preferences, chosen = wishes.current(record)
    told = tell_choices(await portal_of(request).registry(), record.choices, viewer_of(request).clock())
    previews = wishes.previews(told, preferences)
    wanted = request.query_params.get("voor", "")
    preview = next((each for each in previews if each.key == wanted), previews[0] if previews else None)
    return page(
        request,
        "wishes.html",
        preferences=preferences,
        chosen=chosen,
        told=wishestold.tell(words_of(request), preferences, chosen=chosen),
        offered={each.key: wishestold.channels(words_of(request), each.choice.recipient.channels) for each in previews},
        lines=wishestold.lines(words_of(request), preferences),
        previews=previews,
        preview=preview,
        message=wishes.as_message(preferences),
    )


async def part(request: Request) -> Response:
    """Show one part to fill in."""
    preferences, chosen = wishes.current(await _record(request))
    return _show_part(request, preferences, wishes.fields(preferences, chosen=chosen))


async def save(request: Request) -> Response:
    """Record the preferences with this part changed."""
    preferences, _ = wishes.current(await _record(request))
    form = await read_form(request)
    wanted = events_pb2.Preferences()
    wanted.CopyFrom(preferences)
    wishes.PARTS[_name(request)](form, wanted)
    if form.errors:
        return _show_part(request, preferences, form)
    await record_change(request, "", wanted)
    return done(request, PATH, "wishes.done")


def _show_part(request: Request, preferences: events_pb2.Preferences, form: Form) -> Response:
    words = words_of(request)
    return page(
        request,
        "wishes_part.html",
        422 if form.errors else 200,
        part=_name(request),
        form=form,
        channels=wishes.CHANNELS,
        ranks=wishes.RANKS,
        quiet=wishes.QUIET,
        days=[(value, wishestold.days(words, int(value))) for value in wishes.offered_days(preferences)],
        caps=[(value, wishestold.cap(words, int(value))) for value in wishes.offered_caps(preferences)],
        details=wishes.DETAILS,
    )


def _name(request: Request) -> str:
    name: str = request.path_params["part"]
    if name not in wishes.PARTS:
        raise HTTPException(404)
    return name


routes = [
    Route(PATH, show, name="wishes"),
    Route(PATH + "/{part}", part, name="wishes_part"),
    Route(PATH + "/{part}", save, methods=["POST"], name="wishes_save"),
]
