"""The words that a resident chose with, also when purposes or organisations are called otherwise by now (R20).

The log keeps every version of a purpose and every name. What stood in it before an entry gives the words of that time;
the hash in the entry decides whether they are those that were shown.
"""

from __future__ import annotations

from starlette.requests import Request

from consent_ledger.errors import RegieError
from consent_ledger.events import parse_leaf
from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2
from consent_ledger.viewer import wording
from consent_ledger.viewer.catalogue import Language
from consent_ledger.viewer.context import portal_of, viewer_of


async def words_then(
    request: Request, registry: Registry, entry: consents_pb2.EntryEvent
) -> tuple[Language, str] | None:
    """Return the words that were shown for an entry and their language; None when they cannot be made again."""
    catalogue = viewer_of(request).words
    found = wording.shown_then(catalogue, registry, entry.event)
    body = getattr(entry.event, str(entry.event.WhichOneof("body")), None)
    if found or not body or "capture" not in body.DESCRIPTOR.fields_by_name or not body.capture.text_hash:
        return found
    try:
        return wording.shown_then(catalogue, await _registry_then(request, entry.log_index), entry.event)
    except RegieError as error:
        if error.status == "UNAVAILABLE":
            raise
        return None  # a purpose that nobody had published then, so no words of ours


async def _registry_then(request: Request, index: int) -> Registry:
    """Return who took part and for what purposes when an entry was written."""
    entries = await portal_of(request).public_entries()
    return Registry.fold((each.index, parse_leaf(each.entry).public) for each in entries if each.index < index)
