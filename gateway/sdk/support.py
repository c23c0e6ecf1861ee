"""A recipient says through which channels it can approach residents (R34)."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from consent_ledger.errors import RegieError
from consent_ledger.v1 import decisions_pb2, events_pb2
from gateway.crypto import signatures
from gateway.sdk.agency import Agency
from gateway.sdk.choices import channel_list
from gateway.sdk.describe import CHANNELS
from gateway.sdk.evaluation import PATIENCE_SECONDS
from gateway.sdk.remote import patiently
from gateway.v1 import exchange_pb2

LABEL_SUPPORT = b"regie/s/support/v1"
_NAMES = {number: name for name, number in CHANNELS.items()}


def supported(channels: Sequence[int]) -> list[str]:
    """Return the names of declared channels; who declared nothing is taken to have them all."""
    return [_NAMES[events_pb2.Channel.ValueType(channel)] for channel in channels] or list(CHANNELS)


async def declare(agency: Agency, names: Sequence[str]) -> int:
    """Declare channels by their names, signed, for all to see; returns the log index of what says so.

    From then on, who accepts none of them is not reported to this organisation (RECEIVER_CANNOT_HONOUR). Raises
    RegieError FIELD_INVALID for other names or none, PEER_KIND_NOT_SERVED for who is no recipient.
    """
    channels = channel_list(names, "channels")
    if not channels:
        raise RegieError("FIELD_INVALID", f"name at least one of {', '.join(CHANNELS)}", "channels")
    declaration = events_pb2.SupportDeclaration(
        oin=agency.oin, channels=sorted(set(channels)), time_ms=agency.clock()
    ).SerializeToString(deterministic=True)
    key = signatures.signing_key(agency.organisation.key("sign"))
    request = decisions_pb2.DeclareSupportRequest(
        declaration=declaration,
        key_id=(await agency.me()).key("sign").key_id,
        signature=signatures.sign(key, LABEL_SUPPORT, sha256(declaration).digest()),
    )
    message = exchange_pb2.DeclareSupportRequest(declare=request)
    answer = await patiently(lambda: agency.remote.declare_support(message), PATIENCE_SECONDS, agency.pause)
    return int(answer.log_index)
