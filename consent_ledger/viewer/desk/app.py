"""The desk's pages as one application, on an origin of their own: it has no page of the residents'."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from consent_ledger.clock import Clock
from consent_ledger.viewer.app import shell
from consent_ledger.viewer.context import address, language_of
from consent_ledger.viewer.desk import pages
from consent_ledger.viewer.desk.login import StaffLogin
from consent_ledger.viewer.desk.staff import DESK
from consent_ledger.viewer.routing import collect, in_languages
from consent_ledger.viewer.session import SessionStore
from consent_ledger.viewer.settings import SettingsError, ViewerSettings

if TYPE_CHECKING:
    from consent_ledger.viewer.port import Portal


def desk_app(
    settings: ViewerSettings, portal: Portal, login: StaffLogin, store: SessionStore, clock: Clock
) -> Starlette:
    """Return the application of the desk; raises SettingsError for settings that are not those of a desk."""
    if not settings.desk:
        raise SettingsError("these are settings of the residents' pages: the desk has an origin of its own (desk=True)")
    routes = [Route("/", _first), *collect(pages), *in_languages([Route("/", _first), *login.routes(settings)])]
    return shell(settings, portal, Apart(store), clock, routes)


class Apart:
    """The desk's part of a store of sessions: a cookie of the desk opens nothing on the residents' pages, nor back."""

    def __init__(self, store: SessionStore) -> None:
        """Keep the desk's sessions in ``store``, which the residents' pages may use as well."""
        self._store = store

    async def read(self, key: bytes) -> bytes | None:
        """Return the sealed session, or None."""
        return await self._store.read(_key(key))

    async def write(self, key: bytes, sealed: bytes, expires_ms: int) -> None:
        """Store it, over what was there."""
        await self._store.write(_key(key), sealed, expires_ms)

    async def delete(self, key: bytes) -> None:
        """Forget it."""
        await self._store.delete(_key(key))


def _key(key: bytes) -> bytes:
    return sha256(b"regie/session/desk/v1" + key).digest()


async def _first(request: Request) -> Response:
    return RedirectResponse(address(language_of(request), DESK), 302)
