"""Releasing a batch to the recipient that pulls it: consent is judged again, and the answer is sealed to it (I1, I5).

An answer says nothing by its size: it depends only on how many signals were permitted at decision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from consent_ledger import texts
from consent_ledger.decide import Decision, judge_of
from consent_ledger.errors import RegieError
from consent_ledger.state import after_release
from consent_ledger.storage.rows import BatchRow, PayloadRow, PermitRow, PullRow
from consent_ledger.v1 import batch_pb2, decisions_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.decision import request_of
from consent_ledger.writing.delivered import DeliveredLeaves, released_template
from consent_ledger.writing.leaves import varint
from consent_ledger.writing.transaction import Transaction
from consent_ledger.writing.work import Sealed, Sign

PULL_FRESH_MS = 300_000
"""How far the time of a pull may be from ours, and how long its answer is valid."""
RELEASE_BASE = 4_096
RELEASE_SLOT = 3_072
"""Bytes per permitted signal, whether released or withheld."""

LETTER_ONLY = pb.Preferences(channels=[pb.CHANNEL_BRIEF]).SerializeToString()
"""What holds until a resident chose otherwise (R26)."""

_SIGNALS, _PADDING = b"\x12", b"\x1a"  # ReleaseContent.signals, ReleaseContent.padding


class _Released(NamedTuple):
    permit: PermitRow
    preferences: bytes  # Preferences
    explanation: bytes  # Text
    payload: PayloadRow | None  # what opens the leaf; None: a former pull appended it


@dataclass(frozen=True, slots=True)
class ReleaseWork:
    """A pull whose signature was checked; ``seal`` seals to its recipient's key, which was tried."""

    pull: decisions_pb2.Pull
    request_hash: bytes
    seal: Callable[[bytes], bytes]
    sign: Sign
    trace_id: bytes = b""
    span_id: bytes = b""
    weight: int = 64

    def apply(self, tx: Transaction) -> Callable[[Sealed], decisions_pb2.ReleaseResponse]:
        """Judge every permit again and append; once per batch and nonce, the same bytes get the same answer.

        Raises BATCH_UNKNOWN (also for another's batch), NOT_FRESH, or NONCE_REUSED.
        """
        pull = self.pull
        batch = batch_for(tx, pull.header_hash, pull.recipient)
        if abs(pull.time_ms - tx.now_ms) > PULL_FRESH_MS:
            raise RegieError("NOT_FRESH", "a pull is at most 5 minutes old", field="pull.time_ms")
        before = tx.pull(pull.header_hash, pull.nonce)
        if before is not None:
            if before.request_hash != self.request_hash:
                raise RegieError("NONCE_REUSED", "this nonce was used for another pull", field="pull.nonce")
            return self._again
        if tx.now_ms >= batch.expires_ms:
            raise RegieError("NOT_FRESH", "the batch has expired", field="header.expires_ms")
        expires_ms = tx.now_ms + PULL_FRESH_MS
        tx.writes.pulls[pull.header_hash, pull.nonce] = self._row(b"", expires_ms)
        permits = tx.permits(pull.header_hash)
        released = self._judge(tx, batch, list(permits.values()))
        return lambda sealed: self._answer(sealed, batch, released, len(permits), expires_ms)

    def _judge(self, tx: Transaction, batch: BatchRow, permits: Sequence[PermitRow]) -> list[_Released]:
        header = batch_pb2.BatchHeader.FromString(batch.header)
        tx.subjects({permit.subject for permit in permits})
        judge = judge_of(tx.registry, request_of(header), tx.now_ms)
        explain = _explainer(tx, header)
        append = self._appender(tx, header, len(permits))
        released = []
        for permit in permits:
            if permit.opening is None:
                continue  # withheld before: v_i is gone, nobody can open it
            state = tx.state(permit.subject)
            decision = judge(state, permit.decided_idx, 0)  # the severity is that of the permit
            if decision.permitted:
                preferences = state.contact.to_proto().SerializeToString() if state.contact else LETTER_ONLY
                payload = append(permit, decision) if permit.released_idx is None else None
                told = permit if payload is None else permit._replace(released_idx=payload.idx)
                released.append(_Released(told, preferences, explain(decision.date_ms), payload))
            else:
                _withhold(tx, header, permit, decision)
        return released

    def _appender(
        self, tx: Transaction, header: batch_pb2.BatchHeader, most: int
    ) -> Callable[[PermitRow, Decision], PayloadRow]:
        """Return what appends the release leaf of a permit, once."""
        leaves = DeliveredLeaves(tx, released_template(header, self.trace_id, self.span_id), most)
        party, purpose, now_ms = (header.sender, header.recipient), header.purpose, tx.now_ms

        def append(permit: PermitRow, decision: Decision) -> PayloadRow:
            used = permit.decided_idx
            row = tx.subject(permit.subject)
            severity = next((e.severity for e in row.state.exchanges if e.decided_index == used), 0)
            state = after_release(row.state, tx.next_index, now_ms, party, purpose, used)
            payload = leaves.append(permit.position, permit.subject, row, state, used, decision, severity)
            tx.put_permit(permit._replace(released_idx=payload.idx))
            return payload

        return append

    def _answer(
        self, sealed: Sealed, batch: BatchRow, released: list[_Released], permitted: int, expires_ms: int
    ) -> decisions_pb2.ReleaseResponse:
        content = release_content(sealed, released, permitted)
        box = self.seal(content)
        statement = decisions_pb2.ReleaseStatement(
            header_hash=batch.header_hash,
            root=batch.root,
            nonce=self.pull.nonce,
            expires_ms=expires_ms,
            sealed_hash=sha256(box).digest(),
        ).SerializeToString(deterministic=True)
        response = decisions_pb2.ReleaseResponse(sealed=box, statement=statement, signature=self.sign(statement))
        sealed.keep(self._row(response.SerializeToString(deterministic=True), expires_ms))
        return response

    def _again(self, sealed: Sealed) -> decisions_pb2.ReleaseResponse:
        row = sealed.pull(self.pull.header_hash, self.pull.nonce)
        return decisions_pb2.ReleaseResponse.FromString(row.response)

    def _row(self, response: bytes, expires_ms: int) -> PullRow:
        return PullRow(self.pull.header_hash, self.pull.nonce, self.request_hash, response, expires_ms)


def batch_for(tx: Transaction, header_hash: bytes, recipient: str) -> BatchRow:
    """Return a batch of this recipient; raises BATCH_UNKNOWN for no batch and for another's alike."""
    batch = tx.batch(header_hash)
    if batch is None or batch.recipient != recipient:
        raise RegieError("BATCH_UNKNOWN", "no batch of this name waits for this recipient", field="header_hash")
    return batch


def _explainer(tx: Transaction, header: batch_pb2.BatchHeader) -> Callable[[int], bytes]:
    """Return what gives the explanation (Text bytes) for a date of agreement; many agreed in the same hour."""
    registry = tx.registry
    made: dict[int, bytes] = {}

    def explain(agreed_ms: int) -> bytes:
        hour = agreed_ms // 3_600_000  # days begin and end on the hour
        if hour not in made:
            sender, recipient = registry.participant(header.sender), registry.participant(header.recipient)
            purpose = registry.purpose(header.purpose)
            text = texts.explanation(purpose, sender.name, recipient.name, header.items, agreed_ms)
            made[hour] = text.to_proto().SerializeToString()
        return made[hour]

    return explain


def _withhold(tx: Transaction, header: batch_pb2.BatchHeader, permit: PermitRow, decision: Decision) -> None:
    """Stop a permitted signal at delivery, for good: its opening is deleted with the same commit."""
    body = pb.ExchangeWithheld(
        batch_id=header.batch_id,
        position=permit.position,
        sender=header.sender,
        recipient=header.recipient,
        purpose=header.purpose,
        purpose_version=header.purpose_version,
        decided_index=permit.decided_idx,
    )
    event = pb.Event(exchange_withheld=body)
    index = tx.record(event, [permit.subject], reason=decision.reason, decided_by=decision.decided_by)
    tx.put_permit(permit._replace(opening=None, withheld_idx=index))


def release_content(sealed: Sealed, released: Sequence[_Released], permitted: int) -> bytes:
    """Return ReleaseContent bytes of exactly RELEASE_BASE + permitted * RELEASE_SLOT bytes."""
    indices = [entry.permit.released_idx for entry in released if entry.permit.released_idx is not None]
    before = [index for entry, index in zip(released, indices, strict=True) if entry.payload is None]
    payloads = sealed.payloads(before) if before else {}
    parts = [decisions_pb2.ReleaseContent(checkpoint=sealed.checkpoint).SerializeToString()]
    for entry, index, path in zip(released, indices, sealed.paths(indices), strict=True):
        payload = entry.payload or payloads.get(index)
        if payload is None:
            continue  # erased: there is no receipt to give, so there is no delivery
        signal = _signal(entry, payload, path)
        parts += (_SIGNALS, varint(len(signal)), signal)
    return pad(b"".join(parts), RELEASE_BASE + permitted * RELEASE_SLOT)


def _signal(entry: _Released, payload: PayloadRow, path: bytes) -> bytes:
    """Return ReleasedSignal bytes, as protobuf writes them (a test compares)."""
    permit, preferences, explanation, _ = entry
    return b"".join(
        (
            b"\x08" + varint(permit.position) if permit.position else b"",
            b"\x12" + varint(len(permit.opening)) + permit.opening if permit.opening else b"",
            b"\x1a" + varint(len(preferences)) + preferences,
            b"\x22" + varint(len(explanation)) + explanation,
            b"\x28" + varint(payload.idx) if payload.idx else b"",
            b"\x32" + varint(len(payload.event)) + payload.event,
            b"\x3a" + varint(len(payload.salt)) + payload.salt,
            b"\x42" + varint(len(path)) + path if path else b"",
        )
    )


def pad(content: bytes, size: int) -> bytes:
    """Add the padding field so that exactly ``size`` bytes result.

    Its length is always written in four bytes (protobuf reads a number with leading zeros): with the shortest form,
    some sizes could not be reached.
    """
    zeros = size - len(content) - 5
    assert 0 <= zeros < 1 << 28, "released signals are larger than their slots"
    length = bytes((zeros >> shift & 0x7F) | (0x80 if shift < 21 else 0) for shift in (0, 7, 14, 21))
    return content + _PADDING + length + bytes(zeros)
