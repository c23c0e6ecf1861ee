"""Receipts: one person's event, its place in the log, and the log's signature, in one file that anybody can check.

A receipt is a ``c2sp.org/tlog-proof@v1`` file whose extra data is the salt (32 bytes) and the event's bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint
from consent_ledger.log.encoding import encode_base64
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.inclusion import HASH_BYTES, InclusionVerifier
from consent_ledger.log.keys import parse_verifiers
from consent_ledger.log.merkle import leaf_hash, verify_inclusion
from consent_ledger.log.proof import VERSION, Receipt
from consent_ledger.v1.events_pb2 import Event
from consent_ledger.verify.leaves import SALT_BYTES, commitment_entry, commitment_of, read_event

_OWN = 8 * HASH_BYTES  # of a path: 256 neighbours share what comes behind it


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


class ReceiptsUnder:
    """Receipts of many events under one checkpoint: its signature is checked once, and no node is hashed twice."""

    def __init__(self, note: str, log_vkey: str) -> None:
        """Open the checkpoint with the log's verifier keys; raises VerificationError."""
        checkpoint = open_checkpoint(note, parse_verifiers(log_vkey))
        self._note = note
        self._leaves = InclusionVerifier(checkpoint.size, checkpoint.root)
        self._written: dict[bytes, str] = {}

    def receipt(self, index: int, path: bytes, salt: bytes, event: bytes) -> tuple[str, Event]:
        """Return the receipt of a committed event, which ``verify_receipt`` accepts, and the event.

        ``path`` is 32 bytes a hash. Raises VerificationError unless the event stands at ``index``.
        """
        self._leaves.verify(index, leaf_hash(commitment_entry(commitment_of(salt, event))), path)
        read = read_event(event)
        extra = encode_base64(salt + event)
        return f"{VERSION}\nextra {extra}\nindex {index}\n{self._lines(path)}\n{self._note}", read

    def _lines(self, path: bytes) -> str:
        """Write a path, a hash a line; what neighbours share is written once."""
        pieces = [path[at : at + HASH_BYTES] for at in range(0, min(len(path), _OWN), HASH_BYTES)]
        return "".join([self._written.get(piece) or self._write(piece) for piece in (*pieces, path[_OWN:])])

    def _write(self, piece: bytes) -> str:
        lines = [encode_base64(piece[at : at + HASH_BYTES]) + "\n" for at in range(0, len(piece), HASH_BYTES)]
        return self._written.setdefault(piece, "".join(lines))
