"""How auditors log in, each time for one case: at their own login service, by certificate, or in a demo as somebody.

Whoever logs in names the case. Residents have other numbers in another case, so that two cases cannot be linked.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Protocol

import httpx2
import structlog
from cryptography import x509
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from consent_ledger.errors import RegieError
from consent_ledger.viewer.context import address, language_of, session_of, viewer_of
from consent_ledger.viewer.forms import Form, read_form
from consent_ledger.viewer.login.provider import LoginError, OidcSettings, Provider
from consent_ledger.viewer.rendering import go, page
from consent_ledger.viewer.session import Attempt
from consent_ledger.viewer.settings import SettingsError, ViewerSettings
from gateway.auditor import pseudonyms
from gateway.auditor.console import LOGIN, console_of, enter
from gateway.auditor.showing import AUDIT
from gateway.directory.identity import oin_of

_BACK = f"{LOGIN}/terug"
_WANTED = "zaak_gevraagd"
_log = structlog.get_logger()


class Way(Protocol):
    """One way to log in; ``name`` is the form's button, which stands on the login page with the case's field."""

    name: str

    def people(self) -> Sequence[tuple[str, str]]:
        """Return whom one can choose to be; nobody but in a demo."""
        ...

    async def begin(self, request: Request, form: Form, case: str) -> Response | None:
        """Log in, or go where one does; None when the form has an error now."""
        ...

    def routes(self, settings: ViewerSettings) -> list[Route]:
        """Return further routes; raises SettingsError when these settings forbid this way."""
        ...


class Login:
    """The login page, over one or two ways."""

    def __init__(self, ways: Sequence[Way]) -> None:
        """Offer these."""
        self._ways = {way.name: way for way in ways}

    def routes(self, settings: ViewerSettings) -> list[Route]:
        """Return its routes."""
        return [
            Route(LOGIN, self._show, name="audit_login"),
            Route(LOGIN, self._enter, methods=["POST"], name="audit_login_enter"),
            Route(f"{AUDIT}/uitloggen", self._leave, methods=["POST"], name="audit_logout"),
            *(route for way in self._ways.values() for route in way.routes(settings)),
        ]

    async def _show(self, request: Request) -> Response:
        return self._page(request, Form({}))

    async def _enter(self, request: Request) -> Response:
        form = await read_form(request)
        way = form.one_of("hoe", self._ways, "auditlogin.choose")
        try:
            case = pseudonyms.case_of(form.text("zaak"))
        except RegieError:
            form.errors["zaak"] = "auditlogin.case_wrong"
        answer = None if form.errors else await self._ways[way].begin(request, form, case)
        return answer or self._page(request, form)

    async def _leave(self, request: Request) -> Response:
        session_of(request).log_out()
        return go(request, LOGIN)

    def _page(self, request: Request, form: Form) -> Response:
        people = [one for way in self._ways.values() for one in way.people()]
        return login_page(request, 422 if form.errors else 200, form=form, people=people, ways=list(self._ways))


def login_page(request: Request, status: int, **values: Any) -> Response:
    """Return the login page."""
    return page(request, "audit_login.html", status, **{"failure": "", "people": [], "ways": [], **values})


class DemoAuditors:
    """Made-up auditors to choose from; proves nothing, so it starts in a demo only."""

    name = "demo"

    def __init__(self, people: Mapping[str, str]) -> None:
        """Offer these: key and name."""
        self._people = dict(people)

    def people(self) -> Sequence[tuple[str, str]]:
        """Return them."""
        return list(self._people.items())

    async def begin(self, request: Request, form: Form, case: str) -> Response | None:
        """Be whom the form names."""
        who = form.one_of("wie", self._people, "auditlogin.choose")
        if form.errors:
            return None
        enter(request, pseudonyms.person_of(console_of(request).key, f"demo {who}"), case)
        return go(request, AUDIT)

    def routes(self, settings: ViewerSettings) -> list[Route]:
        """Return none; raises SettingsError outside a demo."""
        if not settings.demo:
            raise SettingsError("the demo login of the console proves nothing: it starts only in a home marked demo")
        return []


class Certificate:
    """Log in with a certificate of the auditing organisation, which TLS verified (``gateway.web.Tls``)."""

    name = "certificaat"

    def people(self) -> Sequence[tuple[str, str]]:
        """Return none."""
        return ()

    async def begin(self, request: Request, form: Form, case: str) -> Response | None:
        """Be the holder of the certificate that the connection showed."""
        shown = request.scope.get("client_certificate", b"")
        if not shown or _oin(shown) != console_of(request).organisation.oin:
            form.errors["hoe"] = "auditlogin.certificate_wrong"
            return None
        number = sha256(shown).hexdigest()
        enter(request, pseudonyms.person_of(console_of(request).key, f"certificate {number}"), case)
        return go(request, AUDIT)

    def routes(self, settings: ViewerSettings) -> list[Route]:
        """Return none; raises SettingsError when browsers are told to come without TLS."""
        if not settings.secure:
            raise SettingsError("[auditor] tls needs an origin that begins with https")
        return []


class OidcAuditors:
    """Log in at the auditing organisation's own provider; only who has the role gets in."""

    name = "dienst"

    def __init__(
        self,
        settings: OidcSettings,
        role: str = "regie-auditor",
        role_claim: str = "roles",
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """Accept whoever has ``role`` in the claim ``role_claim`` (one word or a list)."""
        self._provider = Provider(settings, transport)
        self._role, self._claim = role, role_claim

    def people(self) -> Sequence[tuple[str, str]]:
        """Return none."""
        return ()

    def routes(self, settings: ViewerSettings) -> list[Route]:
        """Return the way back; ``/nl/audit/inloggen/terug`` and the English one are registered at the provider."""
        self._origin = settings.origin
        return [Route(_BACK, self._back, name="audit_login_back")]

    async def begin(self, request: Request, form: Form, case: str) -> Response | None:
        """Go to the provider, and remember the case until somebody comes back."""
        attempt = Attempt(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            then=AUDIT,
            began_ms=viewer_of(request).clock(),
        )
        try:
            url = await self._provider.begin(attempt, self._redirect_uri(request), language_of(request))
        except LoginError as error:
            form.errors["hoe"] = "auditlogin.failed"
            _log.warning("login_failed", role="auditor", reason=error.reason)
            return None
        session_of(request).begin_login(attempt)
        session_of(request).remember(_WANTED, case)
        return RedirectResponse(url, 303)

    async def _back(self, request: Request) -> Response:
        attempt, case = session_of(request).end_login(), session_of(request).forget(_WANTED)
        if attempt is None or not case:
            return self._refused(request, "auditlogin.failed", 403)
        try:
            claims = await self._provider.finish(
                attempt, request.query_params, self._redirect_uri(request), viewer_of(request).clock()
            )
        except LoginError as error:
            _log.warning("login_failed", role="auditor", reason=error.reason)
            return self._refused(request, "auditlogin.failed", 503 if error.reason == "unreachable" else 403)
        if not self._audits(claims):
            return self._refused(request, "auditlogin.not_auditor", 403)
        login = f"{claims['iss']} {claims['sub']}"
        enter(request, pseudonyms.person_of(console_of(request).key, login), case)
        return go(request, AUDIT)

    def _refused(self, request: Request, failure: str, status: int) -> Response:
        return login_page(request, status, form=Form({}), ways=[self.name], failure=failure)

    def _audits(self, claims: Mapping[str, Any]) -> bool:
        roles = claims.get(self._claim, ())
        return self._role in ((roles,) if isinstance(roles, str) else tuple(roles))

    def _redirect_uri(self, request: Request) -> str:
        return self._origin + address(language_of(request), _BACK)


def _oin(certificate: bytes) -> str:
    try:
        return oin_of(x509.load_der_x509_certificate(certificate))
    except (ValueError, RegieError):
        return ""
