"""Receipts: one person's event, its place in the log, and the log's signature, in one file that anybody can check.

A receipt is a ``c2sp.org/tlog-proof@v1`` file whose extra data is the salt (32 bytes) and the event's bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.keys import parse_verifiers
from consent_ledger.log.merkle import leaf_hash, verify_inclusion
from consent_ledger.log.proof import Receipt
from consent_ledger.v1.events_pb2 import Event
from consent_ledger.verify.leaves import SALT_BYTES, commitment_entry, commitment_of, read_event


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """An event that stands at ``index`` in the log ``origin``, in its signed tree of ``size`` leaves."""

    event: Event
    index: int
    size: int
    origin: str
    leaf_hash: bytes


def verify_receipt(text: str, log_vkey: str) -> VerifiedReceipt:
    """Check a receipt, offline, against the log's verifier keys (``parse_verifiers``); raises VerificationError.

    Follows c2sp.org/tlog-proof "Verifying a tlog proof": the extra data is not authenticated, so the leaf is derived
    from it first and everything else binds that leaf to the signed root.
    """
    receipt = Receipt.parse(text)
    salt, event = receipt.extra[:SALT_BYTES], receipt.extra[SALT_BYTES:]
    if not event:
        raise VerificationError(f"expected a salt of {SALT_BYTES} bytes and an event, got {len(receipt.extra)} bytes")
    checkpoint = open_checkpoint(receipt.checkpoint_note, parse_verifiers(log_vkey))
    return verify_event(checkpoint, receipt.index, receipt.path, salt, event)


def verify_event(
    checkpoint: Checkpoint, index: int, path: Sequence[bytes], salt: bytes, event: bytes
) -> VerifiedReceipt:
    """Check that a committed event stands at ``index`` under a checkpoint that ``open_checkpoint`` returned.

    For many events under one checkpoint, whose signature is then checked once. Raises VerificationError.
    """
    leaf = leaf_hash(commitment_entry(commitment_of(salt, event)))
    verify_inclusion(index, checkpoint.size, leaf, checkpoint.root, path)
    return VerifiedReceipt(read_event(event), index, checkpoint.size, checkpoint.origin, leaf)
