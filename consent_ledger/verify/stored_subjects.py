"""The tables about subjects against the log: chain heads, states, and which leaves belong to whom.

A state is the fold of the events that are there: an erasure folds it again without what it erased, so that nothing of
that lives on (I9). A subject's log indices are those in ``subject.recent`` together with its rows of ``subject_entry``,
wherever the writer put each. Pseudonyms are shown by their first 8 bytes: enough to find the row, too little to match
it elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

from consent_ledger.state import SubjectState
from consent_ledger.statecodec import decode, encode
from consent_ledger.verify.problems import Problems
from consent_ledger.verify.snapshot import Snapshot
from consent_ledger.verify.subjects import Subject, Subjects

COLUMNS = ("id", "seq", "last", "state", "recent")
_NOBODY = Subject()


class Stored(NamedTuple):
    """A row of ``subject``."""

    id: bytes
    seq: int
    last: bytes
    state: bytes
    recent: bytes = b""


def short(subject: object) -> str:
    """Return how a pseudonym is named in a message."""
    return f"{subject[:8].hex()}..." if isinstance(subject, bytes) else str(subject)


class SubjectCheck:
    """Compares the rows of both tables with the subjects of the log; what is wrong goes to ``problems``."""

    def __init__(self, snapshot: Snapshot, subjects: Subjects, erased: frozenset[int], problems: Problems) -> None:
        """Compare with ``subjects``, complete; ``erased`` are the leaves that were erased lawfully."""
        self._snapshot = snapshot
        self._subjects = subjects
        self._erased = erased
        self._lost = frozenset(subjects.gone) - erased
        self._problems = problems
        self._columns = tuple(name for name in COLUMNS if name in snapshot.source.columns("subject"))

    def run(self) -> Iterator[int]:
        """Compare everything; yields now and then how many rows were read."""
        entries = _Entries(self._snapshot)
        seen: set[bytes] = set()
        for count, row in enumerate(self._snapshot.table("subject", self._columns), 1):
            stored = Stored(*row)
            for stray in entries.before(stored.id):
                self._stray(*stray)
            self._check(stored, entries.of(stored.id))
            seen.add(stored.id)
            yield count
        for stray in entries.before(None):
            self._stray(*stray)
        for key, subject in self._subjects.all.items():
            if key not in seen:
                self._missing(key, subject)

    def _stray(self, key: bytes, index: int) -> None:
        """Entries of somebody who has no row in ``subject``: a subject the log knows is missing there already."""
        if key not in self._subjects.all:
            row = f"{short(key)}/{index}"
            self._problems.wrong("subject_entry", row, "row", "none: the log has no such subject", "a row")

    def _missing(self, key: bytes, subject: Subject) -> None:
        expected = f"a row: leaf {subject.last_index} is about this subject"
        self._problems.wrong("subject", short(key), "row", expected, "none")

    def _check(self, stored: Stored, entries: list[int]) -> None:
        subject = self._subjects.all.get(stored.id, _NOBODY)
        key = short(stored.id)
        if subject is _NOBODY:
            self._problems.wrong("subject", key, "row", "none: the log has no such subject", "a row")
            return
        # An erasure appends to the chain of whom it concerns, so its end is always there to compare with.
        self._problems.require("subject", key, "seq", subject.seq, stored.seq)
        self._problems.require("subject", key, "last", subject.last, stored.last)
        self._check_state(key, stored, subject)
        self._check_entries(key, stored, subject, entries)

    def _check_state(self, key: str, stored: Stored, subject: Subject) -> None:
        if stored.state == encode(subject.state):
            return
        try:
            state = decode(stored.state)
        except (ValueError, TypeError, AttributeError):
            self._problems.wrong("subject", key, "state", "a state of this version", "other bytes")
            return
        if subject.gap and not self._lost.isdisjoint(self._subjects.gone_between(*subject.gap)):
            return  # what was lost is named already, and nobody can tell what it would have changed
        for field, expected, got in zip(SubjectState._fields, subject.state, state, strict=True):
            if expected != got:
                self._problems.wrong("subject", key, "state", f"{field} as the log says", f"other {field}")
                return

    def _check_entries(self, key: str, stored: Stored, subject: Subject, entries: list[int]) -> None:
        if not entries and stored.recent == subject.indices:
            return
        recent = _unpack(stored.recent)
        if recent is None or recent != sorted(set(recent)):
            self._problems.wrong("subject", key, "recent", "log indices of 8 bytes, increasing", "other bytes")
            return
        expected, got = set(_unpack(bytes(subject.indices)) or ()), {*entries, *recent}
        for index in sorted(expected - got):
            self._problems.wrong("subject_entry", f"{key}/{index}", "row", "a row, here or in subject.recent", "none")
        # What was lost stays listed; what was erased must not be: the list tells whose it was.
        for index in sorted(got - expected - self._lost):
            table = ("subject_entry", f"{key}/{index}") if index in entries else ("subject", key)
            column = "row" if index in entries else "recent"
            self._problems.wrong(*table, column, "only leaves about this subject", f"leaf {index}")
        for index in sorted(set(entries).intersection(recent)):
            self._problems.wrong("subject_entry", f"{key}/{index}", "row", "none: it is in subject.recent", "a row")


class _Entries:
    """The rows of ``subject_entry``, read along with those of ``subject``: both come in the order of pseudonyms."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._groups = groupby(snapshot.table("subject_entry", ("subject", "idx")), key=lambda row: row[0])
        self._key: Any = None
        self._rows: list[int] = []
        self._more = True
        self._next()

    def _next(self) -> None:
        key, rows = next(self._groups, (None, ()))
        self._key, self._rows, self._more = key, [index for _, index in rows], key is not None

    def before(self, key: bytes | None) -> Iterator[tuple[bytes, int]]:
        """Yield the entries of subjects before this one (None: of all that are left)."""
        while self._more and (key is None or self._key < key):
            yield from ((self._key, index) for index in self._rows)
            self._next()

    def of(self, key: bytes) -> list[int]:
        """Return the entries of this subject, increasing."""
        if not self._more or self._key != key:
            return []
        rows = self._rows
        self._next()
        return rows


def _unpack(packed: object) -> list[int] | None:
    if not isinstance(packed, bytes) or len(packed) % 8:
        return None
    return [int.from_bytes(packed[at : at + 8], "big") for at in range(0, len(packed), 8)]
