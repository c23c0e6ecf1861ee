"""From a delivery to signals that are proven: nothing is taken from the gateway's word."""

from __future__ import annotations

from concurrent.futures import Executor

from consent_ledger.errors import RegieError
from consent_ledger.hashing import header_hash
from consent_ledger.log.errors import VerificationError
from consent_ledger.registry import Registry
from consent_ledger.service.validation import parse
from consent_ledger.v1 import batch_pb2
from consent_ledger.verify.receipt import ReceiptsUnder
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
    receipts = Receipts(opened, log_verifier_key)
    check = _PayloadCheck(registry.purpose(header.purpose).signal_type)
    return [
        SignalRecord(
            batch.header_hash,
            batch.batch_id,
            signal.position,
            opened.header.sender,
            signal.signal_ref,
            opened.header.purpose,
            signal.index,
            signal.payload,
            signal.release.preferences.SerializeToString(),
            signal.release.explanation.nl,
            signal.release.explanation.en,
            receipts.of(signal, check.severity(signal.payload)),
            now_ms,
        )
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


class _PayloadCheck:
    """Checks the content of one batch's signals; a file says few different things, and each is checked once."""

    def __init__(self, signal_type: str) -> None:
        self._type = signal_type
        self._severities: dict[bytes, int] = {}

    def severity(self, payload: bytes) -> int:
        """Return the band of a signal once it is one of the purpose's type; raises RegieError FIELD_INVALID."""
        found = self._severities.get(payload)
        if found is None:
            content = parse(signals_pb2.Signal, payload, "payload")
            if (content.WhichOneof("body") or "").upper() != self._type:
                text = f"expected a signal of type {self._type}, as the purpose says"
                raise RegieError("FIELD_INVALID", text, "payload")
            found = self._severities[payload] = severity_of(payload)
        return found


class Receipts:
    """The .tlog-proof of each release of one delivery, once it proves that exactly this signal was released to us."""

    def __init__(self, opened: OpenedDelivery, log_verifier_key: str) -> None:
        """Check the checkpoint of a verified delivery; raises RegieError PROOF_INVALID."""
        header = opened.header
        self._batch = (header.batch_id, header.sender, header.recipient, header.purpose, header.purpose_version)
        try:
            self._under = ReceiptsUnder(opened.checkpoint, log_verifier_key)
        except VerificationError as error:
            raise RegieError("PROOF_INVALID", f"the checkpoint of the release: {error}", "checkpoint") from None

    def of(self, signal: OpenedSignal, severity: int) -> str:
        """Return the receipt of a signal that says it is of this severity; raises RegieError PROOF_INVALID."""
        release = signal.release
        try:
            text, read = self._under.receipt(release.log_index, release.path, release.salt, release.event)
        except VerificationError as error:
            raise RegieError("PROOF_INVALID", f"receipt of position {signal.position}: {error}", "path") from None
        event = read.exchange_released
        if event.severity != severity:
            # The ledger compared this band with the resident's threshold: one that says another was not permitted.
            raise RegieError("PROOF_INVALID", "expected a signal of the severity that its sender stated", "payload")
        proven = (event.batch_id, event.sender, event.recipient, event.purpose, event.purpose_version)
        if proven != self._batch or event.position != signal.position:
            text = "expected a receipt for the release of this signal, got another's"
            raise RegieError("PROOF_INVALID", text, "event")
        return text
