"""Bytes of a subject's state: positional JSON, because a batch reads and writes a thousand of them."""

from __future__ import annotations

import json
from typing import Any

from consent_ledger.state import EMPTY, Choice, Contact, Exchange, Pause, Question, SubjectState, Window

_FORMAT = 1


def encode(state: SubjectState) -> bytes:
    """Return the bytes stored in ``subject.state``; empty for a subject about whom nothing was chosen or permitted."""
    if state == EMPTY:
        return b""
    pause, contact = state.pause, state.contact
    parts = [
        _FORMAT,
        state.written_ms,
        [[*party, *_choice_row(choice)] for party, choice in state.choices.items()],
        pause and [pause.index, pause.since_ms, pause.until_ms],
        contact and _contact_row(contact),
        [[e.decided_index, e.decided_ms, e.released_ms] for e in state.exchanges],
    ]
    return json.dumps(parts, separators=(",", ":")).encode()


def decode(data: bytes) -> SubjectState:
    """Read stored bytes; raises ValueError on another format (then the projection must be rebuilt from the log)."""
    if not data:
        return EMPTY
    version, written_ms, choices, pause, contact, exchanges = json.loads(data)
    if version != _FORMAT:
        raise ValueError(f"expected subject state of format {_FORMAT}, got {version}")
    return SubjectState(
        written_ms,
        {(row[0], row[1]): _choice(row[2:]) for row in choices},
        Pause(*pause) if pause else None,
        _contact(contact) if contact else None,
        tuple([Exchange(*row) for row in exchanges]),
    )


def _choice_row(choice: Choice) -> list[Any]:
    question, window = choice.question, choice.window
    return [
        choice.mode,
        choice.index,
        choice.recorded_ms,
        choice.purpose_version,
        choice.items,
        choice.threshold,
        choice.valid_from_ms,
        choice.valid_until_ms,
        choice.withdrawn_ms,
        choice.withdrawn_index,
        question and _question_row(question),
        window and [window.index, window.opened_ms, window.used_by],
    ]


def _choice(row: list[Any]) -> Choice:
    row[4] = tuple(row[4])
    if row[10]:
        row[10] = Question(*row[10])
    if row[11]:
        row[11] = Window(*row[11])
    return Choice(*row)


def _question_row(question: Question) -> list[Any]:
    return [
        question.index,
        question.opened_ms,
        question.yes,
        question.answered_ms,
        question.answer_index,
        question.used_by,
    ]


def _contact_row(contact: Contact) -> list[Any]:
    return [
        contact.index,
        contact.channels,
        contact.never,
        contact.language,
        contact.same_person,
        contact.general_only,
        contact.most_per_30_days,
        contact.form_of_address,
    ]


def _contact(row: list[Any]) -> Contact:
    row[1], row[2] = tuple(row[1]), tuple(row[2])
    return Contact(*row)
