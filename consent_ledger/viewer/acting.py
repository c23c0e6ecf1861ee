"""What a visitor may do on a resident's pages, and doing it: done is what the ledger signed for."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request

from consent_ledger.errors import RegieError
from consent_ledger.viewer.capture import capture_of
from consent_ledger.viewer.context import portal_of, resident_of
from consent_ledger.viewer.once import change_id
from consent_ledger.viewer.port import Result, What
from consent_ledger.viewer.session import Right


def allow(request: Request, right: Right) -> None:
    """Raise HTTPException 403 unless the visitor may do this, where it depends on what was sent (routing.needs)."""
    if right not in resident_of(request).may:
        raise HTTPException(403)


async def record_change(request: Request, wording: str, what: What) -> int:
    """Record one change; returns its log index once it is durable, raises the RegieError the ledger answered with."""
    return (await record_changes(request, wording, what))[0]


async def record_changes(request: Request, wording: str, *what: What) -> list[int]:
    """Record changes in order; returns their log indices, or raises the first RegieError after all were tried."""
    rows, capture = resident_of(request).rows, capture_of(request, wording)
    results = await portal_of(request).change(rows, capture, *what, change_ids=ids_of(request, what))
    return [_index(result) for result in results]


def ids_of(request: Request, what: Sequence[What]) -> list[bytes]:
    """Return what names each change, so that the form sent again changes nothing again."""
    kinds = (each.DESCRIPTOR.name.encode() for each in what)
    said = (each.SerializeToString(deterministic=True) for each in what)
    return [change_id(request, *parts) for parts in zip(kinds, said, strict=True)]


def _index(result: Result) -> int:
    if isinstance(result, RegieError):
        raise result
    return result
