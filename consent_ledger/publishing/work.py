"""Storing what was witnessed: a request to the sequencer like any other, and one that signs nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from consent_ledger.storage.rows import PublishedRow
from consent_ledger.writing.transaction import Transaction
from consent_ledger.writing.work import Sealed


@dataclass(frozen=True, slots=True)
class WitnessedWork:
    """Keep a witnessed checkpoint, unless a further one is stored already."""

    row: PublishedRow

    @property
    def weight(self) -> int:
        """No leaf."""
        return 0

    def apply(self, tx: Transaction) -> Callable[[Sealed], None]:
        """Store it."""
        tx.writes.published = self.row
        return lambda _sealed: None
