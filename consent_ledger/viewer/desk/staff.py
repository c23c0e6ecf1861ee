"""Who works at the desk, and which case is open: what a desk page may be asked for."""

from __future__ import annotations

import functools

from starlette.requests import Request
from starlette.responses import Response

from consent_ledger.v1 import consents_pb2, events_pb2
from consent_ledger.viewer.capture import text_hash
from consent_ledger.viewer.context import language_of, portal_of, resident_of, session_of, viewer_of
from consent_ledger.viewer.endpoint import Endpoint
from consent_ledger.viewer.rendering import go
from consent_ledger.viewer.session import Resident, rights_up_to

DESK = "/balie"
CASE = f"{DESK}/zaak"
LOGIN = f"{DESK}/inloggen"
WAYS: dict[str, events_pb2.CapturedVia.ValueType] = {
    "balie": events_pb2.CAPTURED_VIA_DESK,
    "papier": events_pb2.CAPTURED_VIA_PAPER,
    "telefoon": events_pb2.CAPTURED_VIA_PHONE,
}
"""How the resident is there; by telephone staff only stops and pauses."""
_STAFF, _WAY, _CODE = "medewerker", "weg", "code"


def staff_number(request: Request, login: str) -> str:
    """Return how the record names a member of staff: keyed by this portal, so never a name or an account."""
    return portal_of(request).login_hash(login).hex()[:8]


def staff_of(request: Request) -> str:
    """Return the number of who is logged in; "" for nobody."""
    return session_of(request).memory.get(_STAFF, "")


def enter(request: Request, number: str) -> None:
    """Begin a session of staff, under a new cookie."""
    session_of(request).log_out()
    session_of(request).remember(_STAFF, number)


def open_case(request: Request, rows: tuple[consents_pb2.Rows, ...], way: str) -> None:
    """Begin a resident's case, under a new cookie; the one before it is forgotten."""
    number = staff_of(request)
    session = session_of(request)
    session.log_in(Resident(rows, "desk", rights_up_to("stop"), number), viewer_of(request).clock())
    session.remember(_STAFF, number)
    session.remember(_WAY, way)


def close_case(request: Request) -> None:
    """Forget the case, and stay at the desk."""
    enter(request, staff_of(request))


def way_of(request: Request) -> str:
    """Return how the resident of the open case is there."""
    return session_of(request).memory[_WAY]


def remember_code(request: Request, case_id: bytes) -> None:
    """Remember which code is on its way."""
    session_of(request).remember(_CODE, case_id.hex())


def code_case(request: Request) -> bytes:
    """Return the case id of the code that is on its way; empty when none is."""
    return bytes.fromhex(session_of(request).memory.get(_CODE, ""))


def capture(request: Request, wording: str = "", proof: bytes = b"") -> events_pb2.Capture:
    """Return how and by whom this is recorded."""
    return events_pb2.Capture(
        via=WAYS[way_of(request)],
        by=resident_of(request).by,
        text_hash=text_hash(wording),
        language=language_of(request),
        presence_proof=proof,
    )


def staffed(endpoint: Endpoint) -> Endpoint:
    """Let in only staff."""

    @functools.wraps(endpoint)
    async def guarded(request: Request) -> Response:
        return await endpoint(request) if staff_of(request) else go(request, LOGIN)

    return guarded


def cased(endpoint: Endpoint) -> Endpoint:
    """Let in only staff with an open case; everything the page shows is of that case."""

    @functools.wraps(endpoint)
    async def guarded(request: Request) -> Response:
        resident = session_of(request).resident
        if not staff_of(request) or resident is None or resident.role != "desk":
            return go(request, DESK)
        return await endpoint(request)

    return guarded
