"""What an organisation reports about a task: the answer to a question, or that it stopped using what it received."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from consent_ledger.errors import RegieError
from consent_ledger.storage.rows import ChangeRow, TaskRow
from consent_ledger.v1 import decisions_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.transaction import Transaction
from consent_ledger.writing.work import Sealed


@dataclass(frozen=True, slots=True)
class TaskWork:
    """An opened report whose signature was checked; ``request_hash`` names it, so that it is recorded once."""

    organisation: str
    report: decisions_pb2.TaskReport
    request_hash: bytes
    weight: int = 1

    def apply(self, tx: Transaction) -> Callable[[Sealed], decisions_pb2.ReportTaskResponse]:
        """Append what was done; the same report again gets the same answer.

        Raises RegieError ENTRY_UNKNOWN for no task and another's alike, WRITE_STALE when it was reported before.
        """
        before = tx.changes([self.request_hash]).get(self.request_hash)
        if before is None:
            response = decisions_pb2.ReportTaskResponse(log_index=self._record(tx))
            answer = response.SerializeToString()
            tx.writes.changes[self.request_hash] = ChangeRow(
                self.request_hash, self.request_hash, answer, response.log_index
            )
        else:
            response = decisions_pb2.ReportTaskResponse.FromString(before.result)
        return lambda _sealed: response

    def _record(self, tx: Transaction) -> int:
        task = tx.task(self.report.log_index)
        rows = tx.payloads([self.report.log_index])
        if task is None or task.organisation != self.organisation.encode() or not rows:
            raise RegieError("ENTRY_UNKNOWN", "nothing is asked of this organisation there", field="report.log_index")
        if task.done_idx is not None:
            raise RegieError("WRITE_STALE", "this was reported before", field="report.log_index")
        row = rows[task.idx]
        event = self._event(tx, task, pb.Event.FromString(row.event))
        subjects = [link.subject for link in pb.PrivatePart.FromString(row.private).links]
        index = tx.record(event, subjects)
        tx.put_task(task._replace(done_idx=index))
        return index

    def _event(self, tx: Transaction, task: TaskRow, asked: pb.Event) -> pb.Event:
        what = self.report.WhichOneof("what")
        if asked.HasField("question_asked") and what == "answer":
            answer = self.report.answer
            if tx.registry.operator("viewer").key("hpke").key_id != answer.viewer_key_id:
                raise RegieError("KEY_UNKNOWN", "this is not the viewer's newest key", field="report.viewer_key_id")
            return pb.Event(
                question_answered=pb.QuestionAnswered(
                    question_id=asked.question_asked.question_id,
                    asked_index=task.idx,
                    organisation=self.organisation,
                    sealed=answer.sealed,
                    viewer_key_id=answer.viewer_key_id,
                )
            )
        if asked.HasField("stop_use_noticed") and what == "stop_use":
            done = pb.NoticeAcknowledged(noticed_index=task.idx, recipient=self.organisation, how=self.report.stop_use)
            return pb.Event(notice_acknowledged=done)
        expected = "an answer" if asked.HasField("question_asked") else "what was done about its use"
        raise RegieError("FIELD_INVALID", f"expected {expected}", field="report.what")
