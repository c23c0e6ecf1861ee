"""Operators that must not be one organisation (pseudonyms.md, "Domains and keys", Operators)."""

from __future__ import annotations

from consent_ledger.errors import RegieError
from consent_ledger.registry import RECIPIENT_KINDS, SENDER_KINDS, Participant, Registry

_APART: dict[str, frozenset[str]] = {
    "pseudonyms": frozenset({"gateway", "ledger", "viewer"}) | RECIPIENT_KINDS | SENDER_KINDS,
    "ledger": frozenset({"viewer"}) | RECIPIENT_KINDS | SENDER_KINDS,
    "gateway": frozenset({"viewer"}) | SENDER_KINDS,
}
"""Kind -> kinds that its operator may not hold as well."""


def check_separation(registry: Registry) -> None:
    """Raise RegieError OPERATORS_NOT_SEPARATE when one organisation holds roles that must be apart.

    One organisation is: one OIN, one certificate, one key, or one registered name, over all active participants.
    """
    holders: dict[tuple[str, bytes], Participant] = {}
    for participant in registry.participants:
        if participant.suspended:
            continue
        _check_kinds(participant, registry.kinds(participant.oin))
        for mark in _marks(participant):
            other = holders.setdefault(mark, participant)
            if other.oin != participant.oin:
                _check_pair(other, participant, registry, mark[0])


def _marks(participant: Participant) -> list[tuple[str, bytes]]:
    """What tells that two participants are one organisation."""
    marks = [("name", " ".join(participant.name.split()).casefold().encode())]
    marks += [("key", key.public) for key in participant.keys]
    if participant.certificate:
        marks.append(("certificate", participant.certificate))
    return marks


def _check_kinds(participant: Participant, kinds: frozenset[str]) -> None:
    for kind in kinds:
        clash = kinds & _APART.get(kind, frozenset())
        if clash:
            raise RegieError(
                "OPERATORS_NOT_SEPARATE",
                f"{participant.name} ({participant.oin}) is {kind} and {min(clash)}: these must be two organisations",
            )


def _check_pair(one: Participant, other: Participant, registry: Registry, mark: str) -> None:
    for first, second in ((one, other), (other, one)):
        for kind in registry.kinds(first.oin):
            clash = registry.kinds(second.oin) & _APART.get(kind, frozenset())
            if clash:
                raise RegieError(
                    "OPERATORS_NOT_SEPARATE",
                    f"{first.oin} ({kind}) and {second.oin} ({min(clash)}) have the same {mark}: "
                    "these must be two organisations",
                )
