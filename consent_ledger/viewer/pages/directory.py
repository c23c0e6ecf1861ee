"""Who takes part and for which purposes, as the log publishes it: for everybody."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.purpose import Purpose
from consent_ledger.registry import RECIPIENT_KINDS, ROLE_KINDS, SENDER_KINDS, Participant, Registry
from consent_ledger.viewer.context import portal_of
from consent_ledger.viewer.parties import choosable
from consent_ledger.viewer.rendering import page


@dataclass(frozen=True, slots=True)
class Listed:
    """An organisation with the purposes it may send or receive for; never more than what residents allow."""

    participant: Participant
    sends: tuple[Purpose, ...]
    receives: tuple[Purpose, ...]


def listed(registry: Registry, participant: Participant) -> Listed:
    """Return what an organisation takes part in, by its kind."""
    purposes = choosable(registry)
    return Listed(
        participant,
        tuple(purpose for purpose in purposes if participant.kind in purpose.sender_kinds),
        tuple(purpose for purpose in purposes if participant.kind in purpose.recipient_kinds),
    )


async def organisations(request: Request) -> Response:
    """List public and private organisations apart (R11), and who makes Regie work."""
    registry = await portal_of(request).registry()
    found = [listed(registry, one) for one in registry.participants]
    found.sort(key=lambda one: one.participant.name)
    agencies = [one for one in found if one.participant.kind in SENDER_KINDS | RECIPIENT_KINDS]
    return page(
        request,
        "organisations.html",
        public=[one for one in agencies if not one.participant.private_party],
        private=[one for one in agencies if one.participant.private_party],
        operators=[one for one in found if one.participant.kind in ROLE_KINDS],
    )


async def organisation(request: Request) -> Response:
    """Show one organisation: what it may send and receive, and what never."""
    registry = await portal_of(request).registry()
    found = registry.find_participant(request.path_params["id"])
    if found is None:
        raise HTTPException(404)
    forbidden = [purpose for purpose in registry.purposes if purpose.prohibited]
    return page(request, "organisation.html", one=listed(registry, found), forbidden=forbidden)


async def purposes(request: Request) -> Response:
    """List the purposes one can choose about, and those that nobody can allow, with why."""
    registry = await portal_of(request).registry()
    forbidden = [purpose for purpose in registry.purposes if purpose.prohibited]
    return page(request, "purposes.html", purposes=choosable(registry), forbidden=forbidden)


routes = [
    Route("/organisaties", organisations, name="organisations"),
    Route("/organisaties/{id}", organisation, name="organisation"),
    Route("/doelen", purposes, name="purposes"),
]
