"""The witnesses of regie.toml, and how many of them a published checkpoint needs."""

from __future__ import annotations

from consent_ledger.log.errors import NoteError
from consent_ledger.log.quorum import NOBODY, Quorum, WitnessKeys
from consent_ledger.witness.client import WitnessAddress
from gateway.home import Home, HomeError


def witnesses_of(home: Home) -> list[WitnessAddress]:
    """Return the witnesses of a home's settings, in their order; raises HomeError."""
    try:
        found = [WitnessAddress(WitnessKeys.parse(known.verifier_keys), known.url) for known in home.witnesses]
    except NoteError as error:
        raise HomeError(f"{home.folder / 'regie.toml'}, [witnesses]: {error}") from None
    for witness in found:
        if not witness.url.startswith(("http://", "https://")):
            raise HomeError(f"{home.folder / 'regie.toml'}, [witnesses]: {witness.url} is no http(s) address")
    return found


def quorum_of(home: Home) -> Quorum:
    """Return how many of which witnesses a published checkpoint needs; raises HomeError on contradictions."""
    witnesses = witnesses_of(home)
    if not witnesses and not home.quorum:
        return NOBODY
    try:
        return Quorum(home.quorum, tuple(witness.keys for witness in witnesses))
    except NoteError as error:
        raise HomeError(f"{home.folder / 'regie.toml'}, [witnesses]: {error}") from None
