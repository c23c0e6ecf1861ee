"""Recording what auditors look at (R23): once per person, case, page, question and UTC day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from consent_ledger.clock import DAY_MS
from consent_ledger.errors import RegieError
from consent_ledger.storage.rows import ChangeRow
from consent_ledger.v1 import consents_pb2, log_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.transaction import Transaction
from consent_ledger.writing.work import Sealed


@dataclass(frozen=True, slots=True)
class AccessWork:
    """One look of an auditor at something; ``auditor`` is the OIN of who called."""

    auditor: str
    request: log_pb2.RecordAccessRequest
    weight: int = 1

    def apply(self, tx: Transaction) -> Callable[[Sealed], log_pb2.RecordAccessResponse]:
        """Append it, about whom the decision is about; raises RegieError ENTRY_UNKNOWN for what is no open decision."""
        day = tx.now_ms // DAY_MS
        subjects = self._subjects(tx)
        name = self._name(day)
        before = tx.changes([name]).get(name)
        response = log_pb2.RecordAccessResponse(
            log_index=before.idx if before else self._record(tx, day, name, subjects)
        )
        return lambda _sealed: response

    def _record(self, tx: Transaction, day: int, name: bytes, subjects: list[bytes]) -> int:
        asked = self.request
        body = pb.AuditAccessed(
            auditor=self.auditor,
            person=asked.person,
            case=asked.case,
            page=asked.page,
            act=asked.act,
            query=asked.query,
            about=asked.about,
            day=day,
        )
        index = tx.record(pb.Event(audit_accessed=body), subjects)
        answer = consents_pb2.ChangeResult(change_id=name, log_index=index).SerializeToString(deterministic=True)
        tx.writes.changes[name] = ChangeRow(name, sha256(b"regie/audited/v1" + name).digest(), answer, index)
        return index

    def _subjects(self, tx: Transaction) -> list[bytes]:
        """Return whom the decision is about that is looked at; nobody when it is about none."""
        if not self.request.about:
            return []
        index = self.request.about - 1
        row = tx.payloads([index]).get(index) if index < 2**62 else None
        if row is None or not pb.Event.FromString(row.event).HasField("exchange_decided"):
            raise RegieError("ENTRY_UNKNOWN", "there is no decision at this index that can be opened", field="about")
        return [link.subject for link in pb.PrivatePart.FromString(row.private).links]

    def _name(self, day: int) -> bytes:
        """Return the change id that the first such look of a day is kept under."""
        content = f"{day}/{self.auditor}/".encode() + self.request.SerializeToString(deterministic=True)
        return sha256(b"regie/access/v1" + content).digest()[:16]
