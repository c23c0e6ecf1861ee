"""What a page knows of its request: language, session, resident, and the means of the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from starlette.requests import Request

from consent_ledger.clock import Clock
from consent_ledger.viewer.catalogue import LANGUAGES, Language, Words
from consent_ledger.viewer.session import Resident, Session, Sessions
from consent_ledger.viewer.settings import ViewerSettings

if TYPE_CHECKING:
    from consent_ledger.viewer.port import Portal
    from consent_ledger.viewer.rendering import Renderer


@dataclass(frozen=True, slots=True)
class Viewer:
    """What every request of one application shares; ``request.app.state.viewer``."""

    settings: ViewerSettings
    portal: Portal | None  # the auditors' console has none
    clock: Clock
    sessions: Sessions
    words: dict[Language, Words]
    renderer: Renderer


def viewer_of(request: Request) -> Viewer:
    """Return the application's means."""
    return cast("Viewer", request.app.state.viewer)


def portal_of(request: Request) -> Portal:
    """Return the way to ledger and gateway."""
    portal = viewer_of(request).portal
    assert portal is not None, "only pages about residents ask for it"
    return portal


def session_of(request: Request) -> Session:
    """Return the visitor's session, which may be empty."""
    return cast("Session", request.state.session)


def resident_of(request: Request) -> Resident:
    """Return whose pages these are; only pages below /mijn have one for certain."""
    resident = session_of(request).resident
    assert resident is not None, "the page is below /mijn, so routing let nobody else in"
    return resident


def language_of(request: Request) -> Language:
    """Return the language of the path; elsewhere the one the browser likes better."""
    first = request.url.path.split("/")[1]
    for language in LANGUAGES:
        if first == language:
            return language
    return preferred(request.headers.get("accept-language", ""))


def words_of(request: Request) -> Words:
    """Return the texts in the language of the page."""
    return viewer_of(request).words[language_of(request)]


def preferred(accepted: str) -> Language:
    """Return Dutch, unless the browser asks for English before it (RFC 9110 section 12.5.4, without weights)."""
    for part in accepted.split(","):
        for language in LANGUAGES:
            if part.strip().lower().startswith(language):
                return language
    return "nl"


def address(language: Language, path: str) -> str:
    """Return a page's address in a language; the path begins with a slash."""
    return f"/{language}{path}".rstrip("/")
