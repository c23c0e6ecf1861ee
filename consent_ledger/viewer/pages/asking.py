"""The resident's own questions to organisations (R21): sealed to them, with a reference and a day to answer by."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.errors import RegieError
from consent_ledger.v1 import consents_pb2
from consent_ledger.viewer.capture import capture_of
from consent_ledger.viewer.context import portal_of, resident_of, words_of
from consent_ledger.viewer.forms import Form, read_form
from consent_ledger.viewer.once import change_id
from consent_ledger.viewer.pages.questions import NEWEST
from consent_ledger.viewer.parties import party, purpose_title
from consent_ledger.viewer.rendering import done, page
from consent_ledger.viewer.waiting import Contactable, contactable

PATH = "/mijn/vragen/nieuw"
MOST = 1500
"""Characters of a question (QuestionText)."""
_NOT_POSSIBLE = frozenset({"FIELD_INVALID", "PARTY_UNKNOWN", "PURPOSE_UNKNOWN", "ENTRY_UNKNOWN", "KEY_UNKNOWN"})


async def new(request: Request) -> Response:
    """Ask whom the question is for, and what it is."""
    about = _index(request.query_params.get("over", ""))
    return await _show_new(request, Form({"over": [str(about or "")]}), about)


async def send(request: Request) -> Response:
    """Send it; the ledger holds it sealed."""
    form = await read_form(request)
    about = _index(form.text("over"))
    offered = {each.key: each for each in await _offered(request, about)}
    key = form.one_of("aan", offered)
    text = form.needed("tekst", most=MOST)
    if form.errors:
        return await _show_new(request, form, about)
    to = offered[key]
    try:
        asked = await portal_of(request).ask(
            resident_of(request).rows,
            capture_of(request),
            organisation=to.party.oin,
            purpose=to.purpose,
            text=text,
            about_index=about,
            change_id=change_id(request),
        )
    except RegieError as error:
        if error.reason not in _NOT_POSSIBLE:
            raise
        return done(request, "/mijn/vragen", "questions.new_not_possible", "let_op")
    due = words_of(request).day(asked.record.due_ms)
    return done(request, f"/mijn/vraag/{asked.record.reference}", "questions.new_done", date=due)


async def one(request: Request) -> Response:
    """Show one question of the resident, and its answer."""
    reference = request.path_params["reference"]
    for question in await portal_of(request).questions(resident_of(request).rows):
        if question.record.reference == reference:
            registry = await portal_of(request).registry()
            to = party(registry, question.record.organisation)
            title = purpose_title(registry, question.record.purpose)
            return page(request, "question_own.html", question=question, to=to, purpose=title)
    raise HTTPException(404)


async def _show_new(request: Request, form: Form, about: int) -> Response:
    words, registry = words_of(request), await portal_of(request).registry()
    options = [
        (
            each.key,
            words.text(
                "questions.new_option",
                organisation=each.party.name,
                purpose=getattr(purpose_title(registry, each.purpose), words.language),
            ),
        )
        for each in await _offered(request, about)
    ]
    about_ms = await _about_ms(request, about)
    return page(
        request,
        "question_new.html",
        422 if form.errors else 200,
        form=form,
        options=options,
        most=MOST,
        about_ms=about_ms,
    )


async def _offered(request: Request, about: int) -> list[Contactable]:
    """Return who can be asked; about one exchange only those who took part in it."""
    portal, rows = portal_of(request), resident_of(request).rows
    if not about:
        return contactable(await portal.registry(), await portal.record(rows, limit=NEWEST))
    found = await portal.entry(rows, about)  # not of these rows: not found
    if not found.HasField("exchange"):
        raise HTTPException(404)
    return contactable(await portal.registry(), consents_pb2.GetRecordResponse(exchanges=[found.exchange]))


async def _about_ms(request: Request, about: int) -> int:
    if not about:
        return 0
    return (await portal_of(request).entry(resident_of(request).rows, about)).entry.time_ms


def _index(text: str) -> int:
    """Read a log index from an address or form; 0 is none."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise HTTPException(404)
    return int(text)


routes = [
    Route(PATH, new, name="question_new"),
    Route(PATH, send, methods=["POST"], name="question_send"),
    Route("/mijn/vraag/{reference}", one, name="question_own"),
]
