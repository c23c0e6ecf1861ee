"""The rules for recording a resident's choice: what the ledger accepts, and the event it becomes.

A grant is held to everything its purpose says. Saying no, stopping and pausing are not made to depend on whether an
organisation or purpose is still active: a resident can always stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from consent_ledger import lifeevents, severity
from consent_ledger.authority import CONFIRM_DAYS, DESK_MONTHS, is_delayed
from consent_ledger.clock import DAY_MS
from consent_ledger.dates import add_months
from consent_ledger.errors import RegieError
from consent_ledger.purpose import Purpose
from consent_ledger.registry import Registry
from consent_ledger.state import SubjectState
from consent_ledger.v1 import consents_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.authority import recorded
from consent_ledger.writing.decision import CLOCK_SKEW_MS

_LONGEST_AHEAD_MS = 366 * DAY_MS
LONGEST_UNDERWAY_MS = 30 * DAY_MS
"""How old a choice may be when it arrives. Later than that the ledger may have erased what made it stale."""


def event_for(change: consents_pb2.Change, states: Sequence[SubjectState], registry: Registry, now_ms: int) -> pb.Event:
    """Return the event that a change becomes; ``states`` are those of its subjects.

    Raises RegieError NOT_FRESH, WRITE_STALE, PURPOSE_UNKNOWN, PURPOSE_PROHIBITED, PARTY_UNKNOWN, BEYOND_PURPOSE or
    FIELD_INVALID, naming the field.
    """
    check_order(change.created_ms, states, now_ms)
    for rows in change.rows:
        _known(registry, rows.purpose, "rows.purpose")
    match change.WhichOneof("what"):
        case "grant":
            return pb.Event(consent_granted=_granted(change, registry, now_ms))
        case "refuse":
            scope = _scope(change, change.refuse.scope, registry)
            return pb.Event(consent_refused=pb.ConsentRefused(scope=scope, **_written(change)))
        case "withdraw":
            scope = _scope(change, change.withdraw.scope, registry)
            return pb.Event(consent_withdrawn=pb.ConsentWithdrawn(scope=scope, **_written(change)))
        case "answer":
            return pb.Event(ask_answered=_answered(change, states, registry, now_ms))
        case _:
            return _for_everything(change, now_ms)


def _for_everything(change: consents_pb2.Change, now_ms: int) -> pb.Event:
    """Changes that concern no single organisation; their rows may span purposes."""
    match change.WhichOneof("what"):
        case "pause":
            until_ms = change.pause.until_ms
            if until_ms and until_ms <= now_ms:
                raise RegieError("FIELD_INVALID", "this pause has ended already", field="pause.until_ms")
            return pb.Event(sharing_paused=pb.SharingPaused(until_ms=until_ms, **_written(change)))
        case "resume":
            return pb.Event(sharing_resumed=pb.SharingResumed(**_written(change)))
        case "preferences":
            return pb.Event(preferences_set=pb.PreferencesSet(preferences=change.preferences, **_written(change)))
        case _:
            raise RegieError("FIELD_INVALID", "a change says what changes", field="what")


def _written(change: consents_pb2.Change) -> dict[str, Any]:
    return {"capture": recorded(change.capture), "created_ms": change.created_ms}


def check_order(created_ms: int, states: Sequence[SubjectState], now_ms: int) -> None:
    """A write counts only if newer than the row's last, so that a delayed yes cannot undo a later no.

    Raises RegieError NOT_FRESH or WRITE_STALE.
    """
    if created_ms > now_ms + CLOCK_SKEW_MS:
        # Also keeps a row from being locked by a write that claims to be from the far future.
        raise RegieError("NOT_FRESH", "the choice was created in the future", field="created_ms")
    if created_ms < now_ms - LONGEST_UNDERWAY_MS:
        raise RegieError("NOT_FRESH", "the choice was created more than 30 days ago", field="created_ms")
    if any(created_ms <= state.written_ms for state in states):
        raise RegieError("WRITE_STALE", "a choice of the same time or newer is recorded already", field="created_ms")


def undated(request: consents_pb2.Change | consents_pb2.EraseRequest) -> bytes:
    """Return what somebody asks for, whenever they wrote it."""
    same = type(request)()
    same.CopyFrom(request)  # type: ignore[arg-type]  # of its own kind
    same.ClearField("created_ms")
    return same.SerializeToString(deterministic=True)


def _known(registry: Registry, identity: str, field: str) -> Purpose:
    purpose = registry.find_purpose(identity)
    if purpose is None:
        raise RegieError("PURPOSE_UNKNOWN", f"no purpose is called {identity!r}", field=field)
    return purpose


def _scope(change: consents_pb2.Change, scope: pb.Scope, registry: Registry) -> pb.Scope:
    """Check for whom a choice counts and return it with the version of the purpose filled in."""
    field = f"{change.WhichOneof('what')}.scope"
    purpose = _known(registry, scope.purpose, f"{field}.purpose")
    if purpose.prohibited:
        raise RegieError("PURPOSE_PROHIBITED", "nobody can choose anything for this purpose", field=f"{field}.purpose")
    if scope.purpose_version not in (0, purpose.version):
        raise RegieError("PURPOSE_UNKNOWN", f"the purpose is at version {purpose.version}", field=f"{field}.purpose")
    if any(rows.purpose != scope.purpose for rows in change.rows):
        raise RegieError("FIELD_INVALID", "every row of this change is of the purpose of its scope", field="rows")
    _check_party(registry, scope.sender, purpose.sender_kinds, f"{field}.sender")
    _check_party(registry, scope.recipient, purpose.recipient_kinds, f"{field}.recipient")
    return pb.Scope(
        sender=scope.sender, recipient=scope.recipient, purpose=scope.purpose, purpose_version=purpose.version
    )


def _check_party(registry: Registry, oin: str, kinds: tuple[str, ...], field: str) -> None:
    participant = registry.find_participant(oin)
    if participant is None:
        raise RegieError("PARTY_UNKNOWN", f"no participant has OIN {oin}", field=field)
    if participant.kind not in kinds:
        raise RegieError("PARTY_UNKNOWN", f"a {participant.kind} has no such part in this purpose", field=field)


def _granted(change: consents_pb2.Change, registry: Registry, now_ms: int) -> pb.ConsentGranted:
    """Check a grant against the ceilings of its purpose; nothing is shortened or left out for the resident."""
    grant = change.grant
    scope = _scope(change, grant.scope, registry)
    purpose = registry.purpose(scope.purpose)
    if purpose.retired:
        raise RegieError("PURPOSE_UNKNOWN", "this purpose is no longer in use", field="grant.scope.purpose")
    for oin, field in ((scope.sender, "grant.scope.sender"), (scope.recipient, "grant.scope.recipient")):
        if registry.participant(oin).suspended:
            raise RegieError("PARTY_UNKNOWN", "this participant is suspended", field=field)
    beyond = sorted(set(grant.items) - purpose.item_names)
    if beyond or not grant.items:
        what = f"the purpose does not list {', '.join(beyond)}" if beyond else "a grant names its data items"
        raise RegieError("BEYOND_PURPOSE", what, field="grant.items")
    _check_terms(grant, purpose)
    if grant.valid_from_ms > now_ms + _LONGEST_AHEAD_MS:
        raise RegieError("BEYOND_PURPOSE", "a choice starts within a year", field="grant.valid_from_ms")
    earliest_ms = max(grant.valid_from_ms, now_ms)  # it cannot have held before it was recorded
    delayed = _is_delayed(change)
    starts_ms = max(earliest_ms, now_ms + CONFIRM_DAYS * DAY_MS) if delayed else earliest_ms
    return pb.ConsentGranted(
        scope=scope,
        items=sorted(grant.items),
        mode=grant.mode,
        threshold=grant.threshold,
        occasion=grant.occasion,
        valid_from_ms=starts_ms,
        valid_until_ms=add_months(earliest_ms, grant.months),
        confirmable_from_ms=earliest_ms if delayed else 0,
        capture=recorded(change.capture),
        created_ms=change.created_ms,
    )


def _check_terms(grant: consents_pb2.Grant, purpose: Purpose) -> None:
    """Check how long, from which severity and in which way; raises BEYOND_PURPOSE or FIELD_INVALID."""
    if grant.months not in (3, 6, 12):
        raise RegieError("FIELD_INVALID", "a choice holds for 3, 6 or 12 months", field="grant.months")
    if grant.months > purpose.longest_validity_months:
        longest = purpose.longest_validity_months
        raise RegieError("BEYOND_PURPOSE", f"the purpose allows at most {longest} months", field="grant.months")
    if grant.occasion == pb.OCCASION_LIFE_EVENT and grant.months != lifeevents.MONTHS:
        what = f"what a change in life leads to holds for {lifeevents.MONTHS} months"
        raise RegieError("BEYOND_PURPOSE", what, field="grant.months")
    if grant.threshold > severity.bands(purpose):
        raise RegieError("BEYOND_PURPOSE", "signals of this purpose have no such severity", field="grant.threshold")
    if grant.mode not in (pb.MODE_JA, pb.MODE_VRAAG_MIJ_EERST, pb.MODE_EERST_ZELF):
        raise RegieError("FIELD_INVALID", "this is no way to agree", field="grant.mode")


def _is_delayed(change: consents_pb2.Change) -> bool:
    """Tell whether a yes waits for some days or the resident's confirmation: at a desk and on paper (R37)."""
    delayed = is_delayed(change.capture.via)
    if delayed and change.grant.months > DESK_MONTHS:
        what = f"a yes at a desk or on paper holds for at most {DESK_MONTHS} months"
        raise RegieError("BEYOND_PURPOSE", what, field="grant.months")
    return delayed


def _answered(
    change: consents_pb2.Change, states: Sequence[SubjectState], registry: Registry, now_ms: int
) -> pb.AskAnswered:
    """Accept an answer only while its question is open: silence past the deadline was a no (R3)."""
    scope = _scope(change, change.answer.scope, registry)
    days_ms = registry.purpose(scope.purpose).ask_days * DAY_MS
    choices = [state.choices.get((scope.sender, scope.recipient)) for state in states]
    questions = [choice.question for choice in choices if choice and choice.question]
    if not any(now_ms <= question.opened_ms + days_ms for question in questions):
        raise RegieError("FIELD_INVALID", "no question is open here: make a new choice", field="answer.scope")
    return pb.AskAnswered(scope=scope, yes=change.answer.yes, **_written(change))
