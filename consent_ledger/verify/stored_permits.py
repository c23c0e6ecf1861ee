"""The tables ``permit`` and ``change`` against the log: what became of every permit, and the answer to every change.

Nothing binds the content of a permit's ``opening`` (a secret of its sender, which the recipient checks) and the
``request_hash`` of a change (requests are not kept): see ``fsck.UNCHECKED``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from consent_ledger.v1 import consents_pb2, decisions_pb2
from consent_ledger.verify.exchanges import Permit
from consent_ledger.verify.facts import Facts
from consent_ledger.verify.problems import Problems
from consent_ledger.verify.snapshot import Snapshot
from consent_ledger.verify.stored_answers import FORGOTTEN_MS, KnownBatch, Times, as_bytes, as_hex, parsed

NO_INDEX = -1
"""``decided_idx`` of a permit whose decision was erased, and ``idx`` of a change that names no leaf."""


class _Permit(NamedTuple):
    header_hash: bytes
    position: int
    decided_idx: int
    opening: bytes | None
    subject: bytes
    released_idx: int | None
    withheld_idx: int | None
    acknowledged_idx: int | None
    outcome_idx: int | None = None


class _Change(NamedTuple):
    change_id: bytes
    request_hash: bytes
    result: bytes
    idx: int = -1


class PermitCheck:
    """Compares both tables with the log's permits and choices; what is wrong goes to ``problems``."""

    def __init__(
        self,
        snapshot: Snapshot,
        facts: Facts,
        problems: Problems,
        *,
        erased: frozenset[int],
        batches: Mapping[bytes, KnownBatch],
        times: Times,
    ) -> None:
        """Compare with complete ``facts``; ``batches`` are the rows of ``batch``."""
        self._snapshot = snapshot
        self._facts = facts
        self._gone = frozenset(facts.subjects.gone)
        self._lost = self._gone - erased
        self._batches = batches
        self._times = times
        self._problems = problems

    # -- permits ------------------------------------------------------------------------------------------------------

    def permits(self) -> Iterator[int]:
        """Compare ``permit``, after ``batches``; yields now and then how many rows were read."""
        seen: set[int] = set()
        for count, row in enumerate(self._snapshot.table("permit", _Permit._fields), 1):
            permit = _Permit(*row)
            self._permit(permit)
            seen.add(permit.decided_idx)
            yield count
        for decided, told in self._facts.exchanges.permits.items():
            if decided not in seen:
                expected = f"a row for position {told.position}"
                self._problems.wrong("permit", f"of leaf {decided}", "row", expected, "none")

    def _permit(self, row: _Permit) -> None:
        name = f"{as_hex(row.header_hash)}/{row.position}"
        batch = self._batches.get(row.header_hash)
        if batch is None:
            self._problems.wrong("permit", name, "header_hash", "one of a batch", "one of none")
        if row.decided_idx == NO_INDEX:
            self._erased(name, row, batch)
            return
        told = self._facts.exchanges.permits.get(row.decided_idx)
        if told is not None:
            self._told(name, row, told, batch)
        elif row.decided_idx not in self._lost:
            self._problems.wrong("permit", name, "decided_idx", "the leaf of a permit", f"leaf {row.decided_idx}")
        self._opening(name, row, batch)

    def _erased(self, name: str, row: _Permit, batch: KnownBatch | None) -> None:
        """A permit whose decision was erased is empty, and there only while its batch can be pulled."""
        if row[3:] != (None, b"", None, None, None, None):
            self._problems.wrong("permit", name, "decided_idx", "nothing else: its decision was erased", "something")
        if batch is not None and batch.expires_ms <= self._times.head - FORGOTTEN_MS:
            self._problems.wrong("permit", name, "row", "none: its batch expired", "a row")

    def _told(self, name: str, row: _Permit, told: Permit, batch: KnownBatch | None) -> None:
        if batch is not None:
            key = (told.asked.request.sender, told.batch_id)
            self._problems.require("permit", name, "decided_idx", key, batch.key)
        self._problems.require("permit", name, "position", told.position, row.position)
        if row.subject != told.subject:
            self._problems.wrong("permit", name, "subject", "the subject of its decision", "another")
        became = {
            "released_idx": (told.released, row.released_idx),
            "withheld_idx": (told.withheld, row.withheld_idx),
            "acknowledged_idx": (told.acknowledged, row.acknowledged_idx),
            "outcome_idx": (told.outcome, row.outcome_idx),
        }
        for column, (expected, got) in became.items():
            if expected != (-1 if got is None else got) and not (expected < 0 and got in self._gone):
                self._problems.wrong("permit", name, column, _index(expected), _index(got))

    def _opening(self, name: str, row: _Permit, batch: KnownBatch | None) -> None:
        """v_i may be there only for who can still have it: with it and the ciphertext anybody reads the signal."""
        expired_ms = batch.expires_ms if batch is not None and row.released_idx is None else self._times.now + 1
        if row.opening is None:
            if row.withheld_idx is None and expired_ms > self._times.now:
                self._problems.wrong("permit", name, "opening", "32 bytes", "none")
        elif row.withheld_idx is not None:
            self._problems.wrong("permit", name, "opening", "none: the signal was withheld", "some")
        elif expired_ms <= self._times.head - FORGOTTEN_MS:
            self._problems.wrong("permit", name, "opening", "none: its batch expired unreleased", "some")
        else:
            self._problems.require("permit", name, "opening", 32, len(as_bytes(row.opening)))

    # -- changes ------------------------------------------------------------------------------------------------------

    def changes(self) -> Iterator[int]:
        """Compare ``change``: every choice and report has one answer; yields now and then how many rows were read."""
        choices, outcomes = set(self._facts.choices), set(self._facts.outcomes)
        columns = tuple(name for name in _Change._fields if name in self._snapshot.source.columns("change"))
        for count, values in enumerate(self._snapshot.table("change", columns), 1):
            row = _Change(*values)
            if row.idx in self._facts.erasures:
                self._erasure(row)
            elif row.change_id == row.request_hash:  # the answer to a report is kept under the hash of the report
                self._answered(row, parsed(decisions_pb2.ReportOutcomeResponse, row.result).log_index, outcomes)
            else:
                answer = parsed(consents_pb2.ChangeResult, row.result)
                self._problems.require("change", as_hex(row.change_id), "result", row.change_id, answer.change_id)
                self._answered(row, answer.log_index, choices)
            yield count
        for index in sorted(choices | outcomes):
            self._problems.wrong("change", f"of leaf {index}", "row", "a row", "none")

    def _answered(self, row: _Change, index: int, expected: set[int]) -> None:
        name = as_hex(row.change_id)
        if index not in self._lost and index not in expected:
            self._problems.wrong("change", name, "result", "a leaf that no other row answers with", f"leaf {index}")
        elif row.idx not in (index, NO_INDEX):
            # An answer is erased with the entry that this column names.
            self._problems.wrong("change", name, "idx", index, row.idx)
        expected.discard(index)

    def _erasure(self, row: _Change) -> None:
        """The answer to a request to erase names the leaves that say so to the resident, this row's first."""
        name, answer = as_hex(row.change_id), parsed(consents_pb2.Erased, row.result)
        self._problems.require("change", name, "idx", next(iter(answer.log_indices), NO_INDEX), row.idx)
        others = [
            index for index in answer.log_indices if index not in self._facts.erasures and index not in self._gone
        ]
        if others:
            self._problems.wrong("change", name, "result", "leaves that say what was erased", f"leaf {others[0]}")


def _index(value: int | None) -> str:
    return "none" if value is None or value < 0 else f"leaf {value}"
