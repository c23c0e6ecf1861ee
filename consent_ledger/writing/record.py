"""Recording residents' choices; each stands alone: a bad one is answered with its error, and the others go through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from consent_ledger.errors import RegieError
from consent_ledger.state import SubjectState
from consent_ledger.storage.rows import ChangeRow
from consent_ledger.v1 import consents_pb2
from consent_ledger.writing.acting import ACTING, acting_event, record_view
from consent_ledger.writing.asking import record_question
from consent_ledger.writing.authority import attempt_of, check_authority
from consent_ledger.writing.choices import event_for, undated
from consent_ledger.writing.notices import notify
from consent_ledger.writing.transaction import Transaction, Wanted
from consent_ledger.writing.work import Sealed, Sign


@dataclass(frozen=True, slots=True)
class PreparedChange:
    """A change and the subjects of its rows (stored indices), or why those could not be computed."""

    change: consents_pb2.Change
    subjects: tuple[bytes, ...]
    error: RegieError | None = None

    @property
    def digest(self) -> bytes:
        """Tells whether the same change id comes with other content; when it was written is no content.

        So a form that is sent twice, and written down at two moments, is one change.
        """
        return sha256(b"regie/change/v1" + undated(self.change)).digest()


@dataclass(frozen=True, slots=True)
class RecordWork:
    """Changes in the order of their request; ``sign`` signs the receipt."""

    changes: Sequence[PreparedChange]
    request_hash: bytes
    sign: Sign

    @property
    def weight(self) -> int:
        """One leaf each."""
        return len(self.changes)

    def wants(self, wanted: Wanted) -> None:
        """The answers given before, and everybody it is about."""
        for prepared in self.changes:
            wanted.changes.add(prepared.change.change_id)
            wanted.subjects.update(prepared.subjects)

    def apply(self, tx: Transaction) -> Callable[[Sealed], consents_pb2.RecordResponse]:
        """Record what can be recorded; a change id that was answered before gets the same answer."""
        tx.subjects({subject for prepared in self.changes for subject in prepared.subjects})
        known = tx.changes({prepared.change.change_id for prepared in self.changes})
        results = [self._result(tx, prepared, known) for prepared in self.changes]
        return lambda sealed: self._answer(sealed, results)

    def _result(
        self, tx: Transaction, prepared: PreparedChange, known: dict[bytes, ChangeRow]
    ) -> consents_pb2.ChangeResult:
        try:
            return _again(prepared, known) or self._recorded(tx, prepared, known)
        except RegieError as error:
            failed = consents_pb2.ChangeError(reason=error.reason, field=error.field, description=error.message)
            return consents_pb2.ChangeResult(change_id=prepared.change.change_id, error=failed)

    def _recorded(
        self, tx: Transaction, prepared: PreparedChange, known: dict[bytes, ChangeRow]
    ) -> consents_pb2.ChangeResult:
        change_id = prepared.change.change_id
        result = consents_pb2.ChangeResult(change_id=change_id, log_index=_record(tx, prepared))
        if prepared.change.HasField("view"):
            return result  # kept by its day and not by its id: the next view of that day has another id
        answer = result.SerializeToString(deterministic=True)
        row = ChangeRow(change_id, prepared.digest, answer, result.log_index)
        known[change_id] = tx.writes.changes[change_id] = row  # the same id may come twice in one request
        return result

    def _answer(self, sealed: Sealed, results: Sequence[consents_pb2.ChangeResult]) -> consents_pb2.RecordResponse:
        receipt = consents_pb2.RecordReceipt(
            request_hash=self.request_hash, results=results, checkpoint=sealed.checkpoint
        ).SerializeToString(deterministic=True)
        return consents_pb2.RecordResponse(receipt=receipt, signature=self.sign(receipt))


def _again(prepared: PreparedChange, known: dict[bytes, ChangeRow]) -> consents_pb2.ChangeResult | None:
    """Return the answer given before; raises NONCE_REUSED when the id comes with another change."""
    before = known.get(prepared.change.change_id)
    if before is None:
        return None
    if before.request_hash != prepared.digest:
        raise RegieError("NONCE_REUSED", "this change id was used for another change", field="change_id")
    return consents_pb2.ChangeResult.FromString(before.result)


def _record(tx: Transaction, prepared: PreparedChange) -> int:
    """Append one change and return its log index; every check comes before the first write."""
    if prepared.error is not None:
        raise prepared.error
    change, subjects = prepared.change, list(dict.fromkeys(prepared.subjects))
    what = str(change.WhichOneof("what"))
    states = [tx.state(subject) for subject in subjects]
    _check_authority(tx, change, subjects, states)
    if what == "ask":
        return record_question(tx, change, subjects)
    if what == "view":
        return record_view(tx, change, subjects)
    if what in ACTING:
        return tx.record(acting_event(change, states, tx.now_ms), subjects)
    event = event_for(change, states, tx.registry, tx.now_ms)
    index = tx.record(event, subjects)
    notify(tx, event, index, subjects)
    return index


def _check_authority(
    tx: Transaction, change: consents_pb2.Change, subjects: Sequence[bytes], states: Sequence[SubjectState]
) -> None:
    """Raise RegieError unless whoever writes may; the attempt is then the one thing that is written (AS6)."""
    try:
        check_authority(change, states, tx)
    except RegieError as refusal:
        attempt = attempt_of(change, refusal, states, tx.now_ms)
        if attempt is not None:
            tx.record(attempt, subjects)
        raise
