"""Pages for what went wrong: they say what happened, whether anything changed, and what one can do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from consent_ledger.errors import RegieError
from consent_ledger.viewer.rendering import page
from consent_ledger.viewer.session import Session

STATUS = {
    "UNAVAILABLE": 503,
    "RESOURCE_EXHAUSTED": 503,
    "NOT_FOUND": 404,
    "INVALID_ARGUMENT": 404,
    "PERMISSION_DENIED": 404,
    "UNAUTHENTICATED": 500,
    "FAILED_PRECONDITION": 409,
    "ALREADY_EXISTS": 409,
    "INTERNAL": 500,
}
"""Pages of others, and addresses that mean nothing, are not found: which of them it was stays untold."""
_UNCHECKED = frozenset({"PROOF_INVALID", "SIGNATURE_INVALID", "ELEMENT_INVALID", "SEALED_PART_INVALID", "KEY_UNKNOWN"})
"""An answer that does not check is not shown; that is neither the visitor's fault nor nothing found."""
_KNOWN = frozenset({403, 404, 405, 409, 413, 500, 502, 503})
_RETRY_SECONDS = "30"
_log = structlog.get_logger()


async def error_page(request: Request, status: int) -> Response:
    """Return the page about a failure with this status; statuses without a page of their own get that of 500."""
    if not hasattr(request.state, "session"):
        request.state.session = Session(0, 0)
    shown = status if status in _KNOWN else 500
    incident = getattr(request.state, "incident", "")
    response = page(request, "failure.html", status, failure=shown, incident=incident)
    response.headers["Cache-Control"] = "no-store"
    if status == 503:
        response.headers["Retry-After"] = _RETRY_SECONDS
    return response


async def refused(request: Request, error: Exception) -> Response:
    """Answer what starlette refuses: no such page, no such method."""
    found = cast("HTTPException", error)
    response = await error_page(request, found.status_code)
    response.headers.update(found.headers or {})
    return response


async def not_done(request: Request, error: Exception) -> Response:
    """Answer what ledger or gateway refused or could not do."""
    found = cast("RegieError", error)
    _log.warning("page_not_served", role="viewer", reason=found.reason)
    return await error_page(request, 502 if found.reason in _UNCHECKED else STATUS[found.status])


Handler = Callable[[Request, Exception], Awaitable[Response]]
HANDLERS: dict[type[Exception], Handler] = {HTTPException: refused, RegieError: not_done}
