"""The table ``task`` against the log: who is asked what, and what is done."""

from __future__ import annotations

from collections.abc import Iterator

from consent_ledger.verify.facts import Facts
from consent_ledger.verify.problems import Problems
from consent_ledger.verify.snapshot import Snapshot

COLUMNS = ("idx", "organisation", "due_ms", "done_idx")
TABLE = "task"


class TaskCheck:
    """Compares the rows with the log's tasks; what is wrong goes to ``problems``."""

    def __init__(self, snapshot: Snapshot, facts: Facts, erased: frozenset[int], problems: Problems) -> None:
        """Compare with complete ``facts``; ``erased`` are the leaves that were erased lawfully."""
        self._snapshot = snapshot
        self._tasks = facts.tasks.all
        self._gone = frozenset(facts.subjects.gone)
        self._lost = self._gone - erased
        self._problems = problems

    def run(self) -> Iterator[int]:
        """Compare everything; yields now and then how many rows were read."""
        seen: set[int] = set()
        for count, (index, organisation, due_ms, done) in enumerate(self._snapshot.table(TABLE, COLUMNS), 1):
            seen.add(index)
            told = self._tasks.get(index)
            if told is not None:
                self._problems.require(TABLE, index, "organisation", told.organisation.encode(), organisation)
                self._problems.require(TABLE, index, "due_ms", told.due_ms, due_ms)
                self._done(index, told.done, done)
            elif index not in self._lost:  # what was lost is named already
                self._problems.wrong(TABLE, index, "row", "none: that leaf asks nobody anything", "a row")
            yield count
        for index in sorted(self._tasks.keys() - seen):
            self._problems.wrong(TABLE, index, "row", "a row: that leaf asks an organisation something", "none")

    def _done(self, index: int, told: int, done: int | None) -> None:
        expected = None if told < 0 else told
        if expected != done and not (expected is None and done in self._gone):
            self._problems.wrong(TABLE, index, "done_idx", expected, done)
