"""Rows that do not check, collected: a file with one damaged row should not hide a second one."""

from __future__ import annotations

from consent_ledger.verify.snapshot import RowError


class Problems:
    """The first rows that do not check, each named once, and how many there are. Callable as a ``walk.Report``."""

    def __init__(self, most: int) -> None:
        """Keep ``most`` of them; the others are only counted."""
        self.found: list[RowError] = []
        self.count = 0
        self._most = most

    def __call__(self, error: RowError) -> None:
        """Take one row that does not check."""
        self.count += 1
        if len(self.found) < self._most:
            self.found.append(error)

    def wrong(self, table: str, key: object, column: str, expected: object, got: object) -> None:
        """Take one row that does not check."""
        self(RowError(table, key, column, expected, got))

    def require(self, table: str, key: object, column: str, expected: object, got: object) -> None:
        """Take a row unless what was expected is what was found."""
        if expected != got:
            self.wrong(table, key, column, expected, got)
