"""Rows of the ledger's tables as plain tuples, in the order of their columns (tables.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from consent_ledger.state import SubjectState
from consent_ledger.storage.erasures import Erasures

RECENT = 16
RECENT_BYTES = 8 * RECENT


class HeadRow(NamedTuple):
    """The durable head of the log and the checkpoint that signs it."""

    size: int
    root: bytes
    time_ms: int
    checkpoint: str
    public_sequence: int


class LeafRow(NamedTuple):
    """One entry and its leaf hash."""

    idx: int
    entry: bytes
    hash: bytes


class PayloadRow(NamedTuple):
    """What opens a committed entry."""

    idx: int
    salt: bytes
    event: bytes
    private: bytes


class SubjectRow(NamedTuple):
    """A subject: the head of its chain, its state, and the log indices of its newest entries.

    ``recent`` holds at most RECENT indices, u64 big-endian, increasing; older ones are in ``subject_entry``. Subjects
    lie at random places of the file, so a row of that table for each entry would dirty one more page for each signal.
    """

    seq: int
    last: bytes
    state: SubjectState
    recent: bytes = b""

    def after(self, last: bytes, state: SubjectState, index: int) -> SubjectRow:
        """Return the row after one more entry; the caller moves a full ``recent`` to the table first."""
        recent = b"" if len(self.recent) == RECENT_BYTES else self.recent
        return tuple.__new__(SubjectRow, (self.seq + 1, last, state, recent + index.to_bytes(8, "big")))


def pack_indices(indices: Sequence[int]) -> tuple[bytes, Sequence[int]]:
    """Return what ``recent`` holds of these increasing indices, and those that are rows: as ``after`` one by one."""
    kept = (len(indices) - 1) % RECENT + 1 if indices else 0
    older, newest = indices[: len(indices) - kept], indices[len(indices) - kept :]
    return b"".join(index.to_bytes(8, "big") for index in newest), older


def unpack_indices(packed: bytes) -> list[int]:
    """Read log indices from ``SubjectRow.recent``."""
    return [int.from_bytes(packed[at : at + 8], "big") for at in range(0, len(packed), 8)]


class BatchRow(NamedTuple):
    """A decided batch; ``response`` is empty until its group is sealed."""

    header_hash: bytes
    sender: str
    batch_id: bytes
    recipient: str
    purpose: str
    request_hash: bytes
    header: bytes
    root: bytes
    response: bytes
    expires_ms: int


class PermitRow(NamedTuple):
    """A permitted position and what became of it (log indices)."""

    header_hash: bytes
    position: int
    decided_idx: int
    opening: bytes | None
    subject: bytes
    released_idx: int | None = None
    withheld_idx: int | None = None
    acknowledged_idx: int | None = None
    outcome_idx: int | None = None  # the newest report

    @property
    def fresh(self) -> bool:
        """Whether nothing became of it since it was decided, so that it is not stored yet."""
        return self.opening is not None and self[5:] == (None, None, None, None)


class PullRow(NamedTuple):
    """The answer to one pull."""

    header_hash: bytes
    nonce: bytes
    request_hash: bytes
    response: bytes
    expires_ms: int


class ChangeRow(NamedTuple):
    """The answer to one change or report, and the log index it names: they are erased together (-1: none)."""

    change_id: bytes
    request_hash: bytes
    result: bytes
    idx: int = -1


class TaskRow(NamedTuple):
    """What an organisation (its OIN in ASCII) is asked to do: the leaf that asks, and the one that says it is done."""

    idx: int
    organisation: bytes
    due_ms: int
    done_idx: int | None = None


class PublishedRow(NamedTuple):
    """A checkpoint that a quorum of witnesses cosigned, with all its signature lines, and when."""

    size: int
    note: str
    cosigned_ms: int


@dataclass(slots=True)
class Writes:
    """What a request, or a group of them, adds to the tables; later additions win."""

    leaves: list[LeafRow] = field(default_factory=list)
    payloads: list[PayloadRow] = field(default_factory=list)
    public: list[int] = field(default_factory=list)
    entries: list[tuple[bytes, int]] = field(default_factory=list)  # (subject, index) moved out of ``recent``
    subjects: dict[bytes, SubjectRow] = field(default_factory=dict)
    batches: dict[bytes, BatchRow] = field(default_factory=dict)
    permits: dict[bytes, dict[int, PermitRow]] = field(default_factory=dict)  # header hash -> position -> permit
    pulls: dict[tuple[bytes, bytes], PullRow] = field(default_factory=dict)
    changes: dict[bytes, ChangeRow] = field(default_factory=dict)
    tasks: dict[int, TaskRow] = field(default_factory=dict)
    published: PublishedRow | None = None
    erasures: Erasures = field(default_factory=Erasures)

    def merge(self, other: Writes) -> None:
        """Add what ``other`` holds."""
        self.leaves += other.leaves
        self.payloads += other.payloads
        self.public += other.public
        if other.erasures.rewritten:  # their older entries are in ``other`` again, but for those erased
            self.entries = [entry for entry in self.entries if entry[0] not in other.erasures.rewritten]
        self.entries += other.entries
        self.erasures.merge(other.erasures)
        self.subjects.update(other.subjects)
        self.batches.update(other.batches)
        for header_hash, permits in other.permits.items():
            self.permits.setdefault(header_hash, {}).update(permits)
        self.pulls.update(other.pulls)
        self.changes.update(other.changes)
        self.tasks.update(other.tasks)
        self.published = other.published or self.published

    def any(self) -> bool:
        """Tell whether there is anything to store."""
        rows = self.leaves or self.subjects or self.batches or self.permits or self.pulls or self.changes
        return bool(rows or self.published or self.erasures.any())
