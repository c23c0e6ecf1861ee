"""Are all records there? The ledger's own count, made by another way than the records: SQL over its tables.

An event is ``time_ms`` (a number of 6 bytes from 1971 to 2109, behind its tag), ``private_digest`` (32 bytes behind tag
and length), and then the tag of what happened: bytes 42 and 43. So the database counts without opening anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify.leaves import COMMITMENT_BYTES, COMMITMENT_HEAD
from consent_ledger.verify.sources import Location, Source, open_source
from gateway.ldv.ledgerbook import KINDS
from gateway.ldv.state import Count

_TAG_AT, _TAG_BYTES = 42, 2


@dataclass(frozen=True, slots=True)
class Totals:
    """What the ledger holds in a range: entries by kind, and those erased, of whatever kind they were."""

    kinds: dict[str, int]
    gone: int

    @property
    def records(self) -> int:
        """How many entries that can be opened are records of processing."""
        return sum(self.kinds.values())


def account(location: Location, count: Count) -> tuple[Totals, int]:
    """Return the totals of the entries below the cursor, and how many records wait; raises as ``open_source``."""
    with open_source(location) as source:
        below = _totals(source, f"idx < {int(count.next)}")
        ahead = _totals(source, f"idx >= {int(count.next)}")
    no_records = sum(number for kind, number in count.remembered.items() if kind not in KINDS)
    return below, ahead.records + ahead.gone - no_records


def _totals(source: Source, where: str) -> Totals:
    tag = f"substr(event, {_TAG_AT}, {_TAG_BYTES})"
    rows = source.chunks(f"SELECT {tag}, count(*) FROM payload WHERE {where} GROUP BY {tag}")  # noqa: S608  (numbers)
    found = {bytes(value): int(count) for chunk in rows for value, count in chunk}
    head = source.blob(COMMITMENT_HEAD)
    gone = (
        f"SELECT count(*) FROM leaf WHERE {where} AND length(entry) = {COMMITMENT_BYTES}"  # noqa: S608  (numbers)
        f" AND substr(entry, 1, 2) = {head} AND NOT EXISTS (SELECT 1 FROM payload WHERE payload.idx = leaf.idx)"
    )
    ((count,),) = next(source.chunks(gone))
    return Totals({kind: found.get(_tag(kind), 0) for kind in KINDS}, int(count))


def _tag(kind: str) -> bytes:
    """Return the bytes that begin a field that holds a message, whose number takes two of them."""
    key = pb.Event.DESCRIPTOR.fields_by_name[kind].number << 3 | 2
    return bytes((key & 0x7F | 0x80, key >> 7))


def missing(count: Count, below: Totals) -> str | None:
    """Return what does not add up between what was exported and what the ledger holds below the cursor; None: it does.

    A record was made of each entry that can still be opened, and of each that was erased before it was exported. What
    was erased afterwards is exported and no longer there: that many may be fewer.
    """
    exported = count.exported + len(count.set_aside)
    if exported < below.records:
        return f"{below.records - exported} records are missing: {exported} exported or set aside of {below.records}"
    if exported > below.records + below.gone:
        return f"{exported} records were exported of at most {below.records + below.gone} entries"
    return None
