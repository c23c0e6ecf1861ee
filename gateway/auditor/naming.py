"""Names of organisations and purposes for pages, as the directory has them."""

from __future__ import annotations

from starlette.requests import Request

from consent_ledger.registry import Registry
from consent_ledger.viewer.catalogue import Words
from consent_ledger.viewer.context import language_of, words_of
from gateway.auditor.console import console_of


class Naming:
    """Names in the language of a page."""

    def __init__(self, registry: Registry, words: Words, language: str) -> None:
        """Name from one directory."""
        self._registry, self._words, self._language = registry, words, language

    def party(self, oin: str) -> str:
        """Return an organisation's name; its number when the directory does not know it (yet)."""
        found = self._registry.find_participant(oin)
        return found.name if found else oin

    def purpose(self, identity: str) -> str:
        """Return a purpose's title; its id when it is unknown."""
        found = self._registry.find_purpose(identity)
        return getattr(found.title, self._language) if found else identity

    def reason(self, number: int) -> str:
        """Return what a Reason means."""
        key = f"audit.reason_{number}"
        return self._words.text(key if key in self._words else "audit.reason_0")


def naming_of(request: Request) -> Naming:
    """Return how this page names things."""
    return Naming(console_of(request).registry(), words_of(request), language_of(request))
