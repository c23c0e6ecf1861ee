"""How staff logs in: made-up people in a demo, the municipality's own login service elsewhere."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Protocol

import httpx2
import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from consent_ledger.viewer.context import address, language_of, session_of, viewer_of
from consent_ledger.viewer.desk.staff import DESK, LOGIN, enter, staff_number
from consent_ledger.viewer.forms import Form, read_form
from consent_ledger.viewer.login.provider import LoginError, OidcSettings, Provider
from consent_ledger.viewer.rendering import go, page
from consent_ledger.viewer.session import Attempt
from consent_ledger.viewer.settings import SettingsError, ViewerSettings

_BACK = f"{LOGIN}/terug"
_log = structlog.get_logger()


class StaffLogin(Protocol):
    """One way for staff to log in."""

    def routes(self, settings: ViewerSettings) -> list[Route]:
        """Return its routes, among them ``/balie/inloggen``; raises SettingsError when these settings forbid it."""
        ...


class DemoStaff:
    """Made-up staff to choose from; proves nothing, so it starts in a demo only."""

    def __init__(self, people: Mapping[str, str]) -> None:
        """Offer these: key and name."""
        self._people = dict(people)

    def routes(self, settings: ViewerSettings) -> list[Route]:
        """Return the routes; raises SettingsError outside a demo."""
        if not settings.demo:
            raise SettingsError("the demo login of the desk proves nothing: it starts only in a home marked demo")
        return [
            Route(LOGIN, self._show, name="desk_login"),
            Route(LOGIN, self._enter, methods=["POST"], name="desk_login_demo"),
        ]

    async def _show(self, request: Request) -> Response:
        return self._page(request, Form({}))

    async def _enter(self, request: Request) -> Response:
        form = await read_form(request)
        key = form.one_of("wie", self._people, "desk.login_choose")
        if form.errors:
            return self._page(request, form)
        enter(request, staff_number(request, f"demo {key}"))
        return go(request, DESK)

    def _page(self, request: Request, form: Form) -> Response:
        status, people = 422 if form.errors else 200, list(self._people.items())
        return page(request, "desk_login.html", status, form=form, people=people, failure="")


class OidcStaff:
    """Log in at the municipality's own provider; only who has the role gets in."""

    def __init__(
        self,
        settings: OidcSettings,
        role: str = "regie-balie",
        role_claim: str = "roles",
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """Accept whoever has ``role`` in the claim ``role_claim`` (one word or a list)."""
        self._provider = Provider(settings, transport)
        self._role, self._claim = role, role_claim

    def routes(self, settings: ViewerSettings) -> list[Route]:
        """Return the routes; ``/nl/balie/inloggen/terug`` and the English one are registered at the provider."""
        self._origin = settings.origin
        return [
            Route(LOGIN, self._show, name="desk_login"),
            Route(f"{LOGIN}/dienst", self._begin, name="desk_login_begin"),
            Route(_BACK, self._back, name="desk_login_back"),
        ]

    async def _show(self, request: Request) -> Response:
        return page(request, "desk_login.html", form=Form({}), people=[], failure="")

    async def _begin(self, request: Request) -> Response:
        attempt = Attempt(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            then=DESK,
            began_ms=viewer_of(request).clock(),
        )
        try:
            url = await self._provider.begin(attempt, self._redirect_uri(request), language_of(request))
        except LoginError as error:
            return self._failed(request, error)
        session_of(request).begin_login(attempt)
        return RedirectResponse(url, 303)

    async def _back(self, request: Request) -> Response:
        attempt = session_of(request).end_login()
        if attempt is None:
            return self._failed(request, LoginError("failed", "no login is under way in this browser"))
        try:
            claims = await self._provider.finish(
                attempt, request.query_params, self._redirect_uri(request), viewer_of(request).clock()
            )
        except LoginError as error:
            return self._failed(request, error)
        if not self._works_here(claims):
            return page(request, "desk_login.html", 403, form=Form({}), people=[], failure="desk.login_not_staff")
        enter(request, staff_number(request, f"{claims['iss']} {claims['sub']}"))
        return go(request, DESK)

    def _works_here(self, claims: Mapping[str, Any]) -> bool:
        roles = claims.get(self._claim, ())
        return self._role in ((roles,) if isinstance(roles, str) else tuple(roles))

    def _failed(self, request: Request, error: LoginError) -> Response:
        _log.warning("login_failed", role="desk", reason=error.reason)
        status = 503 if error.reason == "unreachable" else 403
        return page(request, "desk_login.html", status, form=Form({}), people=[], failure="desk.login_failed")

    def _redirect_uri(self, request: Request) -> str:
        return self._origin + address(language_of(request), _BACK)
