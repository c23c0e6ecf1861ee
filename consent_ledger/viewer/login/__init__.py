"""How residents log in: one Protocol, a demo login for the made-up town, and OpenID Connect."""

from __future__ import annotations

from typing import Protocol

from starlette.routing import Route

from consent_ledger.viewer.settings import ViewerSettings


class Login(Protocol):
    """One way to log in: the routes it needs beside those of entering.py, among them ``/inloggen``."""

    def routes(self, settings: ViewerSettings) -> list[Route]:
        """Return them, without language; raises SettingsError when these settings do not allow this login."""
        ...
