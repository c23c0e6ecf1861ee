"""Rows of a log as a store takes them."""

from consent_ledger.log.merkle import leaf_hash
from consent_ledger.storage.rows import LeafRow, PayloadRow, Writes


def leaf_writes(first: int, count: int = 2) -> Writes:
    """So many leaves from an index on, each with what opens it."""
    made = Writes()
    for index in range(first, first + count):
        entry = b"\x0a\x20" + index.to_bytes(32, "big")
        made.leaves.append(LeafRow(index, entry, leaf_hash(entry)))
        made.payloads.append(PayloadRow(index, b"s" * 32, b"event", b"private"))
    return made
