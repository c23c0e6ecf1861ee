"""A resident's question to an organisation (R21): what it is called, and by when it is answered."""

from __future__ import annotations

from consent_ledger.clock import DAY_MS

DAYS_TO_ANSWER = 14
"""As many as a resident has to answer a question of ours (R3)."""
MOST_OPEN = 10
"""Questions of one resident in one purpose that wait at the same time."""

INFO_QUESTION = b"regie/question/v1"
INFO_COPY = b"regie/question-copy/v1"
INFO_ANSWER = b"regie/answer/v1"
"""HPKE info strings; the question's id follows."""

TEXT_BYTES = 6_656
"""Every sealed QuestionText has this size, so that a text does not show by its length: 1500 characters of 4 bytes fit.
"""

# Crockford's alphabet: nothing in it looks like something else, so that it can be read out by telephone.
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MISREAD = str.maketrans("OIL", "011")


def due_ms(asked_ms: int) -> int:
    """Return the time (ms) from which a question that was not answered is overdue."""
    return asked_ms + DAYS_TO_ANSWER * DAY_MS


def reference(question_id: bytes) -> str:
    """Return what people call a question: "VR-7K3M-9QPD", of the first 40 bits of its id."""
    number = int.from_bytes(question_id[:5], "big")
    letters = "".join(_LETTERS[number >> shift & 31] for shift in range(35, -1, -5))
    return f"VR-{letters[:4]}-{letters[4:]}"


def same_reference(text: str, question_id: bytes) -> bool:
    """Tell whether somebody means this question, however they wrote its reference."""
    spoken = "".join(text.upper().removeprefix("VR").translate(_MISREAD).replace("-", " ").split())
    return spoken == reference(question_id).removeprefix("VR-").replace("-", "")
