"""After delivery: the recipient has it, and what it did with it (R22)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from consent_ledger.deviation import deviations
from consent_ledger.errors import RegieError
from consent_ledger.state import Contact, contact
from consent_ledger.storage.rows import BatchRow, ChangeRow, PermitRow
from consent_ledger.v1 import decisions_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.decision import CLOCK_SKEW_MS
from consent_ledger.writing.delivered import DeliveredLeaves, acknowledged_template
from consent_ledger.writing.release import batch_for
from consent_ledger.writing.transaction import Transaction
from consent_ledger.writing.work import Sealed


@dataclass(frozen=True, slots=True)
class AcknowledgeWork:
    """An acknowledgement whose signature was checked; it is of the whole batch."""

    acknowledgement: decisions_pb2.Acknowledgement
    weight: int = 64

    def apply(self, tx: Transaction) -> Callable[[Sealed], decisions_pb2.AcknowledgeResponse]:
        """Append one leaf for each released signal not acknowledged before; raises BATCH_UNKNOWN or NOT_FRESH."""
        said = self.acknowledgement
        batch = batch_for(tx, said.header_hash, said.recipient)
        if said.time_ms > tx.now_ms + CLOCK_SKEW_MS:
            raise RegieError("NOT_FRESH", "the acknowledgement is from the future", field="acknowledgement.time_ms")
        due = [
            permit
            for permit in tx.permits(said.header_hash).values()
            if permit.released_idx is not None and permit.acknowledged_idx is None
        ]
        tx.subjects({permit.subject for permit in due})
        leaves = DeliveredLeaves(tx, acknowledged_template(batch.batch_id, batch.recipient), len(due))
        for permit in due:
            released, row = permit.released_idx, tx.subject(permit.subject)
            assert released is not None
            payload = leaves.append(permit.position, permit.subject, row, row.state, released)
            tx.put_permit(permit._replace(acknowledged_idx=payload.idx))
        return lambda _sealed: decisions_pb2.AcknowledgeResponse()


@dataclass(frozen=True, slots=True)
class OutcomeWork:
    """An opened report whose signature was checked; ``request_hash`` names it, so that it is recorded once."""

    header_hash: bytes
    recipient: str
    report: decisions_pb2.OutcomeReport
    request_hash: bytes
    weight: int = 1

    def apply(self, tx: Transaction) -> Callable[[Sealed], decisions_pb2.ReportOutcomeResponse]:
        """Append the report; raises BATCH_UNKNOWN, FIELD_INVALID when that signal was not released, or NOT_FRESH."""
        batch = batch_for(tx, self.header_hash, self.recipient)
        before = tx.changes([self.request_hash]).get(self.request_hash)
        if before is None:
            response = decisions_pb2.ReportOutcomeResponse(log_index=self._record(tx, batch))
            answer = response.SerializeToString()
            row = ChangeRow(self.request_hash, self.request_hash, answer, response.log_index)
            tx.writes.changes[row.change_id] = row
        else:
            response = decisions_pb2.ReportOutcomeResponse.FromString(before.result)
        return lambda _sealed: response

    def _record(self, tx: Transaction, batch: BatchRow) -> int:
        report = self.report
        if report.when_ms > tx.now_ms + CLOCK_SKEW_MS:
            raise RegieError("NOT_FRESH", "the outcome is from the future", field="report.when_ms")
        permit = tx.permits(self.header_hash).get(report.position)
        if permit is None or permit.released_idx is None:
            raise RegieError("FIELD_INVALID", "no signal was released at this position", field="report.position")
        found = deviations(_wished(tx, permit), report)
        body = pb.OutcomeReported(
            batch_id=batch.batch_id,
            position=report.position,
            recipient=batch.recipient,
            released_index=permit.released_idx,
            offer=report.offer,
            channel=report.channel,
            when_ms=report.when_ms,
            deviation=bool(found),
            deviations=found,
            language=report.language,
            form_of_address=report.form_of_address,
            other_person=report.other_person,
        )
        index = tx.record(pb.Event(outcome_reported=body), [permit.subject])
        tx.put_permit(permit._replace(outcome_idx=index))
        return index


def _wished(tx: Transaction, permit: PermitRow) -> Contact:
    """Return the preferences that were delivered: a later change cannot turn what was done into a deviation."""
    assert permit.released_idx is not None
    released = tx.payloads([permit.released_idx]).get(permit.released_idx)
    reasons = pb.PrivatePart.FromString(released.private).decided_by if released else []
    deciding = tx.payloads(list(reasons))
    for row in sorted(deciding.values(), reverse=True):
        event = pb.Event.FromString(row.event)
        if event.WhichOneof("body") == "preferences_set":
            return contact(event.preferences_set.preferences, row.idx)
    return Contact(-1)  # none were set: letter only
