"""Making a choice: one question per screen, four answers that look alike, nothing chosen beforehand (R3, R8, R39)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger import severity
from consent_ledger.registry import Registry
from consent_ledger.viewer import wording
from consent_ledger.viewer.acting import allow, record_change
from consent_ledger.viewer.context import portal_of, resident_of, viewer_of, words_of
from consent_ledger.viewer.draft import ANSWERS, Draft, months_of, read_draft, thresholds_of
from consent_ledger.viewer.forms import read_form
from consent_ledger.viewer.parties import choosable, parties_of
from consent_ledger.viewer.rendering import done, go, page
from consent_ledger.viewer.routing import needs
from consent_ledger.viewer.telling import same_parties, tell_choices

PATH = "/mijn/toestemmingen/nieuw"
QUESTIONS = ("wil", "zelf", "beslissen")
"""Of "Help me choose", each with yes and no; the first also with "I do not know"."""


async def ask(request: Request) -> Response:
    """Show the next question; the last screen shows the words that will be recorded."""
    registry = await portal_of(request).registry()
    draft = read_draft(request.query_params, registry, resident_of(request).purposes)
    errors = {draft.step: "layout.choose_one"} if request.query_params.get("stap") == draft.step else {}
    return page(
        request,
        "kiezen.html",
        422 if errors else 200,
        draft=draft,
        step=draft.step,
        errors=errors,
        kept=draft.before(draft.step),
        back=_back(draft),
        wording=_wording(request, registry, draft),
        now=await _now(request, registry, draft),
        **_offered(request, registry, draft),
    )


def _offered(request: Request, registry: Registry, draft: Draft) -> dict[str, Any]:
    """Return what one can choose from on this screen."""
    purpose, resident = draft.purpose, resident_of(request)
    answers = [name for name in ANSWERS if name == "nee" or "choose" in resident.may]
    return {
        "purposes": [each for each in choosable(registry) if each.id in resident.purposes],
        "senders": parties_of(registry, purpose.sender_kinds) if purpose else [],
        "recipients": parties_of(registry, purpose.recipient_kinds) if purpose else [],
        "answers": answers,
        "months": months_of(purpose) if purpose else [],
        "bands": [(number, severity.words(purpose, number)) for number in thresholds_of(purpose)] if purpose else [],
    }


def _wording(request: Request, registry: Registry, draft: Draft) -> str:
    return wording.of_choice(words_of(request), registry, draft.terms) if draft.step == "controle" else ""


async def _now(request: Request, registry: Registry, draft: Draft) -> Any:
    """Return what the resident chose before for the same parties, on the screen where they answer."""
    if draft.step != "antwoord":
        return None
    record = await portal_of(request).record(resident_of(request).rows, limit=1)
    same = [each for each in record.choices if same_parties(each.scope, draft.scope)]
    return next(iter(tell_choices(registry, same, viewer_of(request).clock())), None)


def _back(draft: Draft) -> str:
    """Return the query of the screen before this one; "" on the first."""
    kept = draft.before(draft.step)
    if not kept:
        return ""
    last = kept[-1][0]
    return urlencode([pair for pair in kept if pair[0] != last]) or "begin="


@needs("stop")
async def record(request: Request) -> Response:
    """Record the choice that the last screen showed; its words are made here again, so that they are what is hashed."""
    form = await read_form(request)
    registry = await portal_of(request).registry()
    sent = ImmutableMultiDict([(name, value) for name, values in form.values.items() for value in values])
    draft = read_draft(sent, registry, resident_of(request).purposes)
    if draft.step != "controle":
        return go(request, f"{PATH}?{urlencode(list(draft.fields()))}")
    if draft.answer != "nee":
        allow(request, "choose")
    text = wording.of_choice(words_of(request), registry, draft.terms)
    index = await record_change(request, text, draft.change())
    return done(request, f"/mijn/toestemmingen/{index}", f"kiezen.done_{draft.answer}")


async def help_choosing(request: Request) -> Response:
    """Ask what matters to the resident, and say which answer may fit; nothing is ticked (R39)."""
    registry = await portal_of(request).registry()
    query = request.query_params
    draft = read_draft(query, registry, resident_of(request).purposes)
    if draft.step in ("doel", "van", "naar"):
        return go(request, f"{PATH}?{urlencode(list(draft.fields()))}")
    said = {name: query.get(name, "") for name in QUESTIONS if query.get(name, "") in _ANSWERS_TO[name]}
    advice = _advice(said)
    question = "" if advice else next(name for name in QUESTIONS if name not in said)
    errors = {question: "layout.choose_one"} if question and query.get("stap") == question else {}
    return page(
        request,
        "kieshulp.html",
        422 if errors else 200,
        draft=draft,
        kept=draft.before("antwoord"),
        said=said,
        question=question,
        options=_ANSWERS_TO.get(question, ()),
        advice=advice,
        errors=errors,
    )


_ANSWERS_TO = {"wil": ("ja", "nee", "weetniet"), "zelf": ("ja", "nee"), "beslissen": ("ja", "nee")}


def _advice(said: dict[str, str]) -> str:
    """Return the answer that may fit; "" when the next question is still needed."""
    first = {"nee": "nee", "weetniet": "vraag"}.get(said.get("wil", ""), "")
    if first or "zelf" not in said or "wil" not in said:
        return first
    if said["zelf"] == "ja":
        return "zelf"
    return {"ja": "vraag", "nee": "ja"}.get(said.get("beslissen", ""), "")


routes = [
    Route(PATH, ask, name="kiezen"),
    Route(PATH, record, methods=["POST"], name="kiezen_vast"),
    Route(f"{PATH}/hulp", help_choosing, name="kieshulp"),
]
