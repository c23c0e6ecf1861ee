"""A form that is sent twice does one thing: a double click, or a reload while the first answer was under way.

Every form holds a random value. It and all that was filled in name what is done, so that the ledger, which gives the
same name the same answer, records it once; a form that was changed before it was sent again has another name. What
was done before in the session is part of the name too: pausing again from a page that was open before one resumed is
a pause.
"""

from __future__ import annotations

import functools
import re
import secrets
from hashlib import sha256

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from consent_ledger.hashing import length_prefixed
from consent_ledger.viewer.context import session_of, viewer_of
from consent_ledger.viewer.endpoint import Endpoint
from consent_ledger.viewer.forms import Form, read_form
from consent_ledger.viewer.session import Notice, Session

FIELD = "keer"
AGAIN_MS = 10 * 60_000
"""After this long the same form is meant anew."""
_VALUE = re.compile(r"[A-Za-z0-9_-]{22}")
_SENT = "sent"


class Sent(msgspec.Struct, frozen=True):
    """The form that was sent last in a session: its name, that of what it did, and where the visitor went."""

    form: bytes
    change: bytes
    at_ms: int
    to: str = ""
    notice: Notice | None = None


def new_form() -> str:
    """Return the value of one form on one page."""
    return secrets.token_urlsafe(16)


def change_id(request: Request, *parts: bytes) -> bytes:
    """Return the id (16 bytes) of what this form does; ``parts`` tell apart several things that one form does."""
    name: bytes = request.state.change
    return sha256(b"regie/change-id/v1" + length_prefixed(name, *parts)).digest()[:16]


def once(endpoint: Endpoint) -> Endpoint:
    """Give a form that is sent again the answer it got; raises HTTPException 400 for one that no page of ours made."""

    @functools.wraps(endpoint)
    async def guarded(request: Request) -> Response:
        session = session_of(request)
        form, now_ms = _name(request, await read_form(request), session), viewer_of(request).clock()
        before = _last(session)
        again = before is not None and before.form == form and 0 <= now_ms - before.at_ms < AGAIN_MS
        if before and again and before.to:
            session.notice, session.changed = before.notice, True
            return RedirectResponse(before.to, 303)
        request.state.change = before.change if before and again else _next(before, form)
        resident = session.resident
        response = await endpoint(request)
        if response.status_code < 400 and session.resident is not None and session.resident is resident:
            to = response.headers.get("location", "")
            sent = Sent(form, request.state.change, now_ms, to, session.notice if to else None)
            session.remember(_SENT, msgspec.json.encode(sent).decode())
        return response

    return guarded


def _name(request: Request, form: Form, session: Session) -> bytes:
    """Return what names this form with what was filled in, for this person.

    A page from before forms had a value still stops and pauses: without one a form is sent once.
    """
    value = form.text(FIELD) or new_form()
    if not _VALUE.fullmatch(value):
        raise HTTPException(400)
    rows = session.resident.rows if session.resident else ()
    who = [row.SerializeToString(deterministic=True) for row in rows]
    values = form.values | {FIELD: [value]}
    fields = [text.encode() for name in sorted(values) for text in (name, *values[name], "")]
    path = request.url.path.encode()
    return sha256(b"regie/form/v1" + length_prefixed(path, length_prefixed(*who), *fields)).digest()


def _next(before: Sent | None, form: bytes) -> bytes:
    return sha256(b"regie/after/v1" + (before.change if before else b"") + form).digest()


def _last(session: Session) -> Sent | None:
    kept = session.memory.get(_SENT, "")
    return msgspec.json.decode(kept, type=Sent) if kept else None
