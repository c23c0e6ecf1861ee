"""What a resident is told about a choice as time goes by: that it ends, that nobody asks again, that it was solved.

All of it is computed when it is looked at, from the state and the purpose; nothing is sent and nothing is stored.
"""

from __future__ import annotations

from typing import NamedTuple

from consent_ledger.clock import DAY_MS
from consent_ledger.dates import add_months
from consent_ledger.purpose import Purpose
from consent_ledger.state import Choice, SubjectState, Window
from consent_ledger.v1 import events_pb2 as pb

NOTICE_DAYS = (7, 30)
"""Before a choice ends (R6)."""
QUIET_MONTHS = 12
"""After a no the same organisation does not ask for that purpose again (R9)."""
OUTCOME_DAYS = 30
"""For a recipient to say what it did (R22)."""


def ends_within_days(choice: Choice, now_ms: int) -> int:
    """Return 7 or 30 when a choice in force ends within so many days; 0 when it ends later, is over, or never held."""
    if choice.withdrawn_ms or not choice.valid_until_ms or not now_ms < choice.valid_until_ms:
        return 0
    return next((days for days in NOTICE_DAYS if choice.valid_until_ms - now_ms <= days * DAY_MS), 0)


def quiet_until_ms(choice: Choice, now_ms: int) -> int:
    """Return until when an organisation may not ask for what the resident refused; 0: it may."""
    if choice.mode != pb.MODE_NEE:
        return 0
    until_ms = add_months(choice.recorded_ms, QUIET_MONTHS)
    return until_ms if now_ms < until_ms else 0


def outcome_due_ms(released_ms: int) -> int:
    """Return by when (ms) a recipient says what it did with what was released to it then."""
    return released_ms + OUTCOME_DAYS * DAY_MS


class Asked(NamedTuple):
    """A question that a signal put to the resident (VRAAG_MIJ_EERST), as it stands."""

    idx: int
    opened_ms: int
    deadline_ms: int
    answered_ms: int
    yes: bool
    open: bool


def asked(choice: Choice, purpose: Purpose, now_ms: int) -> Asked | None:
    """Return the newest question of a choice; it is open while an answer still counts."""
    question = choice.question
    if question is None:
        return None
    deadline_ms = question.opened_ms + purpose.ask_days * DAY_MS
    waits = question.yes is None and now_ms <= deadline_ms and _holds(choice, now_ms)
    return Asked(
        question.idx, question.opened_ms, deadline_ms, question.answered_ms, yes=bool(question.yes), open=waits
    )


def _holds(choice: Choice, now_ms: int) -> bool:
    return not choice.withdrawn_ms and choice.valid_from_ms <= now_ms < choice.valid_until_ms


def self_until_ms(window: Window, purpose: Purpose) -> int:
    """Return until when the resident tries it alone; the sender has as long again to report it once more."""
    return window.opened_ms + purpose.self_first_days * DAY_MS


def report_until_ms(window: Window, purpose: Purpose) -> int:
    """Return until when a sender that reports it again is let through."""
    return window.opened_ms + 2 * purpose.self_first_days * DAY_MS


def solved(window: Window, purpose: Purpose, now_ms: int) -> bool:
    """Tell whether the resident solved it alone: the sender had its days to come again, and did not (AS4d)."""
    return not window.reported and now_ms > report_until_ms(window, purpose)


def solved_window(state: SubjectState, choice: Choice | None, purpose: Purpose, idx: int, now_ms: int) -> bool:
    """Tell whether the window that the leaf ``idx`` opened ended with nothing shared and nothing reported again."""
    if idx in state.solved:
        return True
    window = choice.window if choice else None
    return window is not None and window.idx == idx and solved(window, purpose, now_ms)
