"""Rows of the ledger's tables as plain tuples, in the order of their columns (tables.py)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from consent_ledger.state import SubjectState


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
    """A subject: the head of its chain, and its state."""

    seq: int
    last: bytes
    state: SubjectState


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

    @property
    def fresh(self) -> bool:
        """Whether nothing became of it since it was decided, so that it is not stored yet."""
        return self.opening is not None and self[5:] == (None, None, None)


class PullRow(NamedTuple):
    """The answer to one pull."""

    header_hash: bytes
    nonce: bytes
    request_hash: bytes
    response: bytes
    expires_ms: int


class ChangeRow(NamedTuple):
    """The answer to one change or report."""

    change_id: bytes
    request_hash: bytes
    result: bytes


@dataclass(slots=True)
class Writes:
    """What a request, or a group of them, adds to the tables; later additions win."""

    leaves: list[LeafRow] = field(default_factory=list)
    payloads: list[PayloadRow] = field(default_factory=list)
    public: list[int] = field(default_factory=list)
    entries: list[tuple[bytes, int]] = field(default_factory=list)  # (subject, index)
    subjects: dict[bytes, SubjectRow] = field(default_factory=dict)
    batches: dict[bytes, BatchRow] = field(default_factory=dict)
    permits: dict[bytes, dict[int, PermitRow]] = field(default_factory=dict)  # header hash -> position -> permit
    pulls: dict[tuple[bytes, bytes], PullRow] = field(default_factory=dict)
    changes: dict[bytes, ChangeRow] = field(default_factory=dict)

    def merge(self, other: Writes) -> None:
        """Add what ``other`` holds."""
        self.leaves += other.leaves
        self.payloads += other.payloads
        self.public += other.public
        self.entries += other.entries
        self.subjects.update(other.subjects)
        self.batches.update(other.batches)
        for header_hash, permits in other.permits.items():
            self.permits.setdefault(header_hash, {}).update(permits)
        self.pulls.update(other.pulls)
        self.changes.update(other.changes)

    def any(self) -> bool:
        """Tell whether there is anything to store."""
        return bool(self.leaves or self.subjects or self.batches or self.permits or self.pulls or self.changes)
