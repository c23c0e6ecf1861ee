"""The leaves of a delivered batch, released or acknowledged, written a thousand at a time.

As ``writing.leaves`` does for decisions: the bytes are what protobuf would write (a test compares), and what all
signals of a batch share is serialised once.
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from consent_ledger.decide import Decision
from consent_ledger.events import PRIVATE_LABEL, commitment, committed_entry
from consent_ledger.log.merkle import leaf_hash
from consent_ledger.state import SubjectState
from consent_ledger.storage.rows import LeafRow, PayloadRow, SubjectRow
from consent_ledger.v1 import batch_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.leaves import private_part, randoms, varint
from consent_ledger.writing.transaction import Transaction

NO_REASON = Decision(0)
"""Of an event that nobody decided."""

_DIGEST = b"\x12\x20"  # Event.private_digest, 32 bytes
_RELEASED, _ACKNOWLEDGED = b"\xaa\x01", b"\xba\x01"  # Event.exchange_released, Event.exchange_acknowledged
_POSITION = b"\x10"  # of both
_DECIDED_INDEX, _SEVERITY, _RELEASED_INDEX = b"\x38", b"\x50", b"\x20"
_REASON_ZERO = b"\x18\x00"  # what ``private_part`` ends with for NO_REASON; protobuf does not write it
_POOL = 256


class Template(NamedTuple):
    """One kind of event about the signals of one batch: bytes before and between the fields that differ."""

    tag: bytes
    before: bytes  # before the position
    middle: bytes  # between it and the index of the leaf that this one follows
    reference: bytes  # the tag of that index
    after: bytes

    def event(self, lead: bytes, position: int, follows: int, severity: int = 0) -> bytes:
        """Return Event bytes; ``lead`` is the time and the digest."""
        place = _POSITION + varint(position) if position else b""
        leaf = self.reference + varint(follows) if follows else b""
        band = _SEVERITY + varint(severity) if severity else b""
        body = b"".join((self.before, place, self.middle, leaf, self.after, band))
        return b"".join((lead, self.tag, varint(len(body)), body))


def released_template(header: batch_pb2.BatchHeader, trace_id: bytes, span_id: bytes) -> Template:
    """Make events that signals of a batch were released: ``follows`` is the decision."""
    middle = pb.ExchangeReleased(
        sender=header.sender,
        recipient=header.recipient,
        purpose=header.purpose,
        purpose_version=header.purpose_version,
    )
    after = pb.ExchangeReleased(trace_id=trace_id, span_id=span_id)
    before = pb.ExchangeReleased(batch_id=header.batch_id).SerializeToString()
    return Template(_RELEASED, before, middle.SerializeToString(), _DECIDED_INDEX, after.SerializeToString())


def acknowledged_template(batch_id: bytes, recipient: str) -> Template:
    """Make events that signals of a batch were acknowledged: ``follows`` is the release."""
    before = pb.ExchangeAcknowledged(batch_id=batch_id).SerializeToString()
    middle = pb.ExchangeAcknowledged(recipient=recipient).SerializeToString()
    return Template(_ACKNOWLEDGED, before, middle, _RELEASED_INDEX, b"")


def unreasoned_part(nonce: bytes, subject: bytes, row: SubjectRow) -> bytes:
    """Return PrivatePart bytes of an event that nobody decided, the next in its subject's chain."""
    return private_part(nonce, subject, row, NO_REASON).removesuffix(_REASON_ZERO)


class DeliveredLeaves:
    """Appends the leaves of one batch about its signals."""

    def __init__(self, tx: Transaction, template: Template, most: int) -> None:
        """Begin; at most so many are appended."""
        self._tx, self._template = tx, template
        self._lead = pb.Event(time_ms=tx.now_ms).SerializeToString() + _DIGEST
        self._randoms = randoms(tx.rng, max(1, min(_POOL, most)))

    def append(  # noqa: PLR0917  (one row of a thousand: no object for it)
        self,
        position: int,
        subject: bytes,
        row: SubjectRow,
        state: SubjectState,
        follows: int,
        decision: Decision = NO_REASON,
        severity: int = 0,
    ) -> PayloadRow:
        """Append one event in its subject's chain, with the subject's state after it; return what opens it."""
        nonce, salt = next(self._randoms)
        # The same steps as events.make_committed and Transaction.record, on bytes.
        if decision is NO_REASON:
            private = unreasoned_part(nonce, subject, row)
        else:
            private = private_part(nonce, subject, row, decision)
        digest = sha256(PRIVATE_LABEL + private).digest()
        event = self._template.event(self._lead + digest, position, follows, severity)
        committed, index = commitment(salt, event), self._tx.next_index
        entry = committed_entry(committed)
        payload = PayloadRow(index, salt, event, private)
        self._tx.append_leaf(LeafRow(index, entry, leaf_hash(entry)), payload)
        self._tx.link(subject, row, sha256(committed).digest(), state, index)
        return payload
