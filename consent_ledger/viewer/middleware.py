"""Around every page: sessions, protection against other sites, security headers, and errors that tell nothing."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from consent_ledger.viewer.session import LONGEST_MS, Session, Sessions
from consent_ledger.viewer.settings import ViewerSettings

ErrorPage = Callable[[Request, int], Awaitable[Response]]
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
MOST_BODY = 256 * 1024
"""Bytes of the longest form: a proof file is a few kilobytes."""

_ALLOWED = {
    "default-src": "'none'",
    "style-src": "'self'",
    "script-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
CONTENT_POLICY = "; ".join(f"{what} {where}" for what, where in _ALLOWED.items())
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    # Not no-referrer: browsers would then send `Origin: null` with our own forms, which are refused.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()",
}
_ENCRYPTED = {"Strict-Transport-Security": "max-age=31536000"}

_log = structlog.get_logger()


class Shield:
    """Outermost: adds the headers, and turns whatever fails inside into a page without any detail."""

    def __init__(self, app: ASGIApp, settings: ViewerSettings, error_page: ErrorPage) -> None:
        """Protect ``app``."""
        self._app, self._error_page = app, error_page
        self._headers = {**HEADERS, **(_ENCRYPTED if settings.secure else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:  # noqa: BLE001  (its text could hold data; the server must not print it)
            if observer := getattr(scope["app"].state, "observer", None):
                observer(error)  # tests see what went wrong
            incident = os.urandom(4).hex()
            _log.error("incident", role="viewer", incident=incident, exception_type=type(error).__name__)
            if started:
                return  # the connection ends short, which browsers notice
            await (await self._failure(Request(scope), incident))(scope, receive, answer)

    async def _failure(self, request: Request, incident: str) -> Response:
        request.state.incident = incident
        try:
            return await self._error_page(request, 500)
        except Exception:  # noqa: BLE001  (the layout itself fails: still no detail to anybody)
            return PlainTextResponse(f"Er ging iets mis. Something went wrong. {incident}\n", 500)


class SameOrigin:
    """Forms are accepted from our own pages only: by Sec-Fetch-Site, or Origin where a browser does not send that."""

    def __init__(self, app: ASGIApp, settings: ViewerSettings, error_page: ErrorPage) -> None:
        """Protect ``app``."""
        self._app, self._origin, self._error_page = app, settings.origin, error_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] == "http" and scope["method"] not in _SAFE:
            headers = Headers(scope=scope)
            if not self._ours(headers):
                await (await self._error_page(Request(scope), 403))(scope, receive, send)
                return
            if not headers.get("content-length", "").isdigit() or int(headers["content-length"]) > MOST_BODY:
                await (await self._error_page(Request(scope), 413))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _ours(self, headers: Headers) -> bool:
        # A request with neither header comes from no browser that this site supports, or from no browser.
        if (site := headers.get("sec-fetch-site")) is not None and site != "same-origin":
            return False
        origin = headers.get("origin")
        return origin == self._origin or (origin is None and site is not None)


class WithSession:
    """Gives each request its session, and stores what changed before the answer begins."""

    def __init__(self, app: ASGIApp, sessions: Sessions, settings: ViewerSettings) -> None:
        """Serve ``app`` with sessions."""
        self._app, self._sessions, self._settings = app, sessions, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"].startswith("/static/"):
            await self._app(scope, receive, send)
            return
        session = await self._sessions.load(_cookie(scope, self._settings.cookie))
        state: dict[str, Any] = scope.setdefault("state", {})
        state["session"], state["resident"] = session, session.resident

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._finish(session, MutableHeaders(scope=message))
            await send(message)

        await self._app(scope, receive, answer)

    async def _finish(self, session: Session, headers: MutableHeaders) -> None:
        cookie = await self._sessions.save(session)
        if cookie is not None:
            # Lax: the login service sends people back from another site, and their session must come along.
            life = f"Max-Age={LONGEST_MS // 1000}" if cookie else "Max-Age=0"
            secure = "; Secure" if self._settings.secure else ""
            headers.append(
                "Set-Cookie", f"{self._settings.cookie}={cookie}; Path=/; {life}; HttpOnly; SameSite=Lax{secure}"
            )
            headers["Cache-Control"] = "no-store"


def _cookie(scope: Scope, name: str) -> str:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(Headers(scope=scope).get("cookie", ""))
    except CookieError:
        return ""
    return jar[name].value if name in jar else ""
