"""One resident's case: the choices, and what staff may do alone: stop, and pause everything (R37)."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.errors import RegieError
from consent_ledger.v1 import consents_pb2
from consent_ledger.viewer import wording
from consent_ledger.viewer.acting import ids_of
from consent_ledger.viewer.context import portal_of, resident_of, viewer_of, words_of
from consent_ledger.viewer.desk import staff
from consent_ledger.viewer.desk.staff import cased
from consent_ledger.viewer.rendering import done, page
from consent_ledger.viewer.telling import OPEN, Choice, tell_choices

_FEW = 1
"""Exchanges asked for: the fewest there can be, because staff sees none of them."""


async def choices_of(request: Request) -> list[Choice]:
    """Return the choices of the case's resident."""
    record = await portal_of(request).record(resident_of(request).rows, limit=_FEW)
    return tell_choices(await portal_of(request).registry(), record.choices, viewer_of(request).clock())


async def choice_of(request: Request) -> Choice:
    """Return the choice that the address names, if it is of this case; raises HTTPException 404."""
    for choice in await choices_of(request):
        if choice.record.log_index == request.path_params["index"]:
            return choice
    raise HTTPException(404)


async def recorded(request: Request, shown: str, what: consents_pb2.Withdraw | consents_pb2.Pause) -> int | None:
    """Record what staff does alone; None when the choice changed meanwhile."""
    rows = resident_of(request).rows
    ids = ids_of(request, [what])
    (result,) = await portal_of(request).change(rows, staff.capture(request, shown), what, change_ids=ids)
    if isinstance(result, RegieError):
        if result.status in ("FAILED_PRECONDITION", "INVALID_ARGUMENT"):
            return None
        raise result
    return result


@cased
async def show(request: Request) -> Response:
    """Show the choices of this resident, and nothing of what was shared."""
    record = await portal_of(request).record(resident_of(request).rows, limit=_FEW)
    registry, now = await portal_of(request).registry(), viewer_of(request).clock()
    choices = tell_choices(registry, record.choices, now)
    way = staff.way_of(request)
    return page(request, "desk_case.html", record=record, choices=choices, way=way, stoppable=OPEN)


@cased
async def stop(request: Request) -> Response:
    """Stop one choice; nobody needs to be there for that."""
    choice = await choice_of(request)
    shown = wording.of_stop(words_of(request), await portal_of(request).registry(), choice.record.scope)
    index = await recorded(request, shown, consents_pb2.Withdraw(scope=choice.record.scope))
    return _done(request, "desk.stop_done", index)


@cased
async def pause(request: Request) -> Response:
    """Pause everything, until the resident resumes."""
    index = await recorded(request, wording.of_pause(words_of(request)), consents_pb2.Pause())
    return _done(request, "desk.pause_done", index)


@cased
async def letter(request: Request) -> Response:
    """Show the letter that confirms a choice, with a slip to stop it."""
    choice = await choice_of(request)
    record, registry, words = choice.record, await portal_of(request).registry(), words_of(request)
    stopped = choice.state == "stopped"
    terms = wording.Terms(record.scope, record.mode, tuple(record.items), _months(record), record.threshold)
    shown = (
        wording.of_stop(words, registry, record.scope)
        if stopped or not record.mode
        else wording.of_choice(words, registry, terms)
    )
    return page(request, "desk_letter.html", choice=choice, shown=shown, slip_number=record.log_index)


def _months(record: consents_pb2.ChoiceRecord) -> int:
    """Return how many months a choice was recorded for, as its words said."""
    days = (record.valid_until_ms - record.valid_from_ms) / 86_400_000
    return min(wording.MONTHS, key=lambda months: abs(months * 30.4 - days))


def _done(request: Request, key: str, index: int | None) -> Response:
    if index is None:
        return done(request, staff.CASE, "desk.gone", "let_op")
    return done(request, staff.CASE, key, index=words_of(request).number(index))


routes = [
    Route(staff.CASE, show, name="desk_case"),
    Route(f"{staff.CASE}/pauze", pause, methods=["POST"], name="desk_pause"),
    Route(staff.CASE + "/stop/{index:int}", stop, methods=["POST"], name="desk_stop"),
    Route(staff.CASE + "/brief/{index:int}", letter, name="desk_letter"),
]
