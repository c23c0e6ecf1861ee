"""Every exchange as the log tells it: who asked what, what was permitted, and what became of each permit."""

from __future__ import annotations

import struct
from typing import NamedTuple

from consent_ledger.decide import ExchangeRequest
from consent_ledger.v1 import events_pb2 as pb

BatchKey = tuple[str, bytes]
"""(sender OIN, batch id): a batch's name; never the id alone (pseudonyms.md, rule 1)."""

DECISION = struct.Struct(">QB")
"""Log index and outcome."""


class Asked(NamedTuple):
    """What all decisions of a batch have in common."""

    request: ExchangeRequest
    root: bytes


class Batch:
    """A batch as its decisions tell it; ``decisions`` holds a DECISION for each, in the order of the log."""

    __slots__ = ("asked", "decisions")

    def __init__(self, asked: Asked) -> None:
        """Begin with no decision."""
        self.asked = asked
        self.decisions = bytearray()

    def listed(self) -> list[tuple[int, int]]:
        """Return (log index, outcome) of every decision."""
        return [(index, outcome) for index, outcome in DECISION.iter_unpack(bytes(self.decisions))]


class Permit:
    """A permitted signal and the log indices of what became of it; -1: that did not happen."""

    __slots__ = (
        "acknowledged",
        "asked",
        "batch_id",
        "decided",
        "outcome",
        "position",
        "released",
        "subject",
        "withheld",
    )

    def __init__(self, decided: int, asked: Asked, batch_id: bytes, position: int, subject: bytes) -> None:
        """Begin with the decision."""
        self.decided = decided
        self.asked = asked
        self.batch_id = batch_id
        self.position = position
        self.subject = subject
        self.released = self.withheld = self.acknowledged = -1
        self.outcome = -1  # the newest report


class Exchanges:
    """All exchanges while the log is read in order."""

    def __init__(self) -> None:
        """Begin with none."""
        self.batches: dict[BatchKey, Batch] = {}
        self.permits: dict[int, Permit] = {}  # by the index of their decision
        self.releases: dict[int, Permit] = {}  # by the index of their release

    def decided(self, index: int, body: pb.ExchangeDecided, subject: bytes) -> Asked:
        """Add a decision about a subject and return what it was asked."""
        key = (body.sender, body.batch_id)
        batch = self.batches.get(key)
        asked = asked_of(body)
        if batch is None:
            batch = self.batches[key] = Batch(asked)
        elif batch.asked == asked:
            asked = batch.asked  # one object for all of them
        batch.decisions += DECISION.pack(index, body.outcome & 0xFF)
        if body.permitted:
            self.permits[index] = Permit(index, asked, body.batch_id, body.position, subject)
        return asked

    def followed(self, index: int, event: pb.Event) -> str | None:
        """Add what became of a permit, unless it cannot have; then return why (None: all is well)."""
        match event.WhichOneof("body"):
            case "exchange_released":
                return self._released(index, event.exchange_released)
            case "exchange_withheld":
                return self._withheld(index, event.exchange_withheld)
            case "exchange_acknowledged":
                return self._acknowledged(index, event.exchange_acknowledged)
            case _:
                return self._reported(index, event.outcome_reported)

    def _released(self, index: int, body: pb.ExchangeReleased) -> str | None:
        permit = self.permits.get(body.decided_index)
        if permit is None:
            return "releases what was not permitted"
        if permit.released >= 0 or permit.withheld >= 0:
            return f"releases what leaf {max(permit.released, permit.withheld)} released or withheld already"
        permit.released = index
        self.releases[index] = permit
        return differing(permit, body)

    def _withheld(self, index: int, body: pb.ExchangeWithheld) -> str | None:
        permit = self.permits.get(body.decided_index)
        if permit is None:
            return "withholds what was not permitted"
        if permit.withheld >= 0:
            return f"withholds what leaf {permit.withheld} withheld already"
        permit.withheld = index
        return differing(permit, body)

    def _acknowledged(self, index: int, body: pb.ExchangeAcknowledged) -> str | None:
        permit = self.releases.get(body.released_index)
        if permit is None:
            return "acknowledges what was not released"
        if permit.acknowledged >= 0:
            return f"acknowledges what leaf {permit.acknowledged} acknowledged already"
        permit.acknowledged = index
        return differing_place(permit, body)

    def _reported(self, index: int, body: pb.OutcomeReported) -> str | None:
        permit = self.releases.get(body.released_index)
        if permit is None:
            return "reports on what was not released"
        permit.outcome = index
        return differing_place(permit, body)


def asked_of(body: pb.ExchangeDecided) -> Asked:
    """Return what a decision was asked."""
    request = ExchangeRequest(
        sender=body.sender,
        recipient=body.recipient,
        purpose=body.purpose,
        purpose_version=body.purpose_version,
        items=tuple(body.items),
        basis=body.basis,
    )
    return Asked(request, body.root)


def differing(permit: Permit, body: pb.ExchangeReleased | pb.ExchangeWithheld) -> str | None:
    """Return in what a release or stop differs from the decision it names, or None."""
    asked = permit.asked.request
    before = (permit.batch_id, permit.position, asked.sender, asked.recipient, asked.purpose, asked.purpose_version)
    after = (body.batch_id, body.position, body.sender, body.recipient, body.purpose, body.purpose_version)
    return None if before == after else f"differs from the decision it names, leaf {permit.decided}"


def differing_place(permit: Permit, body: pb.ExchangeAcknowledged | pb.OutcomeReported) -> str | None:
    """Return in what an acknowledgement or report differs from the release it names, or None."""
    before = (permit.batch_id, permit.position, permit.asked.request.recipient)
    same = before == (body.batch_id, body.position, body.recipient)
    return None if same else f"differs from the release it names, leaf {permit.released}"
