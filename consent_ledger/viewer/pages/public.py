"""Public pages that only explain: the first page, how it works, accessibility, privacy, contact."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.viewer.context import portal_of
from consent_ledger.viewer.rendering import page


async def home(request: Request) -> Response:
    """Show what this is, and that nothing has to be done."""
    return page(request, "home.html")


async def how(request: Request) -> Response:
    """Explain the four answers, what is shared, what never is, and what we do not see."""
    return page(request, "how.html")


async def accessibility(request: Request) -> Response:
    """Say how these pages are made to be used by everybody, and what to do where they fail."""
    return page(request, "accessibility.html")


async def privacy(request: Request) -> Response:
    """Say what is kept about a resident, by whom, and for how long."""
    registry = await portal_of(request).registry()
    days = {p.ledger_retention_days for p in registry.purposes if p.ledger_retention_days and not p.prohibited}
    copies = {p.retention_days for p in registry.purposes if p.retention_days}
    return page(request, "privacy.html", ledger_days=max(days, default=0), copy_days=max(copies, default=0))


async def contact(request: Request) -> Response:
    """Say how to reach a person."""
    return page(request, "contact_us.html")


routes = [
    Route("/", home, name="home"),
    Route("/uitleg", how, name="how"),
    Route("/toegankelijkheid", accessibility, name="accessibility"),
    Route("/privacy", privacy, name="privacy"),
    Route("/contact", contact, name="contact"),
]
