"""What a leaf says, and what opens a commitment (ledger.md "Leaf"; proto/consent_ledger/v1/events.proto)."""

import hmac
from hashlib import sha256

from google.protobuf.message import DecodeError

from consent_ledger.log.errors import VerificationError
from consent_ledger.v1.events_pb2 import Event, Leaf, PublicEvent

SALT_BYTES = 32

# Tag and length of Leaf.commitment. Entries are permanent, so this one encoding is too.
COMMITMENT_HEAD = b"\x0a\x20"
COMMITMENT_BYTES = 34


def commitment_of(salt: bytes, event: bytes) -> bytes:
    """Return HMAC-SHA256(salt, "regie/event/v1" || event bytes), 32 bytes; raises VerificationError on a short salt."""
    if len(salt) != SALT_BYTES:
        raise VerificationError(f"expected a salt of {SALT_BYTES} bytes, got {len(salt)}")
    return hmac.digest(salt, b"regie/event/v1" + event, "sha256")


def private_digest_of(private: bytes) -> bytes:
    """Return SHA-256("regie/private/v1" || PrivatePart bytes), 32 bytes."""
    return sha256(b"regie/private/v1" + private).digest()


def commitment_entry(commitment: bytes) -> bytes:
    """Return the entry bytes of the leaf that holds this commitment."""
    return COMMITMENT_HEAD + commitment


def read_entry(entry: bytes) -> bytes | PublicEvent:
    """Return a leaf's commitment (32 bytes) or its public event; raises VerificationError on anything else."""
    if len(entry) == COMMITMENT_BYTES and entry.startswith(COMMITMENT_HEAD):
        return entry[2:]
    try:
        leaf = Leaf.FromString(entry)
    except DecodeError:
        raise VerificationError("expected a leaf, got other bytes") from None
    if leaf.WhichOneof("content") != "public":
        # A commitment in a second encoding would be a leaf that no receipt leads to.
        raise VerificationError("expected a leaf with a commitment of 32 bytes or a public event")
    if leaf.public.WhichOneof("body") is None:
        raise VerificationError("a public event of a kind that this version does not know")
    return leaf.public


def read_event(event: bytes) -> Event:
    """Return the event of a committed leaf; raises VerificationError when it is none or of an unknown kind."""
    try:
        message = Event.FromString(event)
    except DecodeError:
        raise VerificationError("expected an event, got other bytes") from None
    if message.WhichOneof("body") is None:
        raise VerificationError("an event of a kind that this version does not know")
    return message
