"""Bytes of a subject's state: its tuples as JSON arrays, because a batch reads and writes a thousand of them.

A field added to state.py goes last in its tuple, with a default; any other change is a new format.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from consent_ledger.others import Others
from consent_ledger.state import EMPTY, Choice, Contact, Delivered, Exchange, Pause, SubjectState, Task

_FORMAT = 1


class _Stored(NamedTuple):
    """Fields with a default are written only as far as there is something in them."""

    format: int
    written_ms: int
    choices: tuple[tuple[str, str, Choice], ...]
    pause: Pause | None
    contact: Contact | None
    exchanges: tuple[Exchange, ...]
    delivered: tuple[Delivered, ...] = ()
    solved: tuple[int, ...] = ()
    tasks: tuple[Task, ...] = ()
    others: Others | None = None


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(_Stored)


def encode(state: SubjectState) -> bytes:
    """Return the bytes stored in ``subject.state``; empty for a subject about whom nothing was chosen or permitted."""
    if state == EMPTY:
        return b""
    written_ms, choices, pause, contact, exchanges, delivered, solved, tasks, others = state
    listed = [(sender, recipient, choice) for (sender, recipient), choice in choices.items()]
    if not (delivered or solved or tasks or others):
        return _ENCODER.encode((_FORMAT, written_ms, listed, pause, contact, exchanges))
    rest = [delivered, solved, tasks, others]
    while not rest[-1]:
        del rest[-1]
    return _ENCODER.encode((_FORMAT, written_ms, listed, pause, contact, exchanges, *rest))


def decode(data: bytes) -> SubjectState:
    """Read stored bytes; raises ValueError on another format (then the projection must be rebuilt from the log)."""
    if not data:
        return EMPTY
    version, written_ms, choices, *rest = _DECODER.decode(data)
    if version != _FORMAT:
        raise ValueError(f"expected subject state of format {_FORMAT}, got {version}")
    by_party = {(sender, recipient): choice for sender, recipient, choice in choices}
    return tuple.__new__(SubjectState, (written_ms, by_party, *rest))
