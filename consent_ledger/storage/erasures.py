"""What an erasure takes out of the tables, and the statements that do it on either engine (docs/adr/0007).

The payload is one copy of what an entry says. Others are the subject's index of its entries, the permit with v_i and
the pseudonym, the answers kept for pulls and changes. They go in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

RESIDENT_REQUEST, RETENTION = "resident request", "retention"
"""The two grounds of an erasure, as ``EntryErased.ground`` says them."""
NO_INDEX = -1
"""``PermitRow.decided_idx`` of a permit whose entry is erased."""


class ErasedRow(NamedTuple):
    """An entry that is erased and not yet announced in the log.

    ``first`` is 1 on one entry of each request, or of each subject a sweep erased from: their sum is how many people
    are mixed, and nothing here says which entries are of one of them.
    """

    idx: int
    ground: str
    first: int
    erased_ms: int


@dataclass(slots=True)
class Erasures:
    """What goes, beside rows that are replaced: part of ``Writes``. A subject that goes wholly is stored with seq 0."""

    entries: dict[int, ErasedRow] = field(default_factory=dict)
    announced: set[int] = field(default_factory=set)  # have their EntryErased in this group
    rewritten: set[bytes] = field(default_factory=set)  # subjects whose rows in subject_entry are all replaced
    # (header hash, position) -> whether an empty permit stays: a batch that may still be pulled keeps its count, and
    # with it the size of its answers.
    permits: dict[tuple[bytes, int], bool] = field(default_factory=dict)
    unanswered: set[bytes] = field(default_factory=set)  # batches (header hash) whose answers to pulls go

    def merge(self, other: Erasures) -> None:
        """Add what ``other`` holds."""
        self.entries.update(other.entries)
        self.announced |= other.announced
        self.rewritten |= other.rewritten
        self.permits.update(other.permits)
        self.unanswered |= other.unanswered

    def any(self) -> bool:
        """Tell whether anything goes."""
        return bool(self.entries or self.announced)


_ENTRY = (
    "DELETE FROM payload WHERE idx = ?",
    "DELETE FROM change WHERE idx = ?",  # its request hash is that of a text which could be guessed
    "DELETE FROM task WHERE idx = ?",  # nobody can answer what is no longer there
)
_EMPTY_PERMIT = """
UPDATE permit SET decided_idx = -1, opening = NULL, subject = ?, released_idx = NULL, withheld_idx = NULL,
acknowledged_idx = NULL, outcome_idx = NULL WHERE header_hash = ? AND position = ?
"""
_NO_ANSWER = "DELETE FROM pull_nonce WHERE header_hash = ?"

Step = tuple[str, list[tuple[Any, ...]]]
"""A statement of both engines (parameters at ``?``), and the rows to run it with."""


def steps_before(erasures: Erasures) -> Iterator[Step]:
    """Yield what deletes the rows that ``Writes`` then replaces."""
    yield "DELETE FROM subject_entry WHERE subject = ?", [(key,) for key in sorted(erasures.rewritten)]
    yield _NO_ANSWER, [(key,) for key in sorted(erasures.unanswered)]  # the same pull may be answered anew


def steps_after(erasures: Erasures, gone: Iterable[bytes]) -> Iterator[Step]:
    """Yield what deletes once the group is stored: an entry of the same group may be among what goes."""
    yield "DELETE FROM subject WHERE id = ?", [(key,) for key in sorted(gone)]
    for statement in _ENTRY:
        yield statement, [(index,) for index in sorted(erasures.entries)]
    insert = "INSERT INTO erasure (idx, ground, first, erased_ms) VALUES (?, ?, ?, ?)"
    yield insert, [tuple(row) for _, row in sorted(erasures.entries.items()) if row.idx not in erasures.announced]
    yield "DELETE FROM erasure WHERE idx = ?", [(index,) for index in sorted(erasures.announced)]
    permits = sorted(erasures.permits.items())
    yield _EMPTY_PERMIT, [(b"", *key) for key, stays in permits if stays]
    yield "DELETE FROM permit WHERE header_hash = ? AND position = ?", [key for key, stays in permits if not stays]
    yield _NO_ANSWER, [(key,) for key in sorted(erasures.unanswered)]


def steps_of_expiry(after_ms: int, until_ms: int) -> Iterator[Step]:
    """Yield what a batch keeps for its own time only, for those that expired in (after, until].

    The empty permits that kept the size of its answers, and the answer with its outcomes: from here on the same batch
    is refused by its time.
    """
    expired = "(SELECT header_hash FROM batch WHERE expires_ms > ? AND expires_ms <= ?)"
    yield f"DELETE FROM permit WHERE subject = ? AND header_hash IN {expired}", [(b"", after_ms, until_ms)]  # noqa: S608  (a constant)
    sql = "UPDATE batch SET response = ? WHERE expires_ms > ? AND expires_ms <= ? AND response <> ?"
    yield sql, [(b"", after_ms, until_ms, b"")]
