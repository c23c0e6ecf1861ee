"""What was erased lawfully (ledger.md "Leaf"; I9); whatever else is gone is lost.

An ``EntryErased`` in the log names it. Announcements of several people wait for each other (docs/adr/0007), so for
some days only the table ``erasure`` says it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from consent_ledger.clock import DAY_MS
from consent_ledger.verify.leaves import read_entry
from consent_ledger.verify.log import erased_by
from consent_ledger.verify.snapshot import RowError, Snapshot
from consent_ledger.verify.walk import Report

OVERDUE_MS = 14 * DAY_MS
"""An erasure is announced after 7 days at the latest, by a ledger that runs."""
TABLE = "erasure"
ON_REQUEST, BY_AGE = "resident request", "retention"
_COLUMNS = ("idx", "ground", "first", "erased_ms")
_GROUNDS = frozenset({ON_REQUEST.encode(), BY_AGE.encode()})


class Waiting(NamedTuple):
    """A row of ``erasure``: an entry that is erased and not announced yet."""

    idx: int
    ground: bytes
    first: int
    erased_ms: int


class Announcement(NamedTuple):
    """An ``EntryErased``: its leaf, and why and until when the entries were erased."""

    idx: int
    ground: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class Erasures:
    """Erased entries: those announced with the leaf that says so first, and those that wait for one."""

    by_leaf: Mapping[int, Announcement] = field(default_factory=dict)
    waiting: Mapping[int, Waiting] = field(default_factory=dict)

    def __contains__(self, index: object) -> bool:
        """Tell whether an entry was erased lawfully."""
        return index in self.by_leaf or index in self.waiting

    def announced(self, index: int) -> int | None:
        """Return the leaf that says first that an entry was erased, None when none does."""
        found = self.by_leaf.get(index)
        return found.idx if found else None

    def ground(self, index: int) -> str:
        """Return why an entry was erased; empty when it was not."""
        if index in self.by_leaf:
            return self.by_leaf[index].ground
        return self.waiting[index].ground.decode("utf-8", "replace") if index in self.waiting else ""

    def until_ms(self, index: int) -> int:
        """Return the time at which an entry that was erased was so at the latest."""
        return self.by_leaf[index].time_ms if index in self.by_leaf else self.waiting[index].erased_ms

    @property
    def all(self) -> frozenset[int]:
        """The indices of all of them."""
        return frozenset(self.by_leaf) | frozenset(self.waiting)

    @classmethod
    def read(cls, snapshot: Snapshot) -> Erasures:
        """Read what the log says (by its leaves, not by a table), and the table; raises VerificationError."""
        announced: dict[int, Announcement] = {}
        for at, entry in snapshot.public_entries():
            event = read_entry(entry)
            if isinstance(event, bytes):
                continue
            for index in erased_by(event):
                announced.setdefault(index, Announcement(at, event.entry_erased.ground, event.time_ms))
        rows = snapshot.table(TABLE, _COLUMNS, text=frozenset({"ground"})) if TABLE in snapshot.source.tables() else ()
        return cls(announced, {row[0]: Waiting(*row) for row in rows})

    def check(self, missing: Sequence[int], now_ms: int, report: Report) -> None:
        """Report payloads that are gone without an erasure, erasures that were not done, and rows that say too much.

        ``missing`` are the committed leaves without a payload, ``now_ms`` is the time of the head.
        """
        lost = [index for index in missing if index not in self]
        if lost:
            more = f", and {len(lost) - 1} more are lost" if len(lost) > 1 else ""
            report(RowError("payload", lost[0], "row", "a row, or an EntryErased that names it", f"none{more}"))
        # An erasure that the log announces but the database did not do breaks a promise to a resident.
        for index in sorted(self.by_leaf.keys() - set(missing)):
            report(RowError("payload", index, "row", "none: the log says it was erased", "a row"))
        gone = frozenset(missing)
        for index, row in sorted(self.waiting.items()):
            self._check_waiting(row, now_ms, report, done=index in gone)

    def _check_waiting(self, row: Waiting, now_ms: int, report: Report, *, done: bool) -> None:
        if not done:
            report(RowError(TABLE, row.idx, "idx", "a committed leaf whose payload is gone", f"leaf {row.idx}"))
        elif row.idx in self.by_leaf:
            expected = f"no row: leaf {self.announced(row.idx)} announces it"
            report(RowError(TABLE, row.idx, "row", expected, "a row"))
        if row.ground not in _GROUNDS:
            report(RowError(TABLE, row.idx, "ground", "resident request, or retention", "something else"))
        if row.first not in (0, 1):
            report(RowError(TABLE, row.idx, "first", "0 or 1", row.first))
        if not now_ms - OVERDUE_MS <= row.erased_ms <= now_ms:
            expected = "a time before the head's, and not two weeks: it is to be announced in the log"
            report(RowError(TABLE, row.idx, "erased_ms", expected, row.erased_ms))
