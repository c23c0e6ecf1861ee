"""The date that a recorded reason speaks of, from the events that decided; it was ``Decision.date_ms`` at the time."""

from __future__ import annotations

from collections.abc import Iterable

from consent_ledger.clock import DAY_MS
from consent_ledger.purpose import Purpose
from consent_ledger.v1 import events_pb2 as pb

_USUAL_DAYS = 14


def reason_date(reason: int, time_ms: int, deciding: Iterable[pb.Event], purpose: Purpose | None) -> int:
    """Return the date a reason speaks of, from the events that decided: what ``Decision.date_ms`` was (0: none)."""
    events: dict[str, pb.Event] = {str(event.WhichOneof("body")): event for event in deciding}
    opened_ms = events["exchange_decided"].time_ms if "exchange_decided" in events else time_ms
    match reason:
        case pb.REASON_SELF_FIRST_WINDOW:
            return opened_ms + (purpose.self_first_days if purpose else _USUAL_DAYS) * DAY_MS
        case pb.REASON_AWAITING_RESIDENT:
            return opened_ms + (purpose.ask_days if purpose else _USUAL_DAYS) * DAY_MS
        case pb.REASON_REFUSED if "exchange_decided" in events:
            return opened_ms + (purpose.ask_days if purpose else _USUAL_DAYS) * DAY_MS  # the silence that was a no
        case _:
            return _date_of_choice(reason, time_ms, events)


def _date_of_choice(reason: int, time_ms: int, events: dict[str, pb.Event]) -> int:
    granted = events.get("consent_granted")
    match reason:
        case pb.REASON_PAUSED:
            return events["sharing_paused"].sharing_paused.until_ms if "sharing_paused" in events else 0
        case pb.REASON_EXPIRED if granted:
            return granted.consent_granted.valid_until_ms
        case pb.REASON_NOT_YET_VALID if granted:
            return granted.consent_granted.valid_from_ms
        case pb.REASON_REFUSED:
            answer = events.get("consent_refused") or events.get("ask_answered")
            return answer.time_ms if answer else time_ms
        case pb.REASON_WITHDRAWN:
            return events["consent_withdrawn"].time_ms if "consent_withdrawn" in events else time_ms
        case _:
            return granted.time_ms if granted else time_ms


def is_silence(deciding: Iterable[pb.Event]) -> bool:
    """Tell whether a refusal is of a question that nobody answered: the signal that put it decided, and no answer."""
    return any(event.HasField("exchange_decided") for event in deciding)
