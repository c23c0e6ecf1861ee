"""The checkpoint as it is published: the durable head's note, with signature lines that only readers need."""

from __future__ import annotations

from collections.abc import Callable

from consent_ledger.log.keys import LogKeys
from consent_ledger.log.note import open_note
from consent_ledger.log.notekey import format_line

GREASE_NAME = "grease.invalid"
"""No key has this name: ``.invalid`` is reserved (RFC 2606)."""


def grease_line(rng: Callable[[int], bytes]) -> str:
    """Return a signature line by nobody, of random length.

    A reader that fails on it would fail on the next new kind of key too, and shows so now instead of then.
    """
    length = 1 + rng(1)[0] % 128
    return format_line(GREASE_NAME, rng(4), rng(length))


def publish_note(head_note: str, keys: LogKeys, seconds: int, rng: Callable[[int], bytes]) -> str:
    """Return the note to publish: the head's, the log's ML-DSA-44 lines as of ``seconds`` since 1970, and grease.

    Witnesses' lines may be added behind it with ``add_lines``. Raises NoteError when the head's note is not by the
    log's keys.
    """
    body = open_note(head_note, keys.verifiers).text
    return add_lines(head_note, keys.cosign(body, seconds) + grease_line(rng))


def add_lines(note: str, lines: str) -> str:
    """Return the note with more signature lines, each ending in a newline, behind those it has."""
    return note + lines
