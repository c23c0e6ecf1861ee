"""Everything that stands here about one resident, as JSON: names beside numbers, times as ISO 8601."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2
from consent_ledger.viewer.export.receipts import iso
from consent_ledger.viewer.parties import party
from consent_ledger.viewer.port import AllRows, Portal

FORMAT = "regie/download/1"
_PAGE = 500
MOST_PAGES = 40
"""20,000 exchanges: far above what caps and retention let there be; the file says so when it stops there."""
_SEALED = frozenset({"sealed_question", "sealed_answer", "question_key_id", "answer_key_id"})
_TIMES = "_ms"


async def everything(portal: Portal, rows: AllRows, now_ms: int) -> dict[str, Any]:
    """Return all that a resident's pages show, and no more; raises as Portal."""
    registry = await portal.registry()
    record = await portal.record(rows, limit=_PAGE)
    exchanges, complete = await _exchanges(portal, rows, record)
    others = await portal.others(rows)
    questions = await portal.questions(rows)
    preferences = plain(record.preferences) if record.HasField("preferences") else None
    return {
        "format": FORMAT,
        "made": iso(now_ms),
        "complete": complete,
        "paused": {"since": iso(record.paused_since_ms), "until": _or_none(record.paused_until_ms)}
        if record.paused_since_ms
        else None,
        "preferences": preferences,
        "choices": [plain(each) for each in record.choices],
        "exchanges": [plain(each) for each in exchanges],
        "questions": [{**plain(each.record), "text": each.text, "answer": each.answer} for each in questions],
        "notices": [plain(each) for each in record.notices],
        **{name: [plain(each) for each in getattr(others, name)] for name in ("views", "representatives", "attempts")},
        "organisations": _organisations(registry, record.choices, exchanges),
        "purposes": {each.id: {"nl": each.title.nl, "en": each.title.en} for each in registry.purposes},
    }


def plain(message: Message) -> dict[str, Any]:
    """Return a message as JSON values: ``..._ms`` becomes a time of that name without it, numbers stay numbers."""
    shown = MessageToDict(message, preserving_proto_field_name=True)
    return {name.removesuffix(_TIMES): value for name, value in _walk(shown).items()}


async def _exchanges(
    portal: Portal, rows: AllRows, first: consents_pb2.GetRecordResponse
) -> tuple[list[consents_pb2.ExchangeRecord], bool]:
    found, record = list(first.exchanges), first
    for _ in range(MOST_PAGES - 1):
        if not record.next_before_index:
            break
        record = await portal.record(rows, limit=_PAGE, before_index=record.next_before_index)
        found += record.exchanges
    return found, not record.next_before_index


def _walk(value: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(name, each) for name, each in value.items() if name not in _SEALED}


def _value(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {key.removesuffix(_TIMES): _value(key, each) for key, each in value.items() if key not in _SEALED}
    if isinstance(value, list):
        return [_value(name, each) for each in value]
    if name.endswith(_TIMES):
        return iso(int(value))
    # protobuf's JSON writes 64-bit numbers as text; a log index is small enough to be a number everywhere
    return int(value) if name.endswith("_index") or name in ("released", "log_index") else value


def _organisations(
    registry: Registry,
    choices: Iterable[consents_pb2.ChoiceRecord],
    exchanges: Iterable[consents_pb2.ExchangeRecord],
) -> dict[str, dict[str, Any]]:
    oins = {oin for each in choices for oin in (each.scope.sender, each.scope.recipient)}
    oins |= {oin for each in exchanges for oin in (each.sender, each.recipient)}
    known = (party(registry, oin) for oin in sorted(oins))
    return {each.oin: {"name": each.name, "private": each.private} for each in known}


def _or_none(time_ms: int) -> str | None:
    return iso(time_ms) if time_ms else None
