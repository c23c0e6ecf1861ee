"""Recording a resident's question to an organisation (R21). The ledger learns whom, about what and when, not the words.

Nobody is asked about what they must not know of: a sender about the signals it sent, a recipient about those that were
released to it. A question about no exchange says nothing about who asks.
"""

from __future__ import annotations

from collections.abc import Sequence

from consent_ledger import questions
from consent_ledger.errors import RegieError
from consent_ledger.registry import ROLE_KINDS, Registry
from consent_ledger.state import QUESTION
from consent_ledger.storage.rows import TaskRow
from consent_ledger.v1 import consents_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.choices import check_order
from consent_ledger.writing.transaction import Transaction


def record_question(tx: Transaction, change: consents_pb2.Change, subjects: Sequence[bytes]) -> int:
    """Append the question a change asks about these subjects, as a task of its organisation; return its log index.

    Raises RegieError NOT_FRESH, WRITE_STALE, PURPOSE_UNKNOWN, PARTY_UNKNOWN, KEY_UNKNOWN, QUOTA_EXCEEDED when too many
    questions wait already, or FIELD_INVALID, naming the field. Every check comes before the first write.
    """
    states = [tx.state(subject) for subject in subjects]
    check_order(change.created_ms, states, tx.now_ms)
    body = _question(tx.registry, change)
    open_now = {t.idx for state in states for t in state.tasks if t.kind == QUESTION and t.done_idx is None}
    if len(open_now) >= questions.MOST_OPEN:
        what = f"{questions.MOST_OPEN} questions wait for an answer: one more after one of them is answered"
        raise RegieError("QUOTA_EXCEEDED", what, field="ask")
    if change.ask.about_index:
        _about(tx, change.ask.about_index, subjects, body)
    body.due_ms = questions.due_ms(tx.now_ms)
    index = tx.record(pb.Event(question_asked=body), subjects)
    tx.put_task(TaskRow(index, body.organisation.encode(), body.due_ms))
    return index


def _question(registry: Registry, change: consents_pb2.Change) -> pb.QuestionAsked:
    """Check what can be checked without looking at entries: one purpose, an agency, and the newest keys of both."""
    ask = change.ask
    purposes = {rows.purpose for rows in change.rows}
    if len(purposes) != 1:
        raise RegieError("FIELD_INVALID", "every row of a question is of the same purpose", field="rows.purpose")
    purpose = registry.purpose(purposes.pop())
    organisation = registry.find_participant(ask.organisation)
    if organisation is None or organisation.kind in ROLE_KINDS:
        raise RegieError("PARTY_UNKNOWN", "no agency has this OIN", field="ask.organisation")
    if organisation.key("hpke").key_id != ask.organisation_key_id:
        raise RegieError("KEY_UNKNOWN", "this is not the organisation's newest key", field="ask.organisation_key_id")
    if registry.operator("viewer").key("hpke").key_id != ask.viewer_key_id:
        raise RegieError("KEY_UNKNOWN", "this is not the viewer's newest key", field="ask.viewer_key_id")
    return pb.QuestionAsked(
        question_id=change.change_id,
        organisation=ask.organisation,
        purpose=purpose.id,
        purpose_version=purpose.version,
        about_index=ask.about_index,
        sealed=ask.sealed,
        organisation_key_id=ask.organisation_key_id,
        sealed_viewer=ask.sealed_viewer,
        viewer_key_id=ask.viewer_key_id,
        capture=change.capture,
        created_ms=change.created_ms,
    )


def _about(tx: Transaction, index: int, subjects: Sequence[bytes], body: pb.QuestionAsked) -> None:
    """Fill in the exchange a question is about; another's entry is answered for like one that does not exist."""
    row = tx.payloads([index]).get(index)
    private = pb.PrivatePart.FromString(row.private) if row else pb.PrivatePart()
    event = pb.Event.FromString(row.event) if row else pb.Event()
    decided = event.exchange_decided
    own = any(link.subject in subjects for link in private.links)
    if not own or not event.HasField("exchange_decided") or not _knows(tx, body.organisation, index, decided):
        what = "expected a decision about these rows that this organisation knows of"
        raise RegieError("FIELD_INVALID", what, field="ask.about_index")
    body.batch_id, body.position = decided.batch_id, decided.position


def _knows(tx: Transaction, organisation: str, index: int, decided: pb.ExchangeDecided) -> bool:
    """Tell whether an organisation knows of an exchange: it sent it, or it was released to it."""
    if decided.sender == organisation:
        return True
    if decided.recipient != organisation or not decided.permitted:
        return False
    batch = tx.batch_by_id(decided.sender, decided.batch_id)
    permit = tx.permits(batch.header_hash).get(decided.position) if batch else None
    return permit is not None and permit.decided_idx == index and permit.released_idx is not None
