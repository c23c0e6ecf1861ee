"""Logging in at a login service (DigiD through a broker, a test provider) with OpenID Connect."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2
import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from consent_ledger.errors import RegieError
from consent_ledger.viewer.context import address, language_of, session_of, viewer_of
from consent_ledger.viewer.login.entering import Visitor, enter
from consent_ledger.viewer.login.provider import LoginError, OidcSettings, Provider
from consent_ledger.viewer.port import Person
from consent_ledger.viewer.rendering import page
from consent_ledger.viewer.session import Attempt
from consent_ledger.viewer.settings import LOOPBACK, SettingsError, ViewerSettings

CLAIMS = {
    "bsn": "bsn",
    "birth_date": "birthdate",
    "postcode": "address.postal_code",
    "house_number": "address.house_number",
    "house_letter": "address.house_letter",
    "house_addition": "address.house_number_addition",
}
"""Where the parts of an identifier are, unless the settings say otherwise."""
BACK = "/inloggen/terug"
_log = structlog.get_logger()


class OidcLogin:
    """Log in at one provider."""

    def __init__(self, settings: OidcSettings, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        """Be the client of these settings; raises SettingsError when they are contradictory or not enough."""
        issuer = urlsplit(settings.issuer)
        if issuer.scheme != "https" and issuer.hostname not in LOOPBACK:
            raise SettingsError(f"the login service is reached over https, got {settings.issuer}")
        if not settings.levels:
            raise SettingsError("the login names no level of assurance (acr) that is good enough")
        if bool(settings.secret) == bool(settings.private_key):
            raise SettingsError("the client proves itself with either a secret or a private key")
        if unknown := set(settings.claims) - set(CLAIMS):
            raise SettingsError(f"the login has no use for the claim of {min(unknown)}")
        self._settings, self._provider = settings, Provider(settings, transport)

    def routes(self, settings: ViewerSettings) -> list[Route]:
        """Return the routes; ``/nl/inloggen/terug`` and ``/en/inloggen/terug`` are registered at the provider."""
        self._origin = settings.origin
        return [
            Route("/inloggen", self._show, name="login"),
            Route("/inloggen/dienst", self._begin, name="login_begin"),
            Route(BACK, self._back, name="login_back"),
            Route("/uitgelogd", self._left, name="left"),
        ]

    async def _show(self, request: Request) -> Response:
        query = request.query_params
        return page(request, "login.html", then=query.get("naar", ""), away="weg" in query, failure="")

    async def _begin(self, request: Request) -> Response:
        attempt = Attempt(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            then=request.query_params.get("naar", ""),
            began_ms=viewer_of(request).clock(),
        )
        try:
            url = await self._provider.begin(attempt, self._redirect_uri(request), language_of(request))
        except LoginError as error:
            return self._failed(request, error, attempt.then)
        session_of(request).begin_login(attempt)
        return RedirectResponse(url, 303)

    async def _back(self, request: Request) -> Response:
        attempt = session_of(request).end_login()
        if attempt is None:
            return self._failed(request, LoginError("failed", "no login is under way in this browser"), "")
        try:
            visitor = await self._identified(request, attempt)
            return await enter(request, visitor, attempt.then)
        except LoginError as error:
            return self._failed(request, error, attempt.then)
        except RegieError as error:
            if error.reason != "FIELD_INVALID":
                raise
            return self._failed(request, LoginError("failed", "the identifier cannot be one"), attempt.then)

    async def _identified(self, request: Request, attempt: Attempt) -> Visitor:
        now = viewer_of(request).clock()
        claims = await self._provider.finish(attempt, request.query_params, self._redirect_uri(request), now)
        return visitor_of(claims, self._settings)

    def _failed(self, request: Request, error: LoginError, then: str) -> Response:
        _log.warning("login_failed", role="viewer", reason=error.reason)
        status = 503 if error.reason == "unreachable" else 403
        return page(request, "login.html", status, then=then, away=False, failure=error.reason)

    async def _left(self, request: Request) -> Response:
        back = self._origin + address(language_of(request), "/uitgelogd")
        address_there = await self._provider.logout_url(back)
        return page(request, "left.html", service_logout=address_there, ended="einde" in request.query_params)

    def _redirect_uri(self, request: Request) -> str:
        return self._origin + address(language_of(request), BACK)


def visitor_of(claims: Mapping[str, Any], settings: OidcSettings) -> Visitor:
    """Return who logged in; with a ``represents`` claim the identifier is that of the represented resident.

    Raises LoginError when the claims name nobody.
    """
    whose = claims.get(settings.represents)
    source = whose if isinstance(whose, dict) else claims
    parts = {name: _claim(source, settings.claims.get(name, path)) for name, path in CLAIMS.items()}
    if not (parts["bsn"] or (parts["postcode"] and parts["house_number"] and parts["birth_date"])):
        raise LoginError("failed", "the claims hold no identifier")
    login = f"{claims['iss']} {claims['sub']}"
    return Visitor(Person(**parts), login, represents=isinstance(whose, dict))


def _claim(claims: Mapping[str, Any], path: str) -> str:
    found: Any = claims
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return str(found) if isinstance(found, (str, int)) else ""
