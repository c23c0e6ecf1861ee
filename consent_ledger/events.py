"""Bytes of events: leaves, salted commitments, private digests, and the chain of each subject (ledger.md, "Leaf").

Entry bytes are permanent and mirrored. A committed event stands in its leaf only as an HMAC under a fresh salt; the
event itself, its salt and its private part are kept in an erasable row beside the log.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import NamedTuple

from google.protobuf.message import DecodeError

from consent_ledger.hashing import hmac_sha256
from consent_ledger.v1 import events_pb2 as pb

Rng = Callable[[int], bytes]
"""Returns that many random bytes (os.urandom)."""

EVENT_LABEL = b"regie/event/v1"
PRIVATE_LABEL = b"regie/private/v1"
SALT_SIZE = 32


class EventError(ValueError):
    """Bytes that are no event, or do not open their commitment."""


class Committed(NamedTuple):
    """One committed event: what goes into the log (``entry``) and what opens it."""

    entry: bytes
    salt: bytes
    event: bytes
    private: bytes

    @property
    def commitment(self) -> bytes:
        """The 32 bytes in the leaf."""
        return self.entry[2:]


def commitment(salt: bytes, event: bytes) -> bytes:
    """Return HMAC-SHA256(salt, "regie/event/v1" || event bytes), 32 bytes."""
    return hmac_sha256(salt, EVENT_LABEL + event)


def private_digest(private: bytes) -> bytes:
    """Return SHA-256("regie/private/v1" || PrivatePart bytes)."""
    return hashlib.sha256(PRIVATE_LABEL + private).digest()


def chain_hash(committed: bytes) -> bytes:
    """Return what the next event of the same subject carries as ``previous``: SHA-256 of this commitment."""
    return hashlib.sha256(committed).digest()


def committed_entry(committed: bytes) -> bytes:
    """Return the Leaf bytes that hold a commitment (field 1, 32 bytes; written by hand because it is the hot path)."""
    return b"\x0a\x20" + committed


def public_entry(event: pb.PublicEvent) -> bytes:
    """Return the Leaf bytes that hold a public event."""
    return pb.Leaf(public=event).SerializeToString(deterministic=True)


def seal(event: bytes, private: bytes, salt: bytes) -> Committed:
    """Commit to event bytes that carry the digest of ``private`` already."""
    return Committed(committed_entry(commitment(salt, event)), salt, event, private)


def make_committed(event: pb.Event, private: pb.PrivatePart, rng: Rng) -> Committed:
    """Complete an event and its private part with fresh randomness and commit to them; changes both messages."""
    private.nonce = rng(32)
    private_bytes = private.SerializeToString(deterministic=True)
    event.private_digest = private_digest(private_bytes)
    return seal(event.SerializeToString(deterministic=True), private_bytes, rng(SALT_SIZE))


def erased_indices(event: pb.EntryErased) -> tuple[int, ...]:
    """Return the indices of all entries that an announcement names, in its order."""
    return (event.index, *event.further)


def parse_leaf(entry: bytes) -> pb.Leaf:
    """Read Leaf bytes; raises EventError unless they hold a commitment of 32 bytes or a public event."""
    try:
        leaf = pb.Leaf.FromString(entry)
    except DecodeError:
        raise EventError("a log entry that is no Leaf message") from None
    kind = leaf.WhichOneof("content")
    if kind is None:
        raise EventError("a log entry without content")
    if kind == "commitment" and len(leaf.commitment) != 32:
        raise EventError(f"expected a commitment of 32 bytes, got {len(leaf.commitment)}")
    return leaf


def open_event(entry: bytes, salt: bytes, event: bytes) -> pb.Event:
    """Return the event behind a leaf; raises EventError when salt and event bytes do not open its commitment."""
    leaf = parse_leaf(entry)
    if leaf.WhichOneof("content") != "commitment":
        raise EventError("a public entry has nothing to open")
    if not hmac.compare_digest(leaf.commitment, commitment(salt, event)):
        raise EventError("salt and event do not open the commitment of this entry")
    return pb.Event.FromString(event)


def open_private(event: pb.Event, private: bytes) -> pb.PrivatePart:
    """Return the private part of an event; raises EventError when its digest differs."""
    if not hmac.compare_digest(event.private_digest, private_digest(private)):
        raise EventError("the private part does not have the digest that its event carries")
    return pb.PrivatePart.FromString(private)
