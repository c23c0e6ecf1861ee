"""Publishing public events: participants, keys, purposes, erasures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.transaction import Transaction
from consent_ledger.writing.work import Sealed


@dataclass(frozen=True, slots=True)
class PublishWork:
    """Public events without time and sequence, which the ledger gives; all of them go in, or none."""

    events: Sequence[pb.PublicEvent]

    @property
    def weight(self) -> int:
        """One leaf each."""
        return len(self.events)

    def apply(self, tx: Transaction) -> Callable[[Sealed], list[int]]:
        """Append them; the answer is their log indices. Raises as ``Registry.apply``."""
        copies = [pb.PublicEvent.FromString(event.SerializeToString()) for event in self.events]
        indices = [tx.publish(event) for event in copies]
        return lambda _sealed: indices
