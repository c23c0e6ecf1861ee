"""A log for the console's follower, without a ledger: signed checkpoints over entries that a test makes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256

from consent_ledger.events import make_committed, public_entry
from consent_ledger.log.checkpoint import Checkpoint, sign_checkpoint
from consent_ledger.log.merkle import leaf_hash, root_of
from consent_ledger.log.note import Signer
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.v1 import log_pb2
from tests.support.ledger import ARREARS, CITY, SUPPLIER

DAY = 20_000 * 86_400_000
SIGNER = Signer("log.example/audit", b"\x07" * 32)


class FakeLog:
    """A log in memory; ``follow.Source``. Entries may be changed behind the follower's back."""

    def __init__(self) -> None:
        self.entries_: list[bytes] = []
        self.opened: dict[int, log_pb2.OpenedEvent] = {}
        self.size: int | None = None  # what the checkpoint says; None: all
        self.now_ms = DAY + 9 * 3_600_000
        self.asked = 0

    # What happens in it.

    def add(self, event: pb.Event, subjects: Sequence[bytes] = (), seq: int = 1, **private) -> int:
        self.now_ms += 1_000
        event.time_ms = self.now_ms
        links = [pb.SubjectLink(subject=subject, subject_seq=seq) for subject in subjects]
        made = make_committed(event, pb.PrivatePart(links=links, **private), os.urandom)
        index = len(self.entries_)
        self.entries_.append(made.entry)
        self.opened[index] = log_pb2.OpenedEvent(salt=made.salt, event=made.event, private_part=made.private)
        return index

    def publish(self, **body) -> int:
        self.now_ms += 1_000
        self.entries_.append(public_entry(pb.PublicEvent(time_ms=self.now_ms, sequence=1, **body)))
        return len(self.entries_) - 1

    def decide(self, person: int, reason: int = pb.REASON_ALLOWED, seq: int = 1, sender: str = SUPPLIER) -> int:
        body = pb.ExchangeDecided(
            sender=sender,
            recipient=CITY,
            purpose=ARREARS,
            purpose_version=1,
            items=["betalingsachterstand"],
            permitted=reason == pb.REASON_ALLOWED,
            trace_id=os.urandom(16),
        )
        return self.add(pb.Event(exchange_decided=body), [subject(person)], seq, reason=reason)

    def release(self, decided: int, person: int, seq: int = 2) -> int:
        body = pb.ExchangeReleased(sender=SUPPLIER, recipient=CITY, purpose=ARREARS, decided_index=decided)
        return self.add(pb.Event(exchange_released=body), [subject(person)], seq, reason=pb.REASON_ALLOWED)

    def erase(self, *indices: int, ground: str = "retention") -> int:
        for index in indices:
            del self.opened[index]
        return self.publish(entry_erased=pb.EntryErased(index=indices[0], further=indices[1:], ground=ground))

    # What the follower asks.

    async def checkpoint(self) -> str:
        size = len(self.entries_) if self.size is None else self.size
        root = root_of([leaf_hash(entry) for entry in self.entries_[:size]])
        return sign_checkpoint(Checkpoint(SIGNER.name, size, root), [SIGNER])

    async def entries(self, start: int, count: int) -> Sequence[bytes]:
        self.asked += 1
        return self.entries_[start : start + count]

    async def openings(self, indices: Sequence[int]) -> Sequence[log_pb2.ProvenEntry]:
        return [log_pb2.ProvenEntry(index=index, opened=self.opened.get(index)) for index in indices]

    async def consistency(self, old_size: int, new_size: int) -> Sequence[bytes]:
        return consistency([leaf_hash(entry) for entry in self.entries_[:new_size]], old_size)


def consistency(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """RFC 6962 section 2.1.2, as it is written there."""

    def subproof(size: int, part: Sequence[bytes], *, whole: bool) -> list[bytes]:
        if size == len(part):
            return [] if whole else [root_of(part)]
        split = 1 << ((len(part) - 1).bit_length() - 1)
        if size <= split:
            return [*subproof(size, part[:split], whole=whole), root_of(part[split:])]
        return [*subproof(size - split, part[split:], whole=False), root_of(part[:split])]

    return subproof(old, leaves, whole=True) if 0 < old < len(leaves) else []


def subject(person: int) -> bytes:
    return sha256(b"subject" + person.to_bytes(4, "big")).digest()
