"""The public log and its figures: what anybody may know, and how a stranger checks it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.errors import RegieError
from consent_ledger.events import parse_leaf
from consent_ledger.log.errors import FormatError, NoteError
from consent_ledger.log.keys import parse_verifier
from consent_ledger.registry import RECIPIENT_KINDS, SENDER_KINDS
from consent_ledger.viewer.context import portal_of, viewer_of
from consent_ledger.viewer.parties import choosable
from consent_ledger.viewer.rendering import page

HIDDEN_BELOW = 10
"""Smaller groups are not told: a number of three could be three people whom somebody knows (page map, "cijfers")."""


@dataclass(frozen=True, slots=True)
class Published:
    """The newest published checkpoint, once its signatures check."""

    origin: str
    size: int
    root: bytes
    witnesses: tuple[str, ...]


async def _published(request: Request) -> Published:
    """Return it; raises RegieError PROOF_INVALID when log or witnesses did not sign it."""
    trust = viewer_of(request).settings.trust
    note = await portal_of(request).checkpoint()
    keys = [parse_verifier(key) for key in portal_of(request).log_verifier_keys.split()]
    try:
        found = trust.quorum.open(note, keys)
        cosigned = trust.quorum.cosigned(note)
    except (NoteError, FormatError):
        raise RegieError("PROOF_INVALID", "the published checkpoint is not signed as it must be") from None
    return Published(found.origin, found.size, found.root, tuple(sorted(cosigned)))


async def log(request: Request) -> Response:
    """Show the newest checkpoint, the keys, and how to check the log."""
    keys = portal_of(request).log_verifier_keys.split()
    return page(request, "log.html", log=await _published(request), keys=keys)


async def figures(request: Request) -> Response:
    """Show counts that are public: of organisations, purposes and lines of the log."""
    registry, size = await portal_of(request).registry(), (await _published(request)).size
    entries = await portal_of(request).public_entries()
    bodies = Counter(parse_leaf(entry.entry).public.WhichOneof("body") for entry in entries)
    about_residents = size - sum(1 for entry in entries if entry.index < size)
    active = [one for one in registry.participants if not one.suspended]
    return page(
        request,
        "figures.html",
        size=size,
        about_residents=_told(about_residents),
        erased=_told(bodies["entry_erased"]),
        senders=sum(one.kind in SENDER_KINDS for one in active),
        recipients=sum(one.kind in RECIPIENT_KINDS for one in active),
        private=sum(one.private_party for one in active if one.kind in SENDER_KINDS | RECIPIENT_KINDS),
        purposes=len(choosable(registry)),
        forbidden=sum(purpose.prohibited for purpose in registry.purposes),
        hidden_below=HIDDEN_BELOW,
    )


def _told(count: int) -> int | None:
    """Return a number of lines about residents as it may be told; None for a small one that is not zero."""
    return None if 0 < count < HIDDEN_BELOW else count


routes = [Route("/logboek", log, name="log"), Route("/cijfers", figures, name="figures")]
