"""One pass over a ledger's leaves, in order: the tree is derived again, and every payload opens its commitment or not.

What is wrong with a row of ``leaf``, ``head`` or ``tile``, and payloads where none may be, goes to ``report``, which
may raise; what a committed leaf opens to is given to the caller as it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from google.protobuf.message import DecodeError

from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.merkle import leaf_hashes
from consent_ledger.log.note import NoteVerifier
from consent_ledger.v1.events_pb2 import Event, PrivatePart, PublicEvent
from consent_ledger.verify.leaves import SALT_BYTES, commitment_of, private_digest_of, read_entry, read_event
from consent_ledger.verify.log import LogReplay, LogReport, Progress
from consent_ledger.verify.snapshot import Head, Row, RowError, Snapshot

Report = Callable[[RowError], None]
"""Takes one row that does not check; may raise it."""


def raising(error: RowError) -> None:
    """Be the report of who stops at the first row that does not check."""
    raise error


class Opened(NamedTuple):
    """A committed leaf with the event that opens it."""

    idx: int
    commitment: bytes
    event: Event
    private: PrivatePart


class Published(NamedTuple):
    """A leaf that is a public event."""

    idx: int
    event: PublicEvent


class Gone(NamedTuple):
    """A committed leaf without a payload: erased or lost."""

    idx: int
    commitment: bytes


class Unopenable(NamedTuple):
    """A committed leaf with a payload that does not open it."""

    idx: int
    commitment: bytes
    error: RowError


Item = Opened | Published | Gone | Unopenable


class Walk:
    """The pass over one snapshot, whose head must be signed by the log."""

    def __init__(self, snapshot: Snapshot, verifiers: Sequence[NoteVerifier], report: Report) -> None:
        """Open the head; raises RowError when no known key signed it: there is nothing to check the leaves against."""
        self._snapshot = snapshot
        self._report = report
        self.head = snapshot.head()
        self.checkpoint = _open_head(self.head, verifiers)
        _require(report, "head", 1, "size", self.checkpoint.size, self.head.size)
        _require(report, "head", 1, "root", self.checkpoint.root, self.head.root)
        self.replay = LogReplay()
        self.hashes = bytearray()  # of all leaves so far, 32 bytes each
        self.missing: list[int] = []  # committed leaves without a payload
        self.opened = 0

    def items(self, progress: Progress | None = None) -> Iterator[Item]:
        """Yield what every leaf is, in order; raises RowError where a leaf itself cannot be read."""
        for rows in self._snapshot.rows():
            self._add(rows)
            for row in rows:
                yield self._item(row)
            if progress is not None:
                progress(self.replay.size, self.checkpoint.size)

    def _add(self, rows: Sequence[Row]) -> None:
        """Grow the tree by these rows. A missing or surplus leaf always raises: every leaf after it is another one."""
        size, entries = self.checkpoint.size, [row.entry for row in rows]
        try:
            hashes = leaf_hashes(entries)
        except TypeError:  # a damaged record holds anything, also nothing
            index = next(row.idx for row in rows if not isinstance(row.entry, bytes))
            raise RowError("leaf", index, "entry", "bytes", "something else") from None
        for index, (row, digest) in enumerate(zip(rows, hashes, strict=True), self.replay.size):
            if row.idx != index or index >= size:
                # A gap in the indices is a leaf that is gone; the row that was read is the next one that is left.
                expected = "a row" if index < size else "none: the log ends here"
                raise RowError("leaf", index, "row", expected, _place(row, index))
            if row.hash != digest:
                _require(self._report, "leaf", index, "hash", digest, row.hash)
        self.replay.add(entries, hashes)
        self.hashes += b"".join(hashes)

    def _item(self, row: Row) -> Item:
        content = read_entry(row.entry)
        if not isinstance(content, bytes):
            if row.payload_idx is not None:
                _require(self._report, "payload", row.idx, "row", "none: the leaf is public", "a row")
            return Published(row.idx, content)
        if row.payload_idx is None:
            self.missing.append(row.idx)
            return Gone(row.idx, content)
        try:
            event, private = _open(row, content)
        except RowError as error:
            return Unopenable(row.idx, content, error)
        self.opened += 1
        return Opened(row.idx, content, event, private)

    def finish(self) -> LogReport:
        """Check what can be told only with all leaves read; raises VerificationError on another root than signed."""
        size = self.checkpoint.size
        if self.replay.size < size:
            raise RowError("leaf", self.replay.size, "row", "a row", f"none, nor any after it up to {size}")
        self._check_tiles()
        report = self.replay.finish(self.checkpoint)
        _require(self._report, "head", 1, "public_sequence", self.replay.public_sequence, self.head.public_sequence)
        for orphan in self._snapshot.orphan_payloads():
            _require(self._report, "payload", orphan, "row", "none: there is no such leaf", "a row")
        return report

    def _check_tiles(self) -> None:
        expected = self.replay.tiles.copy()
        for level, index, value in self._snapshot.tiles():
            here = expected.pop((level, index), "none: not complete yet")
            _require(self._report, "tile", f"{level}/{index}", "hash", here, value)
        for (level, index), value in sorted(expected.items()):
            _require(self._report, "tile", f"{level}/{index}", "row", value, "none")


def _open_head(head: Head, verifiers: Sequence[NoteVerifier]) -> Checkpoint:
    """Trust the signed checkpoint, and only it: size and root beside it are copies."""
    try:
        return open_checkpoint(head.checkpoint, verifiers)
    except VerificationError as error:
        raise RowError("head", 1, "checkpoint", "a checkpoint signed by the log", error) from None


def _open(row: Row, commitment: bytes) -> tuple[Event, PrivatePart]:
    """Return the event and private part of a payload; raises RowError naming the column that does not fit."""
    salt, data, private = row.salt or b"", row.event or b"", row.private or b""
    if len(salt) != SALT_BYTES:
        raise RowError("payload", row.idx, "salt", f"{SALT_BYTES} bytes", f"{len(salt)} bytes")
    found = commitment_of(salt, data)
    if found != commitment:
        raise RowError("payload", row.idx, "salt and event", commitment, found)
    try:
        event = read_event(data)
    except VerificationError as error:
        raise content_error(row.idx, error) from None
    digest = private_digest_of(private)
    if event.private_digest != digest:
        raise RowError("payload", row.idx, "private", event.private_digest, digest)
    try:
        return event, PrivatePart.FromString(private)
    except DecodeError:
        raise content_error(row.idx, "expected a private part, got other bytes") from None


def content_error(index: int, what: object) -> RowError:
    """Return the error of an event that opens its commitment, but should not stand where it stands."""
    return RowError("payload", index, "content", "one that checks", what)


def _place(row: Row, index: int) -> str:
    return "a row" if row.idx == index else f"none before leaf {row.idx}"


def _require(  # noqa: PLR0917  (a place and two values)
    report: Report, table: str, key: object, column: str, expected: object, got: object
) -> None:
    if expected != got:
        report(RowError(table, key, column, expected, got))
