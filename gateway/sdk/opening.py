"""From a delivery to signals that are proven: nothing is taken from the gateway's word."""

from __future__ import annotations

from concurrent.futures import Executor

from consent_ledger.errors import RegieError
from consent_ledger.hashing import header_hash
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.proof import Receipt
from consent_ledger.registry import Registry
from consent_ledger.service.validation import parse
from consent_ledger.v1 import batch_pb2
from consent_ledger.verify.receipt import verify_receipt
from gateway.crypto import hpke
from gateway.crypto.recipient_side import (
    Delivery,
    Expected,
    Item,
    OpenedDelivery,
    OpenedSignal,
    RecipientKeys,
    verify_delivery,
)
from gateway.home import Organisation
from gateway.sdk.inbox import BatchRecord, SignalRecord
from gateway.sdk.severity import severity_of
from gateway.v1 import exchange_pb2, signals_pb2


def read_header(header: bytes) -> tuple[batch_pb2.BatchHeader, BatchRecord]:
    """Return a batch's header as read and as remembered; raises RegieError FIELD_INVALID."""
    read = parse(batch_pb2.BatchHeader, header, "header")
    return read, BatchRecord(header_hash(header), read.sender, read.batch_id, header, read.expires_ms)


def recipient_keys(organisation: Organisation) -> RecipientKeys:
    """Return the organisation's private HPKE key and closing scalar."""
    closing = int.from_bytes(organisation.key("closing"), "big")
    return RecipientKeys(hpke.PrivateKey.from_bytes(organisation.key("hpke")), closing)


def open_delivery(
    message: exchange_pb2.Delivery,
    batch: BatchRecord,
    *,
    nonce: bytes,
    keys: RecipientKeys,
    registry: Registry,
    recipient: str,
    log_verifier_key: str,
    now_ms: int,
    workers: Executor,
) -> list[SignalRecord]:
    """Verify one delivery and return its released signals with their receipts.

    Raises RegieError as ``verify_delivery``, and PROOF_INVALID when a receipt does not prove exactly this release.
    One bad signal refuses the delivery.
    """
    header = parse(batch_pb2.BatchHeader, batch.header, "header")
    ledger = registry.operator("ledger")
    expected = Expected(
        header_hash=batch.header_hash,
        nonce=nonce,
        recipient=recipient,
        ledger=ledger.oin,
        ledger_public=ledger.key("sign").public,
        sender_public=registry.participant(header.sender).key_by_id(header.sender_key_id).public,
        now_ms=now_ms,
    )
    opened = verify_delivery(_delivery(message), expected, keys, workers)
    signal_type = registry.purpose(header.purpose).signal_type
    return [
        _record(opened, signal, batch, signal_type=signal_type, log_verifier_key=log_verifier_key, now_ms=now_ms)
        for signal in opened.signals
    ]


def _delivery(message: exchange_pb2.Delivery) -> Delivery:
    return Delivery(
        header=message.header,
        sealed_recipient=message.sealed_recipient,
        sealed_viewer_hash=message.sealed_viewer_hash,
        signature_recipient=message.signature_recipient,
        root=message.root,
        release_sealed=message.release.sealed,
        release_statement=message.release.statement,
        release_signature=message.release.signature,
        items=[
            Item(item.position, item.commitment, item.ciphertext, item.path, item.evaluated) for item in message.items
        ],
    )


def _record(
    opened: OpenedDelivery,
    signal: OpenedSignal,
    batch: BatchRecord,
    *,
    signal_type: str,
    log_verifier_key: str,
    now_ms: int,
) -> SignalRecord:
    content = parse(signals_pb2.Signal, signal.payload, "payload")
    if (content.WhichOneof("body") or "").upper() != signal_type:
        raise RegieError("FIELD_INVALID", f"expected a signal of type {signal_type}, as the purpose says", "payload")
    return SignalRecord(
        header_hash=batch.header_hash,
        batch_id=batch.batch_id,
        position=signal.position,
        sender=opened.header.sender,
        signal_ref=signal.signal_ref,
        purpose=opened.header.purpose,
        stored_index=signal.index,
        signal=signal.payload,
        preferences=signal.release.preferences.SerializeToString(),
        explanation_nl=signal.release.explanation.nl,
        explanation_en=signal.release.explanation.en,
        receipt=receipt_of(opened, signal, log_verifier_key),
        received_ms=now_ms,
    )


def receipt_of(opened: OpenedDelivery, signal: OpenedSignal, log_verifier_key: str) -> str:
    """Return the .tlog-proof of a release once it proves that exactly this signal was released to us."""
    release, header = signal.release, opened.header
    path = tuple(release.path[at : at + 32] for at in range(0, len(release.path), 32))
    try:
        text = Receipt(release.salt + release.event, release.log_index, path, opened.checkpoint).format()
        event = verify_receipt(text, log_verifier_key).event.exchange_released
    except VerificationError as error:
        raise RegieError("PROOF_INVALID", f"receipt of position {signal.position}: {error}", "path") from None
    if event.severity != severity_of(signal.payload):
        # The ledger compared this band with the resident's threshold: a signal that says another was not permitted.
        raise RegieError("PROOF_INVALID", "expected a signal of the severity that its sender stated", "payload")
    proven = (event.batch_id, event.position, event.sender, event.recipient, event.purpose, event.purpose_version)
    here = (header.batch_id, signal.position, header.sender, header.recipient, header.purpose, header.purpose_version)
    if proven != here:
        raise RegieError("PROOF_INVALID", "expected a receipt for the release of this signal, got another's", "event")
    return text
