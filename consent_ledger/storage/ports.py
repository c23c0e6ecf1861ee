"""What the ledger asks of its storage. SQLite, PostgreSQL and memory answer; one contract suite tests them all."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from consent_ledger.errors import RegieError
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
    Writes,
)

Location = Path | str
"""Where a ledger is: the path of a SQLite file, or the ``postgresql://`` address of a database (no password in it)."""


class StoreLostError(Exception):
    """The database went away, or ended the transaction: whether what was done in it is durable is unknown.

    Nothing in memory counts any more. Only what is loaded again through ``opening.load`` does.
    """


class UnreachableError(RegieError):
    """No connection to the database now: trying again later may help."""


class Log(Protocol):
    """What is read of the log."""

    def head(self) -> HeadRow:
        """Return the head; raises LEDGER_UNAVAILABLE when there is none."""
        ...

    def tile(self, level: int, index: int, width: int) -> bytes:
        """Return the first ``width`` hashes of a tile (log.tiles.TileReader); shorter when they are not there."""
        ...

    def entries(self, start: int, count: int) -> list[bytes]:
        """Return up to ``count`` entries from ``start``; fewer at the end of the log."""
        ...

    def public_entries(self, start: int = 0) -> list[tuple[int, bytes]]:
        """Return (index, entry) of every public event from ``start`` on, in order."""
        ...

    def payloads(self, indices: Collection[int]) -> dict[int, PayloadRow]:
        """Return what opens these leaves, as far as it is not erased."""
        ...

    def unannounced(self) -> list[ErasedRow]:
        """Return what is erased and not yet announced, in the order of the log."""
        ...

    def batch(self, header_hash: bytes) -> BatchRow | None:
        """Return a batch by its header hash."""
        ...

    def batch_by_id(self, sender: str, batch_id: bytes) -> BatchRow | None:
        """Return a batch by the name its sender gave it."""
        ...

    def permits(self, header_hash: bytes) -> dict[int, PermitRow]:
        """Return the permits of a batch by position, increasing."""
        ...

    def task(self, index: int) -> TaskRow | None:
        """Return what the leaf at an index asks an organisation to do; None when it asks nothing, or is erased."""
        ...

    def tasks(self, organisation: str, after: int, count: int, *, done: bool) -> list[TaskRow]:
        """Return the next ``count`` tasks of an organisation above an index; with ``done``, also done ones."""
        ...


class Snapshot(Log, Protocol):
    """One consistent, durable state of a ledger."""

    def published(self) -> PublishedRow | None:
        """Return the newest witnessed checkpoint; None when there is none yet."""
        ...

    def subjects(self, ids: Collection[bytes]) -> dict[bytes, SubjectRow]:
        """Return the subjects that are there, with their state decoded."""
        ...

    def batches_by_id(self, names: Collection[tuple[str, bytes]]) -> dict[tuple[str, bytes], BatchRow]:
        """Return the batches of these senders and ids that are there."""
        ...

    def permits_at(self, keys: Collection[tuple[bytes, int]]) -> dict[tuple[bytes, int], PermitRow]:
        """Return the permits at these places (header hash, position) that are there."""
        ...

    def subject(self, key: bytes) -> SubjectRow | None:
        """Return a subject, or None when the ledger knows nothing of it."""
        ...

    def subject_indices(self, key: bytes, below: int | None = None) -> Iterator[int]:
        """Yield the log indices of a subject's events, newest first."""
        ...


class Reader(Protocol):
    """Opens snapshots of one ledger; thread-safe."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Give one consistent state; raises RegieError LEDGER_UNAVAILABLE when it cannot be read."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class Store(Log, Protocol):
    """The write side, used by the sequencer's thread only; everything but ``close`` inside ``begin`` .. ``commit``.

    Methods may raise StoreLostError when ``shared``; any other exception but RegieError is a mistake or a broken
    disk, and fatal.
    """

    @property
    def name(self) -> str:
        """Where it is, for messages."""
        ...

    @property
    def shared(self) -> bool:
        """Whether other replicas append to this ledger too, so that the head may have moved when ``begin`` returns."""
        ...

    def begin(self) -> None:
        """Begin a transaction that nobody else can append beside."""
        ...

    def commit(self) -> None:
        """Make the transaction durable. When this raises, whether it is durable is unknown."""
        ...

    def rollback(self) -> None:
        """Forget the transaction; when it wrote nothing, what it read is as durable as if it had."""
        ...

    def overwrite(self, *, anew: bool, most_bytes: int) -> bool:
        """Between transactions: overwrite what was deleted, in steps of ``most_bytes``, as far as the engine can.

        ``anew``: something was deleted since the last call. False: there is more to do.
        """
        ...

    def close(self) -> None:
        """Let the next writer in; safe after any failure."""
        ...

    def reader(self) -> Reader:
        """Open the read side of the same ledger."""
        ...

    def last_index(self) -> int:
        """Return the largest leaf index, -1 when there is none."""
        ...

    def subjects(self, ids: Collection[bytes]) -> dict[bytes, SubjectRow]:
        """Return the subjects that are there, with their state decoded."""
        ...

    def older_entries(self, key: bytes) -> list[int]:
        """Return the log indices of a subject that are no longer in ``SubjectRow.recent``, increasing."""
        ...

    def payloads_from(self, index: int, count: int) -> list[PayloadRow]:
        """Return the next ``count`` payloads that are not erased, from an index on."""
        ...

    def batches_by_id(self, names: Collection[tuple[str, bytes]]) -> dict[tuple[str, bytes], BatchRow]:
        """Return the batches of these senders and ids that are there."""
        ...

    def changes(self, ids: Collection[bytes]) -> dict[bytes, ChangeRow]:
        """Return the stored answers to these changes."""
        ...

    def pull(self, header_hash: bytes, nonce: bytes) -> PullRow | None:
        """Return the stored answer to a pull."""
        ...

    def append(self, writes: Writes, completed: Sequence[tuple[int, int, bytes]]) -> None:
        """Add leaves, what opens them, and the tile hashes they completed."""
        ...

    def project(self, writes: Writes) -> None:
        """Store everything beside the log: chains, states, batches, permits, and answers given; then erase."""
        ...

    def first_head(self, head: HeadRow) -> None:
        """Store the head of a new ledger."""
        ...

    def advance(self, old: HeadRow, new: HeadRow) -> None:
        """Move the head, if it still is ``old``; raises RuntimeError when somebody else moved it."""
        ...

    def forget(self, after_ms: int, until_ms: int, pulls_before_ms: int) -> bool:
        """Delete what may no longer be given out; tell whether there may have been any.

        Openings that were never released, of batches that expired after ``after_ms`` and not later than ``until_ms``
        (pseudonyms.md, "Signals"), what else such a batch keeps for its time only (``erasures.steps_of_expiry``), and
        answers to pulls that expired before ``pulls_before_ms``.
        """
        ...


class Movable(Store, Protocol):
    """A store into which a whole ledger can be copied, in one transaction over an empty one."""

    def restore(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add rows as they were in another ledger."""
        ...

    def restored(self) -> None:
        """See what was restored as what this transaction began with."""
        ...
