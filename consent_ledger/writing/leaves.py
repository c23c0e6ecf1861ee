"""The leaves of a decided batch, written a thousand at a time.

The bytes are what protobuf would write (a test compares): fields that all signals share are serialised once, and the
few that differ are put between them by hand.
"""

from __future__ import annotations

from consent_ledger.decide import Decision, outcome_of
from consent_ledger.events import SALT_SIZE, chain_hash, private_digest, seal
from consent_ledger.purpose import Purpose
from consent_ledger.state import Party, SubjectState, after_decision
from consent_ledger.storage.rows import SubjectRow
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.transaction import Transaction

_DIGEST = b"\x12\x20"  # Event.private_digest, 32 bytes
_DECIDED = b"\xa2\x01"  # Event.exchange_decided
_POSITION = b"\x10"
_PERMITTED = b"\x50\x01"
_OUTCOME = b"\x58"
_NONCE = b"\x0a\x20"  # PrivatePart.nonce, 32 bytes
_LINK = b"\x12"
_SUBJECT = b"\x0a\x20"  # SubjectLink.subject, 32 bytes
_SEQ = b"\x10"
_PREVIOUS = b"\x1a\x20"  # SubjectLink.previous, 32 bytes
_REASON = b"\x18"
_DECIDED_BY = b"\x22"  # packed
_RANDOM = 32 + SALT_SIZE
_POOL = 256
_SINGLE = [bytes((value,)) for value in range(0x80)]


def varint(value: int) -> bytes:
    """Return protobuf's encoding of a number >= 0."""
    if value < 0x80:
        return _SINGLE[value]
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def private_part(nonce: bytes, subject: bytes, row: SubjectRow, decision: Decision) -> bytes:
    """Return PrivatePart bytes of a decision, the next event in its subject's chain; nonce and subject are 32 bytes."""
    seq = varint(row.seq + 1)
    previous = _PREVIOUS + row.last if row.last else b""
    size = len(_SUBJECT) + 32 + 1 + len(seq) + len(previous)
    parts = [
        _NONCE,
        nonce,
        _LINK,
        varint(size),
        _SUBJECT,
        subject,
        _SEQ,
        seq,
        previous,
        _REASON,
        varint(decision.reason),
    ]
    if decision.decided_by:
        packed = b"".join(map(varint, decision.decided_by))
        parts += (_DECIDED_BY, varint(len(packed)), packed)
    return b"".join(parts)


class DecidedTemplate:
    """Makes Event bytes of ``ExchangeDecided`` for one batch at one time."""

    def __init__(self, common: pb.ExchangeDecided, time_ms: int) -> None:
        """Serialise what is common: everything but position, permitted and outcome."""
        before = pb.ExchangeDecided(batch_id=common.batch_id)
        after = pb.ExchangeDecided(trace_id=common.trace_id, span_id=common.span_id)
        middle = pb.ExchangeDecided()
        middle.CopyFrom(common)
        for name in ("batch_id", "position", "permitted", "outcome", "trace_id", "span_id"):
            middle.ClearField(name)
        self._before = before.SerializeToString()
        self._middle = middle.SerializeToString(deterministic=True)
        self._after = after.SerializeToString()
        self._time = pb.Event(time_ms=time_ms).SerializeToString()

    def event(self, digest: bytes, position: int, outcome: int, *, permitted: bool) -> bytes:
        """Return the event of one position, with the digest of its private part."""
        place = _POSITION + varint(position) if position else b""
        verdict = (_PERMITTED if permitted else b"") + _OUTCOME + varint(outcome)
        body = b"".join((self._before, place, self._middle, verdict, self._after))
        return b"".join((self._time, _DIGEST, digest, _DECIDED, varint(len(body)), body))


class DecidedLeaves:
    """Appends the leaves of one batch and keeps what the answer needs, in the order of positions."""

    def __init__(self, common: pb.ExchangeDecided, tx: Transaction, purpose: Purpose | None) -> None:
        """Begin a batch; ``purpose`` is None when it is unknown."""
        self._template = DecidedTemplate(common, tx.now_ms)
        self._party: Party = (common.sender, common.recipient)
        self._tx = tx
        self._purpose = purpose
        self._outcomes: dict[int, pb.Outcome.ValueType] = {}
        self._pool, self._used = b"", 0
        self.outcomes: list[pb.Outcome.ValueType] = []
        self.indices: list[int] = []

    def append(self, position: int, subject: bytes, row: SubjectRow, decision: Decision) -> int:
        """Append one decision about a subject, in its chain and state; return its log index."""
        tx = self._tx
        outcome = self._outcome(decision.reason)
        random = self._random()
        private = private_part(random[:32], subject, row, decision)
        digest = private_digest(private)
        event = self._template.event(digest, position, outcome, permitted=decision.permitted)
        committed = seal(event, private, random[32:])
        index = tx.append(committed)
        state = self._fold(row.state, index, decision)
        tx.link(subject, SubjectRow(row.seq + 1, chain_hash(committed.commitment), state), index)
        self.outcomes.append(outcome)
        self.indices.append(index)
        return index

    def _random(self) -> bytes:
        """Return a nonce and a salt; the source is asked for many at a time."""
        if self._used == len(self._pool):
            self._pool, self._used = self._tx.rng(_RANDOM * _POOL), 0
        self._used += _RANDOM
        return self._pool[self._used - _RANDOM : self._used]

    def _outcome(self, reason: int) -> pb.Outcome.ValueType:
        if reason not in self._outcomes:
            self._outcomes[reason] = outcome_of(reason, self._purpose)
        return self._outcomes[reason]

    def _fold(self, state: SubjectState, index: int, decision: Decision) -> SubjectState:
        return after_decision(
            state, index, self._tx.now_ms, self._party, reason=decision.reason, decided_by=decision.decided_by
        )
