"""Publishing public events: participants, keys, purposes, erasures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from consent_ledger.errors import RegieError
from consent_ledger.log.errors import NoteError
from consent_ledger.log.keys import LogKeys
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.transaction import Transaction
from consent_ledger.writing.work import Sealed


@dataclass(frozen=True, slots=True)
class PublishWork:
    """Public events without time and sequence, which the ledger gives; all of them go in, or none."""

    events: Sequence[pb.PublicEvent]
    keys: LogKeys | None = None
    """The keys the ledger signs with: some of them must stay. Found out while sealing, it would be fatal."""

    @property
    def weight(self) -> int:
        """One leaf each."""
        return len(self.events)

    def apply(self, tx: Transaction) -> Callable[[Sealed], list[int]]:
        """Append them; the answer is their log indices.

        Raises as ``Registry.apply``, and FIELD_INVALID when the ledger could not sign any more.
        """
        copies = [pb.PublicEvent.FromString(event.SerializeToString()) for event in self.events]
        indices = [tx.publish(event) for event in copies]
        try:
            if self.keys:
                self.keys.without(tx.registry.retired_log_keys)
        except NoteError:
            raise RegieError("FIELD_INVALID", "no other key signs this log yet", field="verifier_key") from None
        return lambda _sealed: indices
