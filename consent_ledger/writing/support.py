"""A recipient declares through which channels it can approach residents (R34); decisions from here on go by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from consent_ledger.errors import RegieError
from consent_ledger.registry import RECIPIENT_KINDS
from consent_ledger.v1 import decisions_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.decision import CLOCK_SKEW_MS
from consent_ledger.writing.transaction import Transaction
from consent_ledger.writing.work import Sealed


@dataclass(frozen=True, slots=True)
class SupportWork:
    """A declaration whose signature was checked; ``request`` has its bytes."""

    declaration: pb.SupportDeclaration
    request: decisions_pb2.DeclareSupportRequest
    weight: int = 1

    def apply(self, tx: Transaction) -> Callable[[Sealed], decisions_pb2.DeclareSupportResponse]:
        """Publish it, unless it says what stands already.

        Raises RegieError PEER_KIND_NOT_SERVED for who is no recipient, NOT_FRESH for one from the future, WRITE_STALE
        when a later one stands.
        """
        said = self.declaration
        if said.time_ms > tx.now_ms + CLOCK_SKEW_MS:
            raise RegieError("NOT_FRESH", "the declaration is from the future", field="declaration.time_ms")
        participant = tx.registry.participant(said.oin)
        if participant.kind not in RECIPIENT_KINDS:
            raise RegieError("PEER_KIND_NOT_SERVED", f"a {participant.kind} approaches no residents")
        if participant.support_ms and set(participant.channels) == set(said.channels):
            index = participant.support_index
        else:
            request = self.request
            event = pb.ParticipantSupportDeclared(
                declaration=request.declaration, key_id=request.key_id, signature=request.signature
            )
            index = tx.publish(pb.PublicEvent(participant_support_declared=event))
        return lambda _sealed: decisions_pb2.DeclareSupportResponse(log_index=index)
