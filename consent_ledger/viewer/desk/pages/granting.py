"""Record a choice for a resident: no at once, anything else only with the code that the resident got (AS6, AS7)."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.errors import RegieError
from consent_ledger.v1 import events_pb2
from consent_ledger.viewer import wording
from consent_ledger.viewer.acting import ids_of
from consent_ledger.viewer.context import portal_of, resident_of, session_of, words_of
from consent_ledger.viewer.desk import staff
from consent_ledger.viewer.desk.draft import MODES, Draft, draft, months_of
from consent_ledger.viewer.desk.pages.case import choices_of
from consent_ledger.viewer.desk.person import is_among, read_person, rows_of
from consent_ledger.viewer.desk.staff import cased
from consent_ledger.viewer.forms import Form, read_form
from consent_ledger.viewer.once import change_id
from consent_ledger.viewer.port import presence_proof
from consent_ledger.viewer.rendering import done, go, page

PATH = f"{staff.CASE}/keuze"
CHANNELS = {"1": events_pb2.CODE_CHANNEL_PHONE, "2": events_pb2.CODE_CHANNEL_LETTER}
_CODE_LENGTH = 64


@cased
async def show(request: Request) -> Response:
    """Ask the next question, or show what is going to be recorded."""
    if staff.way_of(request) == "telefoon":
        return done(request, staff.CASE, "desk.phone_only", "info")
    query = {name: [value] for name, value in request.query_params.items()}
    return await _show(request, await _draft(request, Form(query)), Form({}))


@cased
async def send_code(request: Request) -> Response:
    """Send the resident a code; the number is typed again, because nothing here kept it."""
    form = await read_form(request)
    found = await _finished(request, form)
    channel = form.one_of("kanaal", CHANNELS)
    rows = await rows_of(request, form)
    if rows and not is_among(rows, resident_of(request).rows):
        form.errors["bsn"] = "desk.code_other"
    if form.errors:
        return await _show(request, found, form)
    try:
        code = await portal_of(request).send_code(
            resident_of(request).rows,
            staff.capture(request),
            CHANNELS[channel],
            read_person(form),
            change_id=change_id(request),
        )
    except RegieError as error:
        if error.status == "UNAVAILABLE":
            raise
        form.errors["kanaal"] = "desk.code_not_sent"
        return await _show(request, found, form)
    staff.remember_code(request, code.case_id)
    session_of(request).say("info", "desk.code_sent", moment=words_of(request).moment(code.expires_ms))
    return go(request, PATH, **found.kept)


@cased
async def record(request: Request) -> Response:
    """Record it. A yes without the right code is refused by the ledger, which shows the resident who tried (AS6)."""
    form = await read_form(request)
    found = await _finished(request, form)
    shown = wording.of_choice(words_of(request), await portal_of(request).registry(), found.terms)
    typed = form.text("code")[:_CODE_LENGTH]
    proof = presence_proof(staff.code_case(request), typed) if typed else b""
    rows, capture = resident_of(request).rows, staff.capture(request, shown, proof)
    ids = ids_of(request, [found.change])
    (result,) = await portal_of(request).change(rows, capture, found.change, change_ids=ids)
    if not isinstance(result, RegieError):
        return await _recorded(request, result)
    if result.reason == "PRESENCE_REQUIRED":
        form.errors["code"] = "desk.code_wrong"
        return await _show(request, found, form)
    if result.status == "UNAVAILABLE":
        raise result
    return done(request, staff.CASE, "desk.not_recorded", "let_op")


async def _recorded(request: Request, index: int) -> Response:
    """Go to the letter, which the resident takes along."""
    choice = next((each for each in await choices_of(request) if each.record.log_index == index), None)
    if choice is None or choice.record.mode == events_pb2.MODE_NEE:
        return done(request, staff.CASE, "desk.recorded_no")
    starts = words_of(request).day(choice.record.valid_from_ms)
    return done(request, f"{staff.CASE}/brief/{index}", "desk.recorded_yes", date=starts)


async def _draft(request: Request, form: Form) -> Draft:
    answers = {name: form.text(name) for name in form.values}
    return draft(await portal_of(request).registry(), answers, resident_of(request).purposes)


async def _finished(request: Request, form: Form) -> Draft:
    """Return what the form is about, with every question answered; raises HTTPException 404 otherwise."""
    found = await _draft(request, form)
    if found.step:
        raise HTTPException(404)
    return found


async def _show(request: Request, found: Draft, form: Form) -> Response:
    if found.step:
        months = months_of(found.purpose) if found.purpose else []
        return page(request, "desk_step.html", draft=found, answers=list(MODES), months=months)
    shown = wording.of_choice(words_of(request), await portal_of(request).registry(), found.terms)
    return page(
        request,
        "desk_record.html",
        422 if form.errors else 200,
        draft=found,
        form=form,
        shown=shown,
        channels=list(CHANNELS),
        sent=bool(staff.code_case(request)),
    )


routes = [
    Route(PATH, show, name="desk_choice"),
    Route(PATH, record, methods=["POST"], name="desk_record"),
    Route(f"{staff.CASE}/code", send_code, methods=["POST"], name="desk_code"),
]
