"""What records are made from: the books an organisation keeps anyway. Nothing is written down twice (ADR 12)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from gateway.ldv.record import Record, Value


class LdvError(Exception):
    """The processing log cannot go on before a person has looked; the text says at what."""


class Placed(NamedTuple):
    """A record and its place in its book; ``anonymous``: whom it is about is not known any more."""

    place: int
    record: Record
    anonymous: bool = False


class Seen(NamedTuple):
    """What is remembered of an entry that was erased before it was exported: nothing about a person."""

    place: int
    kind: str
    time_ms: int
    trace_id: bytes


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a book is exported: every row below ``next``, and those in ``beyond``.

    ``seen``: what is remembered of erased entries, or None to leave out all that was erased.
    """

    next: int = 0
    beyond: frozenset[int] = frozenset()
    seen: Mapping[int, Seen] | None = field(default_factory=dict)
    turn: int = 0  # rises with every change: two exporters notice each other


@dataclass(frozen=True, slots=True)
class Portion:
    """The next records of a book, and how far it is exported once they are taken (as in ``Standing``).

    ``left``: how many rows may still hold records after them.
    """

    items: tuple[Placed, ...]
    next: int
    marks: tuple[int, ...] = ()
    left: int = 0


class Book(Protocol):
    """One book, read by a thread; what it gives depends on the book alone, so that a record is always the same."""

    @property
    def name(self) -> str:
        """What its cursor stands under."""
        ...

    @property
    def label(self) -> str:
        """Which book it is, of all organisations: in the ids of its records, and checked with the cursor."""
        ...

    @property
    def resource(self) -> Mapping[str, Value]:
        """Which application processed."""
        ...

    def read(self, standing: Standing) -> Portion:
        """Return the next records; raises LdvError when the cursor is not one of this book."""
        ...
