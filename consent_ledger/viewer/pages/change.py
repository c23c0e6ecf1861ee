"""'Er is iets veranderd' (R33): offers a consent of at most three months, never creates one, keeps not what changed."""

from __future__ import annotations

from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.dates import add_months
from consent_ledger.errors import RegieError
from consent_ledger.lifeevents import LIFE_EVENTS, MONTHS, purposes_for
from consent_ledger.purpose import Purpose
from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2, events_pb2
from consent_ledger.viewer import wording
from consent_ledger.viewer.acting import record_change
from consent_ledger.viewer.context import portal_of, resident_of, session_of, viewer_of, words_of
from consent_ledger.viewer.forms import Form, read_form
from consent_ledger.viewer.parties import Party, choosable, parties_of
from consent_ledger.viewer.rendering import done, go, page

PATH = "/mijn/verandering"
CHOICES = f"{PATH}/keuzes"
_MEMORY = "verandering"  # forgotten with the visit


class Offer(NamedTuple):
    """One consent that can be chosen: for which purpose, who sends, who receives; None: to be asked still."""

    purpose: Purpose
    senders: list[Party]
    recipients: list[Party]
    sender: Party | None
    recipient: Party | None

    @property
    def scope(self) -> events_pb2.Scope:
        """For whom it would count."""
        assert self.sender, "asked before"
        assert self.recipient, "asked before"
        return events_pb2.Scope(
            sender=self.sender.oin,
            recipient=self.recipient.oin,
            purpose=self.purpose.id,
            purpose_version=self.purpose.version,
        )


async def show(request: Request) -> Response:
    """Ask what changed."""
    return page(request, "change.html", form=Form({}), events=LIFE_EVENTS)


async def said(request: Request) -> Response:
    """Remember it for this visit, and show what can be chosen."""
    form = await read_form(request)
    event = form.one_of("wat", [each.id for each in LIFE_EVENTS])
    if form.errors:
        return page(request, "change.html", 422, form=form, events=LIFE_EVENTS)
    session_of(request).remember(_MEMORY, event)
    return go(request, CHOICES)


async def options(request: Request) -> Response:
    """Show the purposes that may help now."""
    event = session_of(request).memory.get(_MEMORY, "")
    if not event:
        return go(request, PATH)
    registry, rows = await portal_of(request).registry(), resident_of(request).purposes
    found = [registry.purpose(each) for each in purposes_for(registry, event) if each in rows]
    return page(request, "change_options.html", purposes=found)


async def offer(request: Request) -> Response:
    """Ask who may tell whom, one question per screen, and then show the choice."""
    return await _show(request, await _offer(request, Form(_query(request))), Form({}))


async def choose(request: Request) -> Response:
    """Record yes for three months, or no."""
    form = await read_form(request)
    found = await _offer(request, form)
    if not (found.sender and found.recipient):
        raise HTTPException(404)
    said = form.one_of("antwoord", ("ja", "nee"))
    if form.errors:
        return await _show(request, found, form)
    scope, yes = found.scope, said == "ja"
    shown = wording.of_choice(words_of(request), await portal_of(request).registry(), _terms(found, yes=yes))
    what = _grant(found) if yes else consents_pb2.Refuse(scope=scope)
    try:
        await record_change(request, shown, what)
    except RegieError as error:
        if error.status == "UNAVAILABLE":
            raise
        return done(request, PATH, "change.not_possible", "let_op")
    session_of(request).forget(_MEMORY)
    until = words_of(request).day(add_months(viewer_of(request).clock(), MONTHS))
    return done(request, "/mijn/toestemmingen", f"change.done_{'yes' if yes else 'no'}", date=until)


def _grant(found: Offer) -> consents_pb2.Grant:
    return consents_pb2.Grant(
        scope=found.scope,
        items=sorted(found.purpose.item_names),
        mode=events_pb2.MODE_JA,
        months=MONTHS,
        occasion=events_pb2.OCCASION_LIFE_EVENT,
    )


def _terms(found: Offer, *, yes: bool) -> wording.Terms:
    return wording.Terms(found.scope, events_pb2.MODE_JA if yes else events_pb2.MODE_NEE, (), MONTHS if yes else 0)


async def _show(request: Request, found: Offer, form: Form) -> Response:
    if not found.sender:
        return page(request, "change_party.html", offer=found, ask="sender", parties=found.senders)
    if not found.recipient:
        return page(request, "change_party.html", offer=found, ask="recipient", parties=found.recipients)
    words, registry = words_of(request), await portal_of(request).registry()
    record = await portal_of(request).record(resident_of(request).rows, limit=1)
    party = (found.sender.oin, found.recipient.oin, found.purpose.id)
    had = [each for each in record.choices if (each.scope.sender, each.scope.recipient, each.scope.purpose) == party]
    return page(
        request,
        "change_choice.html",
        422 if form.errors else 200,
        offer=found,
        form=form,
        yes=wording.of_choice(words, registry, _terms(found, yes=True)),
        no=wording.of_choice(words, registry, _terms(found, yes=False)),
        until_ms=add_months(viewer_of(request).clock(), MONTHS),
        had_ms=had[0].recorded_ms if had else 0,
    )


async def _offer(request: Request, form: Form) -> Offer:
    registry = await portal_of(request).registry()
    purpose = next((each for each in choosable(registry) if each.id == request.path_params["purpose"]), None)
    if purpose is None or purpose.id not in resident_of(request).purposes:
        raise HTTPException(404)
    return _filled(registry, purpose, form.text("van"), form.text("aan"))


def _filled(registry: Registry, purpose: Purpose, sender: str, recipient: str) -> Offer:
    senders, recipients = parties_of(registry, purpose.sender_kinds), parties_of(registry, purpose.recipient_kinds)
    return Offer(purpose, senders, recipients, _chosen(senders, sender), _chosen(recipients, recipient))


def _chosen(parties: list[Party], oin: str) -> Party | None:
    """Return the chosen one; the only one needs no question."""
    if len(parties) == 1:
        return parties[0]
    return next((each for each in parties if each.oin == oin), None)


def _query(request: Request) -> dict[str, list[str]]:
    return {name: [value] for name, value in request.query_params.items()}


routes = [
    Route(PATH, show, name="change"),
    Route(PATH, said, methods=["POST"], name="change_said"),
    Route(CHOICES, options, name="change_options"),
    Route(CHOICES + "/{purpose}", offer, name="change_offer"),
    Route(CHOICES + "/{purpose}", choose, methods=["POST"], name="change_choose"),
]
