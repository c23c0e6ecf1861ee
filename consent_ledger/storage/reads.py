"""What is read from a ledger's tables, in SQL that SQLite and PostgreSQL both speak.

Both sides of a ledger read through this: a store inside its transaction, a snapshot in one of its own. Columns are
named and never ``*``: a newer schema may have more of them.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from consent_ledger.statecodec import decode
from consent_ledger.storage.erasures import ErasedRow
from consent_ledger.storage.rows import (
    BatchRow,
    ChangeRow,
    HeadRow,
    PayloadRow,
    PermitRow,
    PublishedRow,
    PullRow,
    SubjectRow,
    TaskRow,
    unpack_indices,
)
from consent_ledger.storage.sqlite import unavailable

_BATCH = f"SELECT {', '.join(BatchRow._fields)} FROM batch WHERE"  # noqa: S608  (names of columns)
_BATCHES_BY_ID = f"{_BATCH} (sender, batch_id) IN"
_PERMITS = f"SELECT {', '.join(PermitRow._fields)} FROM permit WHERE header_hash = ? ORDER BY position"  # noqa: S608  (names of columns)
_PULL = f"SELECT {', '.join(PullRow._fields)} FROM pull_nonce WHERE header_hash = ? AND nonce = ?"  # noqa: S608  (names of columns)
_PERMITS_AT = f"SELECT {', '.join(PermitRow._fields)} FROM permit WHERE (header_hash, position) IN"  # noqa: S608  (names of columns)
_TASK = f"SELECT {', '.join(TaskRow._fields)} FROM task WHERE"  # noqa: S608  (names of columns)
_LAST = 2**63 - 1
_INDICES = 256  # of a subject, in one question: whoever wants a page does not wait for all of them
_NAMES = 1_000  # at most so many pairs in one question


class Reads(ABC):
    """The questions; engines say how one is asked. Parameters stand at ``?``."""

    @abstractmethod
    def _all(self, sql: str, *parameters: Any) -> Sequence[Any]:
        """Return every row."""

    @abstractmethod
    def _among(self, sql: str, keys: Collection[Any]) -> Iterable[Any]:
        """Return the rows of a question that ends in ``WHERE column IN``, for any number of keys."""

    def _among_pairs(self, sql: str, pairs: Iterable[tuple[Any, Any]]) -> Iterator[Any]:
        """Yield the rows of a question that ends in ``WHERE (column, column) IN``, for any number of pairs."""
        listed = list(pairs)
        for start in range(0, len(listed), _NAMES):
            part = listed[start : start + _NAMES]
            marks = ",".join(["(?, ?)"] * len(part))
            yield from self._all(f"{sql} (VALUES {marks})", *itertools.chain(*part))

    def _one(self, sql: str, *parameters: Any) -> Any:
        rows = self._all(sql, *parameters)
        return rows[0] if rows else None

    def ask(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of any question, as what moves and maintains a ledger has."""
        return [tuple(row) for row in self._all(sql, *parameters)]

    def count(self, table: str) -> int:
        """Return how many rows a table has."""
        return int(self._one(f"SELECT count(*) FROM {table}")[0])  # noqa: S608  (our own names)

    # -- the log ----------------------------------------------------------------------------------------------------

    def head(self) -> HeadRow:
        """Return the head; raises LEDGER_UNAVAILABLE when there is none."""
        row = self._one("SELECT size, root, time_ms, checkpoint, public_sequence FROM head WHERE id = 1")
        if row is None:
            raise unavailable("this ledger has no head: its creation did not finish")
        return HeadRow(*row)

    def published(self) -> PublishedRow | None:
        """Return the newest witnessed checkpoint; None when there is none yet."""
        row = self._one("SELECT size, note, cosigned_ms FROM published WHERE id = 1")
        return row and PublishedRow(*row)

    def last_index(self) -> int:
        """Return the largest leaf index, -1 when there is none."""
        row = self._one("SELECT max(idx) FROM leaf")
        return -1 if row is None or row[0] is None else int(row[0])

    def tile(self, level: int, index: int, width: int) -> bytes:
        """Return the first ``width`` hashes of a tile (log.tiles.TileReader); shorter when they are not there."""
        first = index * 256
        if level == 0:
            rows = self._all("SELECT hash FROM leaf WHERE idx >= ? AND idx < ? ORDER BY idx", first, first + width)
        else:
            sql = "SELECT hash FROM tile WHERE level = ? AND idx >= ? AND idx < ? ORDER BY idx"
            rows = self._all(sql, level, first, first + width)
        return b"".join(row[0] for row in rows)

    def entries(self, start: int, count: int) -> list[bytes]:
        """Return up to ``count`` entries from ``start``; fewer at the end of the log."""
        rows = self._all("SELECT entry FROM leaf WHERE idx >= ? AND idx < ? ORDER BY idx", start, start + count)
        return [row[0] for row in rows]

    def public_entries(self, start: int = 0) -> list[tuple[int, bytes]]:
        """Return (index, entry) of every public event from ``start`` on, in order."""
        sql = (
            "SELECT leaf.idx, leaf.entry FROM public_event JOIN leaf ON leaf.idx = public_event.idx "
            "WHERE leaf.idx >= ? ORDER BY leaf.idx"
        )
        return [(row[0], row[1]) for row in self._all(sql, start)]

    def payloads(self, indices: Collection[int]) -> dict[int, PayloadRow]:
        """Return what opens these leaves, as far as it is not erased."""
        found = self._among("SELECT idx, salt, event, private FROM payload WHERE idx IN", indices)
        return {row[0]: PayloadRow(*row) for row in found}

    def payloads_from(self, index: int, count: int) -> list[PayloadRow]:
        """Return the next ``count`` payloads that are not erased, from an index on."""
        sql = "SELECT idx, salt, event, private FROM payload WHERE idx >= ? ORDER BY idx LIMIT ?"
        return [PayloadRow(*row) for row in self._all(sql, index, count)]

    def unannounced(self) -> list[ErasedRow]:
        """Return what is erased and not yet announced, in the order of the log."""
        return [ErasedRow(*row) for row in self._all("SELECT idx, ground, first, erased_ms FROM erasure ORDER BY idx")]

    # -- subjects ---------------------------------------------------------------------------------------------------

    def subjects(self, ids: Collection[bytes]) -> dict[bytes, SubjectRow]:
        """Return the subjects that are there, with their state decoded."""
        found = self._among("SELECT id, seq, last, state, recent FROM subject WHERE id IN", ids)
        return {key: SubjectRow(seq, last, decode(state), recent) for key, seq, last, state, recent in found}

    def subject(self, key: bytes) -> SubjectRow | None:
        """Return a subject, or None when the ledger knows nothing of it."""
        return self.subjects([key]).get(key)

    def subject_indices(self, key: bytes, below: int | None = None) -> Iterator[int]:
        """Yield the log indices of a subject's events, newest first."""
        last = _LAST if below is None else below
        row = self._one("SELECT recent FROM subject WHERE id = ?", key)
        for index in reversed(unpack_indices(row[0]) if row else ()):
            if index < last:
                yield index
        sql = f"SELECT idx FROM subject_entry WHERE subject = ? AND idx < ? ORDER BY idx DESC LIMIT {_INDICES}"  # noqa: S608  (a number of ours)
        while found := self._all(sql, key, last):
            yield from (row[0] for row in found)
            last = found[-1][0]

    def older_entries(self, key: bytes) -> list[int]:
        """Return the log indices of a subject that are no longer in ``SubjectRow.recent``, increasing."""
        return [row[0] for row in self._all("SELECT idx FROM subject_entry WHERE subject = ? ORDER BY idx", key)]

    # -- tasks ------------------------------------------------------------------------------------------------------

    def task(self, index: int) -> TaskRow | None:
        """Return what the leaf at an index asks an organisation to do; None when it asks nothing, or is erased."""
        row = self._one(f"{_TASK} idx = ?", index)
        return row and TaskRow(*row)

    def tasks(self, organisation: str, after: int, count: int, *, done: bool) -> list[TaskRow]:
        """Return the next ``count`` tasks of an organisation above an index; with ``done``, also done ones."""
        which = "" if done else "AND done_idx IS NULL "
        sql = f"{_TASK} organisation = ? AND idx > ? {which}ORDER BY idx LIMIT ?"
        return [TaskRow(*row) for row in self._all(sql, organisation.encode(), after, count)]

    # -- batches and answers ----------------------------------------------------------------------------------------

    def batch(self, header_hash: bytes) -> BatchRow | None:
        """Return a batch by its header hash."""
        row = self._one(f"{_BATCH} header_hash = ?", header_hash)
        return row and BatchRow(*row)

    def batch_by_id(self, sender: str, batch_id: bytes) -> BatchRow | None:
        """Return a batch by the name its sender gave it."""
        row = self._one(f"{_BATCH} sender = ? AND batch_id = ?", sender, batch_id)
        return row and BatchRow(*row)

    def batches_by_id(self, names: Collection[tuple[str, bytes]]) -> dict[tuple[str, bytes], BatchRow]:
        """Return the batches of these senders and ids that are there."""
        return {(row[1], row[2]): BatchRow(*row) for row in self._among_pairs(_BATCHES_BY_ID, names)}

    def permits(self, header_hash: bytes) -> dict[int, PermitRow]:
        """Return the permits of a batch by position, increasing."""
        return {row[1]: PermitRow(*row) for row in self._all(_PERMITS, header_hash)}

    def permits_at(self, keys: Collection[tuple[bytes, int]]) -> dict[tuple[bytes, int], PermitRow]:
        """Return the permits at these places (header hash, position) that are there."""
        return {(row[0], row[1]): PermitRow(*row) for row in self._among_pairs(_PERMITS_AT, keys)}

    def pull(self, header_hash: bytes, nonce: bytes) -> PullRow | None:
        """Return the stored answer to a pull."""
        row = self._one(_PULL, header_hash, nonce)
        return row and PullRow(*row)

    def changes(self, ids: Collection[bytes]) -> dict[bytes, ChangeRow]:
        """Return the stored answers to these changes."""
        found = self._among("SELECT change_id, request_hash, result, idx FROM change WHERE change_id IN", ids)
        return {row[0]: ChangeRow(*row) for row in found}
