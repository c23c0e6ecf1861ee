"""Organisations and purposes as pages name them, also when the directory knows them no more."""

from __future__ import annotations

from dataclasses import dataclass

from consent_ledger.purpose import Purpose, Text
from consent_ledger.registry import Registry


@dataclass(frozen=True, slots=True)
class Party:
    """An organisation; public and private ones are told apart everywhere (R11)."""

    oin: str
    name: str
    private: bool
    channels: tuple[int, ...] = ()  # that it can approach residents through; empty: every channel


def party(registry: Registry, oin: str) -> Party:
    """Return an organisation by its OIN; an unknown one is called by its number."""
    found = registry.find_participant(oin)
    return Party(oin, found.name, found.private_party, found.channels) if found else Party(oin, oin, private=True)


def purpose_title(registry: Registry, purpose: str) -> Text:
    """Return what a purpose is called; an unknown one by its id."""
    found = registry.find_purpose(purpose)
    return found.title if found else Text(purpose, purpose)


def choosable(registry: Registry) -> list[Purpose]:
    """Return the purposes a resident can choose about: a prohibited one has no choices (I8)."""
    return [purpose for purpose in registry.purposes if not (purpose.prohibited or purpose.retired)]


def parties_of(registry: Registry, kinds: tuple[str, ...]) -> list[Party]:
    """Return who can take part as one of these kinds, by name; suspended organisations cannot."""
    found = [each for each in registry.participants if each.kind in kinds and not each.suspended]
    return sorted((party(registry, each.oin) for each in found), key=lambda each: each.name)
