"""What organisations are asked to do: listing it, sealed to who asks, and taking in what they did about it.

The gateway relays both. It learns which organisation looks and reports, and neither how much is asked of it nor what:
lists and reports have one size each, and a question cannot be told from a notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from consent_ledger.errors import RegieError
from consent_ledger.sequencer import Sequencer
from consent_ledger.service.ports import LedgerCrypto
from consent_ledger.service.validation import parse
from consent_ledger.storage.ports import Snapshot
from consent_ledger.storage.rows import PayloadRow, TaskRow
from consent_ledger.v1 import decisions_pb2 as pb
from consent_ledger.v1 import events_pb2
from consent_ledger.writing.release import PULL_FRESH_MS, pad
from consent_ledger.writing.tasks import TaskWork

LIST_BYTES = 131_072
"""Size of every TaskList: about fifteen questions at their longest, hundreds of notices."""
_ROOM = LIST_BYTES - 1_024
_PAGE = 200


@dataclass(frozen=True, slots=True)
class TaskDesk:
    """Serves the tasks of one ledger. Who asks is who signed: the gateway only relays."""

    sequencer: Sequencer
    crypto: LedgerCrypto

    def listed(self, request: pb.ListTasksRequest, now_ms: int) -> pb.ListTasksResponse:
        """Answer a query; raises RegieError SIGNATURE_INVALID, KEY_UNKNOWN, PARTY_UNKNOWN or NOT_FRESH."""
        query = parse(pb.TaskQuery, request.query, "query")
        digest = sha256(request.query).digest()
        self._check(query.organisation, query.key_id, b"regie/s/tasks/v1", request.signature, digest)
        if abs(query.time_ms - now_ms) > PULL_FRESH_MS:
            raise RegieError("NOT_FRESH", "a query is at most 5 minutes old", field="query.time_ms")
        with self.sequencer.reader.snapshot() as snapshot:
            content = _content(snapshot, query)
        public = self.sequencer.registry.participant(query.organisation).key("hpke").public
        sealed = self.crypto.seal_tasks(public, query.nonce, content)
        signature = self.crypto.sign(b"regie/s/tasklist/v1", digest, sha256(sealed).digest())
        return pb.ListTasksResponse(sealed=sealed, signature=signature)

    def work(self, request: pb.ReportTaskRequest) -> TaskWork:
        """Open a report for the sequencer; raises SIGNATURE_INVALID, SEALED_PART_INVALID or FIELD_INVALID."""
        digest = sha256(request.sealed).digest()
        self._check(request.organisation, request.key_id, b"regie/s/task/v1", request.signature, digest)
        report = parse(pb.TaskReport, self.crypto.open_task(request.organisation, request.sealed), "report")
        name = sha256(b"regie/task/v1" + request.organisation.encode() + digest).digest()
        return TaskWork(request.organisation, report, name)

    def _check(self, oin: str, key_id: bytes, label: bytes, signature: bytes, digest: bytes) -> None:
        key = self.sequencer.registry.participant(oin).key_by_id(key_id)
        if key.usage != "sign":
            raise RegieError("KEY_UNKNOWN", "this key is not for signing", field="key_id")
        self.crypto.verify(key.public, label, signature, digest)


def _content(snapshot: Snapshot, query: pb.TaskQuery) -> bytes:
    """Return TaskList bytes of exactly LIST_BYTES: as many tasks as fit, and whether there are more."""
    rows = snapshot.tasks(query.organisation, min(query.after_index, 2**62), _PAGE, done=query.all)
    events = snapshot.payloads({index for row in rows for index in (row.idx, row.done_idx) if index is not None})
    listed = pb.TaskList()
    room = _ROOM
    for row in rows:
        if row.idx not in events:
            continue  # erased since: nobody is asked
        task = _task(snapshot, row, events)
        room -= task.ByteSize() + 8
        if room < 0:
            break
        listed.tasks.append(task)
    listed.more = room < 0 or len(rows) == _PAGE
    return pad(listed.SerializeToString(deterministic=True), LIST_BYTES)


def _task(snapshot: Snapshot, row: TaskRow, payloads: Mapping[int, PayloadRow]) -> pb.Task:
    asked = events_pb2.Event.FromString(payloads[row.idx].event)
    done = payloads.get(row.done_idx) if row.done_idx is not None else None
    done_ms = events_pb2.Event.FromString(done.event).time_ms if done else 0
    task = pb.Task(log_index=row.idx, time_ms=asked.time_ms, due_ms=row.due_ms, done_ms=done_ms)
    if asked.HasField("question_asked"):
        body = asked.question_asked
        task.question.CopyFrom(
            pb.QuestionTask(
                question_id=body.question_id,
                purpose=body.purpose,
                batch_id=body.batch_id,
                position=body.position,
                sealed=body.sealed,
                key_id=body.organisation_key_id,
            )
        )
    else:
        notice = asked.stop_use_noticed
        signals = _signals(snapshot, notice)
        task.stop_use.CopyFrom(pb.StopUseTask(sender=notice.sender, purpose=notice.purpose, signals=signals))
    return task


def _signals(snapshot: Snapshot, notice: events_pb2.StopUseNoticed) -> list[pb.DeliveredSignal]:
    rows = snapshot.payloads(list(notice.released))
    bodies = [events_pb2.Event.FromString(rows[index].event).exchange_released for index in sorted(rows)]
    return [pb.DeliveredSignal(batch_id=body.batch_id, position=body.position) for body in bodies]
