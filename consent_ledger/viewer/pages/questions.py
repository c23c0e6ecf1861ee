"""Questions for the resident: each is answered on a screen of its own, with Ja and Nee alike (AS4c, R8, R37)."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.errors import RegieError
from consent_ledger.v1 import consents_pb2, events_pb2
from consent_ledger.viewer import wording
from consent_ledger.viewer.acting import record_change
from consent_ledger.viewer.context import portal_of, resident_of, viewer_of, words_of
from consent_ledger.viewer.forms import Form, read_form
from consent_ledger.viewer.parties import party
from consent_ledger.viewer.rendering import done, page
from consent_ledger.viewer.routing import needs
from consent_ledger.viewer.telling import Choice, labels
from consent_ledger.viewer.waiting import Waiting, asked_items, waiting

PATH = "/mijn/vragen"
NEWEST = 100
"""Exchanges among which to look for what a question is about."""
_ANSWERS = ("ja", "nee")
_OVER = frozenset({"WRITE_STALE", "FIELD_INVALID"})
"""Refusals that mean: answered or over meanwhile."""


async def _record(request: Request, limit: int = NEWEST) -> consents_pb2.GetRecordResponse:
    return await portal_of(request).record(resident_of(request).rows, limit=limit)


async def _waiting(request: Request, record: consents_pb2.GetRecordResponse) -> Waiting:
    return waiting(await portal_of(request).registry(), record.choices, viewer_of(request).clock())


async def show(request: Request) -> Response:
    """Show what waits for an answer, what the resident tries alone, and what they asked themselves."""
    record = await _record(request)
    found = await _waiting(request, record)
    own = await portal_of(request).questions(resident_of(request).rows)
    registry = await portal_of(request).registry()
    names = {each.record.organisation: party(registry, each.record.organisation) for each in own}
    asked = [(each, labels(each.purpose, asked_items(each, record.exchanges))) for each in found.asked]
    return page(request, "questions.html", waiting=found, asked=asked, own=own, names=names)


async def ask(request: Request) -> Response:
    """Show one question that a signal put."""
    record = await _record(request)
    return await _show_ask(request, record, _find_asked(await _waiting(request, record), request), Form({}))


async def answer(request: Request) -> Response:
    """Answer it: yes holds for this one exchange; no, and silence, shares nothing."""
    record = await _record(request)
    choice = _find_asked(await _waiting(request, record), request)
    form = await read_form(request)
    said = form.one_of("antwoord", _ANSWERS)
    if form.errors:
        return await _show_ask(request, record, choice, form)
    what = consents_pb2.Answer(scope=choice.record.scope, yes=said == "ja")
    shown = wording.of_answer(words_of(request), await portal_of(request).registry(), choice.record.scope)
    if not await _recorded(request, shown, what):
        return done(request, PATH, "questions.gone", "info")
    names = {"sender": choice.sender.name, "recipient": choice.recipient.name}
    return done(request, PATH, f"questions.done_{'yes' if what.yes else 'no'}", "ok", **names)


@needs("look")
async def recorded(request: Request) -> Response:
    """Show what a desk or a paper form recorded and nobody confirmed."""
    choice = _find_recorded(await _waiting(request, await _record(request, 1)), request)
    return await _show_recorded(request, choice, Form({}))


@needs("own")
async def confirm(request: Request) -> Response:
    """Confirm it, which makes it count from now; or stop it."""
    choice = _find_recorded(await _waiting(request, await _record(request, 1)), request)
    form = await read_form(request)
    said = form.one_of("antwoord", _ANSWERS)
    if form.errors:
        return await _show_recorded(request, choice, form)
    registry, words, scope = await portal_of(request).registry(), words_of(request), choice.record.scope
    if said == "ja":
        yes = consents_pb2.Confirm(scope=scope, granted_index=choice.record.log_index)
        ok = await _recorded(request, wording.of_confirmation(words, registry, scope), yes)
    else:
        no = consents_pb2.Withdraw(scope=scope)
        ok = await _recorded(request, wording.of_stop(words, registry, scope), no)
    if not ok:
        return done(request, PATH, "questions.gone", "info")
    return done(request, PATH, f"questions.confirm_done_{'yes' if said == 'ja' else 'no'}")


async def _recorded(
    request: Request, shown: str, what: consents_pb2.Answer | consents_pb2.Confirm | consents_pb2.Withdraw
) -> bool:
    try:
        await record_change(request, shown, what)
    except RegieError as error:
        if error.reason in _OVER:
            return False
        raise
    return True


def _find_asked(found: Waiting, request: Request) -> Choice:
    return _by_index({each.record.asked.log_index: each for each in found.asked}, request)


def _find_recorded(found: Waiting, request: Request) -> Choice:
    return _by_index({each.record.log_index: each for each in found.to_confirm}, request)


def _by_index(found: dict[int, Choice], request: Request) -> Choice:
    choice = found.get(request.path_params["index"])
    if choice is None:
        raise HTTPException(404)
    return choice


async def _show_ask(request: Request, record: consents_pb2.GetRecordResponse, choice: Choice, form: Form) -> Response:
    items = labels(choice.purpose, asked_items(choice, record.exchanges))
    status = 422 if form.errors else 200
    registry = await portal_of(request).registry()
    shown = wording.of_answer(words_of(request), registry, choice.record.scope)
    return page(request, "question_answer.html", status, choice=choice, items=items, form=form, shown=shown)


async def _show_recorded(request: Request, choice: Choice, form: Form) -> Response:
    desk = choice.record.captured_via == events_pb2.CAPTURED_VIA_DESK
    registry, status = await portal_of(request).registry(), 422 if form.errors else 200
    shown = wording.of_confirmation(words_of(request), registry, choice.record.scope)
    return page(request, "question_confirm.html", status, choice=choice, form=form, desk=desk, shown=shown)


routes = [
    Route(PATH, show, name="questions"),
    Route(PATH + "/antwoord/{index:int}", ask, name="question"),
    Route(PATH + "/antwoord/{index:int}", answer, methods=["POST"], name="question_answer"),
    Route(PATH + "/bevestigen/{index:int}", recorded, name="recorded"),
    Route(PATH + "/bevestigen/{index:int}", confirm, methods=["POST"], name="recorded_confirm"),
]
