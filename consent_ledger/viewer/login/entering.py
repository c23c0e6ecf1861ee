"""From who somebody proved to be, to a session that holds rows and no identifier; and out again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from consent_ledger.errors import RegieError
from consent_ledger.v1 import consents_pb2, events_pb2
from consent_ledger.viewer.context import address, language_of, portal_of, session_of, viewer_of
from consent_ledger.viewer.forms import Form, read_form
from consent_ledger.viewer.once import change_id
from consent_ledger.viewer.port import Person
from consent_ledger.viewer.rendering import go, page
from consent_ledger.viewer.session import Resident, Right, rights_up_to

_OURS = re.compile(r"/(nl|en)/mijn([/?][^\\\s]*)?")
_UP_TO: dict[int, Right] = {
    events_pb2.MANDATE_LOOK: "look",
    events_pb2.MANDATE_STOP: "stop",
    events_pb2.MANDATE_CHOOSE: "choose",
}


@dataclass(frozen=True, slots=True)
class Visitor:
    """What a login service says: ``person`` is whose pages these are, ``login`` the visitor's own account there.

    ``represents``: the visitor is somebody else than the person.
    """

    person: Person = field(repr=False)
    login: str = field(repr=False)
    represents: bool = False


async def enter(request: Request, visitor: Visitor, then: str = "") -> Response:
    """Begin a session and go to ``then``; the identifier is forgotten when this returns. Raises as Portal.rows."""
    portal, session = portal_of(request), session_of(request)
    rows = await portal.rows(visitor.person)
    now = viewer_of(request).clock()
    if not visitor.represents:
        session.log_in(Resident(rows), now)
        return RedirectResponse(destination(request, then), 303)
    login = portal.login_hash(visitor.login)
    # Until the ledger says what they may, a representative may nothing; `by` is their login until then.
    session.log_in(Resident(rows, "representative", frozenset(), login.hex()), now)
    try:
        held = await portal.mandate(rows, login)
    except RegieError as error:
        if error.reason != "BEYOND_MANDATE":
            raise
        return go(request, "/inloggen/uitnodiging")
    session.log_in(represented(rows, held), now)
    return RedirectResponse(destination(request, then), 303)


def represented(rows: Sequence[consents_pb2.Rows], held: consents_pb2.RepresentativeRecord) -> Resident:
    """Return the resident as far as a representation goes: the rows of its purposes, and its rights."""
    within = tuple(row for row in rows if not held.purposes or row.purpose in held.purposes)
    return Resident(within, "representative", rights_up_to(_UP_TO[held.mandate]), held.reference.hex())


def destination(request: Request, then: str) -> str:
    """Return where to go after a login: a page of ours below /mijn, whatever the address asked for."""
    return then if _OURS.fullmatch(then) else address(language_of(request), "/mijn")


async def invitation(request: Request) -> Response:
    """Ask a new representative for the code they were given."""
    return _ask_code(request, Form({})) if _invited(request) else go(request, "/inloggen")


async def accept(request: Request) -> Response:
    """Take up the invitation with this code."""
    resident = _invited(request)
    if resident is None:
        return go(request, "/inloggen")
    form = await read_form(request)
    code = form.needed("code", most=32)
    if code:
        try:
            held = await portal_of(request).accept(
                resident.rows, bytes.fromhex(resident.by), code, change_id=change_id(request)
            )
        except RegieError as error:
            if error.reason not in ("BEYOND_MANDATE", "FIELD_INVALID"):
                raise
            form.errors["code"] = "login.code_unknown"
    if form.errors:
        return _ask_code(request, form)
    session_of(request).log_in(represented(resident.rows, held), viewer_of(request).clock())
    return go(request, "/mijn")


def _ask_code(request: Request, form: Form) -> Response:
    return page(request, "invitation.html", 422 if form.errors else 200, form=form)


def _invited(request: Request) -> Resident | None:
    resident = session_of(request).resident
    return resident if resident and resident.role == "representative" and not resident.may else None


async def leave(request: Request) -> Response:
    """Log out."""
    session_of(request).log_out()
    return go(request, "/uitgelogd")


ROUTES = [
    Route("/inloggen/uitnodiging", invitation, name="invitation"),
    Route("/inloggen/uitnodiging", accept, methods=["POST"], name="accept"),
    Route("/uitloggen", leave, methods=["POST"], name="leave"),
]
"""What every login has beside its own routes."""
