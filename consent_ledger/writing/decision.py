"""Deciding a batch: one leaf per signal, permitted or not (I1, I2, I3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from consent_ledger.decide import ExchangeRequest
from consent_ledger.errors import RegieError
from consent_ledger.storage.rows import BatchRow, PermitRow
from consent_ledger.v1 import batch_pb2, decisions_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.leaves import DecidedLeaves, DecidedTemplate
from consent_ledger.writing.transaction import Transaction, Wanted
from consent_ledger.writing.work import Sealed, Sign

CLOCK_SKEW_MS = 120_000
"""How far the clock of another organisation may be ahead of ours."""
LONGEST_LIFE_MS = 72 * 3_600_000


def check_fresh(header: batch_pb2.BatchHeader, now_ms: int) -> None:
    """Raise RegieError NOT_FRESH for a batch from the future, expired, or alive for more than 72 hours."""
    if header.created_ms > now_ms + CLOCK_SKEW_MS:
        raise RegieError("NOT_FRESH", "the batch was created in the future", field="header.created_ms")
    if header.expires_ms <= now_ms:
        raise RegieError("NOT_FRESH", "the batch has expired", field="header.expires_ms")
    if not 0 < header.expires_ms - header.created_ms <= LONGEST_LIFE_MS:
        raise RegieError("NOT_FRESH", "a batch lives at most 72 hours", field="header.expires_ms")


def request_of(header: batch_pb2.BatchHeader) -> ExchangeRequest:
    """Return what every signal of a batch asks."""
    return ExchangeRequest(
        sender=header.sender,
        recipient=header.recipient,
        purpose=header.purpose,
        purpose_version=header.purpose_version,
        items=tuple(header.items),
        basis=header.basis,
    )


@dataclass(frozen=True, slots=True)
class DecideWork:
    """A batch whose signature was checked and whose sealed part is open; positions increase, one subject each."""

    header: batch_pb2.BatchHeader
    header_bytes: bytes
    header_hash: bytes
    request_hash: bytes
    root: bytes
    positions: tuple[int, ...]
    subjects: tuple[bytes, ...]
    opening: Callable[[int], bytes]
    sign: Sign
    trace_id: bytes = b""
    span_id: bytes = b""
    severities: tuple[int, ...] = ()  # in the order of positions; none: the sender states none
    # Made by whoever prepares the request, so that the one thread that writes does not have to.
    request: ExchangeRequest = field(init=False)
    template: DecidedTemplate = field(init=False, repr=False)
    row: BatchRow = field(init=False, repr=False)
    reasons: Counter[int] = field(default_factory=Counter, init=False, repr=False, compare=False)
    """How often each reason held; filled by ``apply``, and by a repeat not at all."""

    def __post_init__(self) -> None:
        """Make what needs no transaction."""
        object.__setattr__(self, "request", request_of(self.header))
        object.__setattr__(self, "template", DecidedTemplate(self._event()))
        object.__setattr__(self, "row", self._row())

    @property
    def weight(self) -> int:
        """One leaf per signal."""
        return len(self.positions)

    def wants(self, wanted: Wanted) -> None:
        """Its batch, and everybody it is about."""
        wanted.batches.add((self.header.sender, self.header.batch_id))
        wanted.subjects.update(self.subjects)

    def apply(self, tx: Transaction) -> Callable[[Sealed], decisions_pb2.DecideResponse]:
        """Decide and append; the same bytes again get the same answer. Raises NOT_FRESH or BATCH_ID_REUSED."""
        check_fresh(self.header, tx.now_ms)
        before = tx.batch_by_id(self.header.sender, self.header.batch_id)
        if before is None:
            outcomes, indices = self._decide(tx)
            tx.writes.batches[self.header_hash] = self.row
            return lambda sealed: self._answer(sealed, outcomes, indices)
        if before.request_hash != self.request_hash:
            raise RegieError("BATCH_ID_REUSED", "the sender used this id for other bytes", field="header.batch_id")
        return lambda sealed: decisions_pb2.DecideResponse.FromString(sealed.batch(self.header_hash).response)

    def _decide(self, tx: Transaction) -> tuple[list[pb.Outcome.ValueType], range]:
        judge = tx.judge(self.request)
        tx.subjects(self.subjects)
        purpose = tx.registry.find_purpose(self.request.purpose)
        party = (self.request.sender, self.request.recipient)
        leaves = DecidedLeaves(self.template, party, tx, purpose, len(self.positions))
        severities = self.severities or (0,) * len(self.positions)
        indices = leaves.extend(judge, zip(self.positions, self.subjects, severities, strict=True))
        header_hash, opening = self.header_hash, self.opening
        for position, index, subject in leaves.permitted:
            tx.put_permit(PermitRow(header_hash, position, index, opening(position), subject))
        self.reasons.clear()  # of a group that was tried before
        self.reasons.update(leaves.reasons)
        return leaves.outcomes, indices

    def _event(self) -> pb.ExchangeDecided:
        """Return what the events of all positions have in common."""
        header = self.header
        return pb.ExchangeDecided(
            batch_id=header.batch_id,
            sender=header.sender,
            recipient=header.recipient,
            purpose=header.purpose,
            purpose_version=header.purpose_version,
            items=header.items,
            basis=header.basis,
            root=self.root,
            trace_id=self.trace_id,
            span_id=self.span_id,
        )

    def _row(self) -> BatchRow:
        header = self.header
        return BatchRow(
            header_hash=self.header_hash,
            sender=header.sender,
            batch_id=header.batch_id,
            recipient=header.recipient,
            purpose=header.purpose,
            request_hash=self.request_hash,
            header=self.header_bytes,
            root=self.root,
            response=b"",
            expires_ms=header.expires_ms,
        )

    def _answer(
        self, sealed: Sealed, outcomes: list[pb.Outcome.ValueType], indices: range
    ) -> decisions_pb2.DecideResponse:
        listed = decisions_pb2.DecisionList(
            header_hash=self.header_hash,
            request_hash=self.request_hash,
            root=self.root,
            outcomes=outcomes,
            log_indices=indices,
            checkpoint=sealed.checkpoint,
        ).SerializeToString(deterministic=True)
        response = decisions_pb2.DecideResponse(decision_list=listed, signature=self.sign(listed))
        sealed.keep(self.row._replace(response=response.SerializeToString(deterministic=True)))
        return response
