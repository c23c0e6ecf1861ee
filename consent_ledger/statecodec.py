"""Bytes of a subject's state: its tuples as JSON arrays, because a batch reads and writes a thousand of them.

A field added to state.py goes last in its tuple, with a default; any other change is a new format.
"""

from __future__ import annotations

import json
from typing import Any

from consent_ledger.state import EMPTY, Choice, Contact, Exchange, Pause, Question, SubjectState, Window

_FORMAT = 1
_DECODER = json.JSONDecoder()
_ENCODER = json.JSONEncoder(separators=(",", ":"))


def encode(state: SubjectState) -> bytes:
    """Return the bytes stored in ``subject.state``; empty for a subject about whom nothing was chosen or permitted."""
    if state == EMPTY:
        return b""
    choices = [(*party, choice) for party, choice in state.choices.items()]
    return _ENCODER.encode((_FORMAT, *state._replace(choices=choices))).encode()  # type: ignore[arg-type]


def decode(data: bytes) -> SubjectState:
    """Read stored bytes; raises ValueError on another format (then the projection must be rebuilt from the log)."""
    if not data:
        return EMPTY
    version, written_ms, choices, pause, contact, exchanges = _DECODER.decode(data.decode())
    if version != _FORMAT:
        raise ValueError(f"expected subject state of format {_FORMAT}, got {version}")
    return SubjectState(
        written_ms,
        {(sender, recipient): _choice(row) for sender, recipient, row in choices},
        Pause._make(pause) if pause else None,
        _contact(contact) if contact else None,
        tuple([Exchange._make(row) for row in exchanges]),
    )


def _choice(row: list[Any]) -> Choice:
    """Read the fields of Choice in their order; ``items`` is the fifth, ``question`` and ``window`` are the last."""
    row[4] = tuple(row[4])
    if row[10]:
        row[10] = Question._make(row[10])
    if row[11]:
        row[11] = Window._make(row[11])
    return Choice._make(row)


def _contact(row: list[Any]) -> Contact:
    """Read the fields of Contact in their order; ``channels`` and ``never`` are the second and third."""
    row[1], row[2] = tuple(row[1]), tuple(row[2])
    return Contact._make(row)
