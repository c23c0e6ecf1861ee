"""The entries about one resident, newest first, over all the resident's rows; read in pages, never as a whole.

A resident has a subject per purpose and identifier scheme, and some entries are about many of them: the indices of all
subjects are merged and each comes once. Only indices are walked; events are read for the pages that are shown.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from consent_ledger.state import EMPTY, SubjectState
from consent_ledger.storage.ports import Snapshot
from consent_ledger.v1 import events_pb2 as pb

_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Row:
    """One subject of the resident, and the purpose it is of."""

    purpose: str
    subject: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """An opened entry."""

    idx: int
    event: pb.Event
    private: pb.PrivatePart

    @property
    def kind(self) -> str:
        """Name of the event in Event.body."""
        return str(self.event.WhichOneof("body"))


def states_of(snapshot: Snapshot, rows: Sequence[Row]) -> dict[Row, SubjectState]:
    """Return the state of every row, in one question; empty for those the ledger knows nothing of."""
    found = snapshot.subjects({row.subject for row in rows})
    return {row: found[row.subject].state if row.subject in found else EMPTY for row in rows}


def indices_of(snapshot: Snapshot, rows: Sequence[Row], below: int | None = None) -> Iterator[int]:
    """Yield the log indices about any of the rows, newest first, each once; all below ``below``."""
    subjects = dict.fromkeys(row.subject for row in rows)
    merged = heapq.merge(*(snapshot.subject_indices(subject, below) for subject in subjects), reverse=True)
    return (index for index, _ in itertools.groupby(merged))


def entries_of(snapshot: Snapshot, rows: Sequence[Row], below: int | None = None) -> Iterator[Entry]:
    """Yield the entries about any of the rows that are not erased, newest first."""
    indices = indices_of(snapshot, rows, below)
    while chunk := list(itertools.islice(indices, _CHUNK)):
        found = open_entries(snapshot, chunk)
        yield from (found[index] for index in chunk if index in found)


def open_entries(snapshot: Snapshot, indices: Sequence[int]) -> dict[int, Entry]:
    """Return the entries at these indices that are not erased, in one question; whose they are is the caller's."""
    payloads = snapshot.payloads(indices)
    return {
        index: Entry(index, pb.Event.FromString(row.event), pb.PrivatePart.FromString(row.private))
        for index, row in payloads.items()
    }


def is_about(entry: Entry, rows: Sequence[Row]) -> list[Row]:
    """Return the rows that an entry is about; none: it is somebody else's."""
    subjects = {link.subject for link in entry.private.links}
    return [row for row in rows if row.subject in subjects]
