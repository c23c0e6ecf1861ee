"""Everything that matters on paper, with a slip to stop (R36, R41)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.viewer import wishes, wishestold
from consent_ledger.viewer.context import portal_of, resident_of, viewer_of, words_of
from consent_ledger.viewer.rendering import page
from consent_ledger.viewer.telling import tell_choices, tell_exchanges

NEWEST = 50
"""Exchanges on paper; the download has all of them."""


async def show(request: Request) -> Response:
    """Show the overview; the style sheet's print rules do the rest."""
    portal, rows, now = portal_of(request), resident_of(request).rows, viewer_of(request).clock()
    record, registry = await portal.record(rows, limit=NEWEST), await portal.registry()
    preferences, _ = wishes.current(record)
    return page(
        request,
        "printout.html",
        record=record,
        choices=tell_choices(registry, record.choices, now),
        exchanges=tell_exchanges(registry, record, now),
        lines=wishestold.lines(words_of(request), preferences),
    )


routes = [Route("/mijn/afdruk", show, name="printout")]
