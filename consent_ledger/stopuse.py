"""Stop-use notices: who has to stop using what it received, once the resident stopped, refused or paused it (R5).

Pure, like ``decide``: the ledger writes directly after such a choice exactly the notices that this says, and a replay
finds them missing or made up. A recipient is told which signals and by when, never why: whether the resident stopped,
said no or paused stays between the resident and the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable

from consent_ledger.clock import DAY_MS
from consent_ledger.registry import Registry
from consent_ledger.state import Delivered, SubjectState
from consent_ledger.v1 import events_pb2 as pb

DAYS_TO_ACKNOWLEDGE = 7
MOST_RELEASED = 500
"""Releases in one notice: what an organisation is told has a size that everybody knows."""


def due_ms(noticed_ms: int) -> int:
    """Return the time (ms) by which a recipient acknowledges a notice."""
    return noticed_ms + DAYS_TO_ACKNOWLEDGE * DAY_MS


def notices_due(registry: Registry, state: SubjectState, event: pb.Event) -> list[pb.StopUseNoticed]:
    """Return the notices that a choice about this subject leads to, by sender, recipient and purpose.

    ``state`` is that after the choice. What a recipient may keep no longer (``retention_days`` of its purpose) needs no
    notice: it is deleted already.
    """
    found: dict[tuple[str, str, str], list[int]] = {}
    for one in concerned(state.delivered, event):
        if _in_use(registry, one, event.time_ms):
            found.setdefault((one.sender, one.recipient, one.purpose), []).append(one.idx)
    return [
        pb.StopUseNoticed(
            sender=sender,
            recipient=recipient,
            purpose=purpose,
            released=released[at : at + MOST_RELEASED],
            due_ms=due_ms(event.time_ms),
        )
        for (sender, recipient, purpose), released in sorted(found.items())
        for at in range(0, len(released), MOST_RELEASED)
    ]


def concerned(delivered: Iterable[Delivered], event: pb.Event) -> list[Delivered]:
    """Return what a choice stops of what was delivered; nothing when it stops nothing."""
    match event.WhichOneof("body"):
        case "consent_withdrawn":
            scope = event.consent_withdrawn.scope
        case "consent_refused":
            scope = event.consent_refused.scope
        case "sharing_paused":
            return list(delivered)
        case _:
            return []
    return [one for one in delivered if (one.sender, one.recipient) == (scope.sender, scope.recipient)]


def _in_use(registry: Registry, one: Delivered, now_ms: int) -> bool:
    purpose = registry.find_purpose(one.purpose)
    days = purpose.retention_days if purpose else 0
    return not days or now_ms < one.released_ms + days * DAY_MS
