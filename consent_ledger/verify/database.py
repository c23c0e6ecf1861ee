"""Verification of a ledger's database: its log, and every payload that should open a commitment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.merkle import leaf_hash
from consent_ledger.log.note import Verifier
from consent_ledger.verify.chains import SubjectChains
from consent_ledger.verify.leaves import SALT_BYTES, commitment_of, private_digest_of, read_entry, read_event
from consent_ledger.verify.log import CHUNK, LogReplay, LogReport, Progress
from consent_ledger.verify.snapshot import Head, Row, RowError, Snapshot, open_snapshot


@dataclass(frozen=True, slots=True)
class DatabaseReport:
    """A ledger that checks: its log, how many commitments its payloads open, and how many were erased lawfully."""

    log: LogReport
    opened: int
    erased: int


def verify_database(path: Path, vkey: str, progress: Progress | None = None) -> DatabaseReport:
    """Check a ledger's SQLite file against the log's verifier key; it may be in use by its writer.

    Derives every hash again from the entries, compares every stored one, and opens every commitment. Raises RowError
    naming the first row that does not check, VerificationError where no row can be named.
    """
    verifier = Verifier.parse(vkey)
    with open_snapshot(path) as snapshot:
        head = snapshot.head()
        checkpoint = _open_head(head, verifier)
        check = _Check()
        for rows in snapshot.rows(CHUNK):
            check.add(rows, checkpoint.size)
            if progress is not None:
                progress(check.replay.size, checkpoint.size)
        return check.finish(snapshot, head, checkpoint)


def _open_head(head: Head, verifier: Verifier) -> Checkpoint:
    """Trust the signed checkpoint, and only it: size and root beside it are copies."""
    try:
        checkpoint = open_checkpoint(head.checkpoint, [verifier])
    except VerificationError as error:
        raise RowError("head", 1, "checkpoint", "a checkpoint signed by the log", error) from None
    _require("head", 1, "size", checkpoint.size, head.size)
    _require("head", 1, "root", checkpoint.root, head.root)
    return checkpoint


class _Check:
    """One pass over the leaves, in order."""

    def __init__(self) -> None:
        self.replay = LogReplay()
        self.opened = 0
        self._chains = SubjectChains()
        self._missing: list[int] = []

    def add(self, rows: Sequence[Row], size: int) -> None:
        """Check the next rows of the log of ``size`` leaves."""
        hashes: list[bytes] = []
        for index, row in enumerate(rows, self.replay.size):
            # A gap in the indices is a leaf that is gone; the row that was read is the next one that is left.
            _require("leaf", index, "row", "a row" if index < size else "none: the log ends here", _place(row, index))
            hashes.append(leaf_hash(row.entry))
            _require("leaf", index, "hash", hashes[-1], row.hash)
        self.replay.add([row.entry for row in rows], hashes)
        for row in rows:
            self._open(row)

    def _open(self, row: Row) -> None:
        commitment = read_entry(row.entry)
        if not isinstance(commitment, bytes):
            _require("payload", row.idx, "row", "none: the leaf is public", _presence(row))
        elif row.payload_idx is None:
            self._missing.append(row.idx)
            self._chains.skip(row.idx)
        else:
            self._open_payload(row, commitment)
            self.opened += 1

    def _open_payload(self, row: Row, commitment: bytes) -> None:
        salt, event, private = row.salt or b"", row.event or b"", row.private or b""
        _require("payload", row.idx, "salt", f"{SALT_BYTES} bytes", f"{len(salt)} bytes")
        _require("payload", row.idx, "salt and event", commitment, commitment_of(salt, event))
        try:
            _require("payload", row.idx, "private", read_event(event).private_digest, private_digest_of(private))
            self._chains.add(row.idx, commitment, private)
        except RowError:
            raise
        except VerificationError as error:
            raise RowError("payload", row.idx, "content", "one that checks", error) from None

    def finish(self, snapshot: Snapshot, head: Head, checkpoint: Checkpoint) -> DatabaseReport:
        """Check what can be told only with all leaves read."""
        if self.replay.size < checkpoint.size:
            raise RowError("leaf", self.replay.size, "row", "a row", f"none, nor any after it up to {checkpoint.size}")
        self._check_tiles(snapshot)
        report = self.replay.finish(checkpoint)
        _require("head", 1, "public_sequence", self.replay.public_sequence, head.public_sequence)
        self._check_missing(report.erased)
        orphan = snapshot.orphan_payload()
        if orphan is not None:
            raise RowError("payload", orphan, "row", "none: there is no such leaf", "a row")
        return DatabaseReport(report, self.opened, len(self._missing))

    def _check_tiles(self, snapshot: Snapshot) -> None:
        expected = self.replay.tiles.copy()
        for level, index, value in snapshot.tiles():
            _require("tile", f"{level}/{index}", "hash", expected.pop((level, index), "none: not complete yet"), value)
        for (level, index), value in sorted(expected.items()):
            raise RowError("tile", f"{level}/{index}", "row", value, "none")

    def _check_missing(self, erased: frozenset[int]) -> None:
        lost = [index for index in self._missing if index not in erased]
        if lost:
            more = f", and {len(lost) - 1} more are lost" if len(lost) > 1 else ""
            raise RowError("payload", lost[0], "row", "a row, or an EntryErased that names it", f"none{more}")
        # An erasure that the log announces but the database did not do breaks a promise to a resident.
        for index in sorted(erased.difference(self._missing)):
            raise RowError("payload", index, "row", "none: the log says it was erased", "a row")


def _place(row: Row, index: int) -> str:
    return "a row" if row.idx == index else f"none before leaf {row.idx}"


def _presence(row: Row) -> str:
    return "none: the leaf is public" if row.payload_idx is None else "a row"


def _require(table: str, key: object, column: str, expected: object, got: object) -> None:
    if expected != got:
        raise RowError(table, key, column, expected, got)
