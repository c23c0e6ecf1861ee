"""Announcing erased entries in the log (EntryErased), so that the log says of whom by nothing.

Entries are public by their index. Gateway and recipients know which index was whose signal, so entries of one person
announced together would tell them which other entries are of that person, refused ones too (R10), and from when. So
announcements wait until those of enough people can be appended together, in the order of the log; at most for some
days, since until then only the database says that a missing payload was erased and not lost (docs/adr/0007).
"""

from __future__ import annotations

from dataclasses import dataclass

from consent_ledger.clock import DAY_MS
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.transaction import Transaction

_TOGETHER = 1_000  # entries in one leaf: whoever reads the directory reads all public events


@dataclass(frozen=True, slots=True)
class Announcing:
    """How many people's erasures are announced together, and after how long (ms) in any case."""

    people: int = 10
    longest_ms: int = 7 * DAY_MS


def announce(tx: Transaction, when: Announcing) -> int:
    """Append what is due; return how many entries were announced. The two grounds are public, so each is a crowd."""
    waiting = tx.unannounced()
    due = set()
    for ground in {row.ground for row in waiting}:
        rows = [row for row in waiting if row.ground == ground]
        oldest_ms = min(row.erased_ms for row in rows)
        if sum(row.first for row in rows) >= when.people or tx.now_ms >= oldest_ms + when.longest_ms:
            due.add(ground)
    for ground in sorted(due):
        indices = [row.idx for row in waiting if row.ground == ground]
        for at in range(0, len(indices), _TOGETHER):
            first, *further = indices[at : at + _TOGETHER]
            tx.publish(pb.PublicEvent(entry_erased=pb.EntryErased(index=first, ground=ground, further=further)))
        tx.writes.erasures.announced.update(indices)
    return len(tx.writes.erasures.announced)
