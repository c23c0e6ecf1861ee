"""Codes that people type: eight letters and digits that cannot be taken for one another (Crockford's base 32)."""

from __future__ import annotations

from collections.abc import Callable

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH = 8


def new_code(rng: Callable[[int], bytes]) -> str:
    """Return a random code of 40 bits, without the dash that people are shown."""
    number = int.from_bytes(rng(5), "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(5 * _LENGTH - 5, -1, -5))


def shown(code: str) -> str:
    """Return a code as people read it: in two halves."""
    return f"{code[:4]}-{code[4:]}"
