"""The leaves of a decided batch, written a thousand at a time.

The bytes are what protobuf would write (a test compares): fields that all signals share are serialised once, and the
few that differ are put between them by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256

from consent_ledger.decide import Decision, Judge, outcome_of
from consent_ledger.events import PRIVATE_LABEL, SALT_SIZE, Rng, commitment
from consent_ledger.purpose import Purpose
from consent_ledger.state import Party, after_decision
from consent_ledger.storage.rows import LeafRow, PayloadRow, SubjectRow
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
_SEVERITY = b"\x28"
_RANDOM = 32 + SALT_SIZE
_POOL = 256
_COMMITMENT = b"\x0a\x20"  # Leaf.commitment, 32 bytes (events.committed_entry)
_row = tuple.__new__  # named tuples without their constructor's price
_LEAF = b"\x00" + _COMMITMENT  # what a leaf hash begins with (RFC 6962 section 2.1)


def varint(value: int) -> bytes:
    """Return protobuf's encoding of a number >= 0."""
    if value < _MADE:
        return _VARINTS[value]
    if 0x4000 <= value < 0x200000:  # log indices: where most of them are
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    return _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_MADE = 1_024  # positions, sequence numbers, lengths and reasons
_VARINTS = [_varint(value) for value in range(_MADE)]
_PLACES = [b"", *(_POSITION + number for number in _VARINTS[1:])]  # position 0 is not written


def private_part(nonce: bytes, subject: bytes, row: SubjectRow, decision: Decision, severity: int = 0) -> bytes:
    """Return PrivatePart bytes of a decision, the next event in its subject's chain; nonce and subject are 32 bytes."""
    seq, previous = varint(row.seq + 1), row.last
    reason, decided_by = varint(decision.reason), decision.decided_by
    if decided_by:
        packed = varint(decided_by[0]) if len(decided_by) == 1 else b"".join(map(varint, decided_by))
        reason = b"".join((reason, _DECIDED_BY, varint(len(packed)), packed))
    if severity:
        reason += _SEVERITY + varint(severity)
    size = len(_SUBJECT) + 32 + len(_SEQ) + len(seq)
    if not previous:
        return b"".join((_NONCE, nonce, _LINK, varint(size), _SUBJECT, subject, _SEQ, seq, _REASON, reason))
    link = _LINK + varint(size + len(_PREVIOUS) + 32)
    return b"".join((_NONCE, nonce, link, _SUBJECT, subject, _SEQ, seq, _PREVIOUS, previous, _REASON, reason))


class DecidedTemplate:
    """Makes Event bytes of ``ExchangeDecided`` for one batch."""

    def __init__(self, common: pb.ExchangeDecided) -> None:
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
        self._frames: dict[tuple[int, int, bool], tuple[bytes, bytes]] = {}

    @staticmethod
    def lead(time_ms: int) -> bytes:
        """Return what every event of a time begins with."""
        return pb.Event(time_ms=time_ms).SerializeToString() + _DIGEST

    def event(self, lead: bytes, digest: bytes, position: int, outcome: int, *, permitted: bool) -> bytes:
        """Return the event of one position at the time of ``lead``, with the digest of its private part."""
        place = _PLACES[position] if position < _MADE else _POSITION + varint(position)
        shape = (len(place), outcome, permitted)
        opening, ending = self._frames.get(shape) or self._frame(*shape)
        return b"".join((lead, digest, opening, place, ending))

    def _frame(self, place: int, outcome: int, permitted: bool) -> tuple[bytes, bytes]:  # noqa: FBT001  (of a key)
        """Return what stands before a position that takes ``place`` bytes, and what stands behind it."""
        verdict = (_PERMITTED if permitted else b"") + _OUTCOME + varint(outcome)
        ending = self._middle + verdict + self._after
        size = len(self._before) + place + len(ending)
        frame = (_DECIDED + varint(size) + self._before, ending)
        self._frames[place, outcome, permitted] = frame
        return frame


class DecidedLeaves:
    """Decides the signals of one batch, appends their leaves, and keeps what the answer needs, in their order."""

    def __init__(
        self, template: DecidedTemplate, party: Party, tx: Transaction, purpose: Purpose | None, count: int
    ) -> None:
        """Begin a batch of so many signals; ``purpose`` is None when it is unknown."""
        self._template = template
        self._lead = template.lead(tx.now_ms)
        self._party = party
        self._tx = tx
        self._purpose = purpose
        self._randoms = randoms(tx.rng, min(_POOL, count))
        self._outcomes: dict[int, pb.Outcome.ValueType] = {}
        self.reasons: list[int] = []
        self.outcomes: list[pb.Outcome.ValueType] = []
        self.permitted: list[tuple[int, int, bytes]] = []  # position, log index, subject

    def extend(self, judge: Judge, signals: Iterable[tuple[int, bytes, int]]) -> range:
        """Judge each signal (position, subject, severity), append its leaf and go on its chain; return the indices."""
        tx, party, now_ms = self._tx, self._party, self._tx.now_ms
        first = tx.next_index
        for index, (position, subject, severity) in enumerate(signals, first):
            row = tx.subject(subject)
            decision = judge(row.state, None, severity)
            committed = self._append(index, position, subject, row, decision, severity)
            reason, decided_by, _ = decision
            state = after_decision(
                row.state, index, now_ms, party, reason=reason, decided_by=decided_by, severity=severity
            )
            tx.link(subject, row, sha256(committed).digest(), state, index)
            if reason == pb.REASON_ALLOWED:
                self.permitted.append((position, index, subject))
        return range(first, tx.next_index)

    def _append(  # noqa: PLR0917  (one row of a thousand: no object for it)
        self, index: int, position: int, subject: bytes, row: SubjectRow, decision: Decision, severity: int
    ) -> bytes:
        """Append one leaf and return its commitment: the same steps as events.make_committed, on bytes."""
        reason = decision.reason
        outcome = self._outcomes.get(reason) or self._outcome(reason)
        nonce, salt = next(self._randoms)
        private = private_part(nonce, subject, row, decision, severity)
        digest = sha256(PRIVATE_LABEL + private).digest()
        event = self._template.event(self._lead, digest, position, outcome, permitted=reason == pb.REASON_ALLOWED)
        committed = commitment(salt, event)
        leaf = _row(LeafRow, (index, _COMMITMENT + committed, sha256(_LEAF + committed).digest()))
        self._tx.append_leaf(leaf, _row(PayloadRow, (index, salt, event, private)))
        self.reasons.append(reason)
        self.outcomes.append(outcome)
        return committed

    def _outcome(self, reason: int) -> pb.Outcome.ValueType:
        self._outcomes[reason] = outcome_of(reason, self._purpose)
        return self._outcomes[reason]


def randoms(rng: Rng, many: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield a nonce and a salt for each leaf; the source is asked for so many at a time."""
    while True:
        pool = rng(_RANDOM * many)
        for at in range(0, len(pool), _RANDOM):
            yield pool[at : at + 32], pool[at + 32 : at + _RANDOM]
