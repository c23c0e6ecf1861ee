"""The ledger's signed receipts: what counts as recorded or erased, and what is a proof of one entry."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from google.protobuf.message import DecodeError

from consent_ledger.errors import RegieError
from consent_ledger.events import EventError, open_private
from consent_ledger.log.checkpoint import open_checkpoint
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.keys import AnyVerifier
from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2
from consent_ledger.verify.receipt import verify_receipt
from gateway.crypto import signatures

LABEL_RECORD = b"regie/s/record/v1"
LABEL_ERASE = b"regie/s/erase/v1"


def read_recorded(
    answer: consents_pb2.RecordResponse,
    request: consents_pb2.RecordRequest,
    registry: Registry,
    verifiers: Sequence[AnyVerifier],
) -> consents_pb2.RecordReceipt:
    """Return a receipt once the ledger signed it, for exactly this request; raises SIGNATURE_INVALID, PROOF_INVALID."""
    ledger = registry.operator("ledger").key("sign").public
    signatures.verify(ledger, LABEL_RECORD, answer.signature, sha256(answer.receipt).digest())
    receipt = consents_pb2.RecordReceipt()
    try:
        receipt.ParseFromString(answer.receipt)
        size = open_checkpoint(receipt.checkpoint, verifiers).size
    except (DecodeError, VerificationError) as error:
        raise RegieError("PROOF_INVALID", f"the ledger's receipt: {error}", "receipt") from None
    if receipt.request_hash != sha256(b"regie/record/v1" + request.SerializeToString()).digest():
        raise RegieError("PROOF_INVALID", "expected a receipt for this request, got one for another", "receipt")
    if [result.change_id for result in receipt.results] != [change.change_id for change in request.changes]:
        raise RegieError("PROOF_INVALID", "expected a result for every change, in order", "receipt")
    if any(result.log_index >= size for result in receipt.results if result.HasField("log_index")):
        raise RegieError("PROOF_INVALID", "expected choices that are in the signed log", "receipt")
    return receipt


def read_erased(
    answer: consents_pb2.EraseResponse,
    request: consents_pb2.EraseRequest,
    registry: Registry,
    verifiers: Sequence[AnyVerifier],
) -> consents_pb2.EraseReceipt:
    """Return a receipt once the ledger signed it, for exactly this request; raises SIGNATURE_INVALID, PROOF_INVALID."""
    ledger = registry.operator("ledger").key("sign").public
    signatures.verify(ledger, LABEL_ERASE, answer.signature, sha256(answer.receipt).digest())
    try:
        receipt = consents_pb2.EraseReceipt.FromString(answer.receipt)
        size = open_checkpoint(receipt.checkpoint, verifiers).size
    except (DecodeError, VerificationError) as error:
        raise RegieError("PROOF_INVALID", f"the ledger's receipt: {error}", "receipt") from None
    if receipt.request_hash != sha256(b"regie/erase/v1" + request.SerializeToString()).digest():
        raise RegieError("PROOF_INVALID", "expected a receipt for this request, got one for another", "receipt")
    if any(index >= size for index in receipt.erased.log_indices):
        raise RegieError("PROOF_INVALID", "expected what says so to be in the signed log", "receipt")
    return receipt


def check_proof(answer: consents_pb2.GetProofResponse, log_index: int, verifier_keys: str) -> None:
    """Check that a proof is of this entry, under the log's keys, with its private part; raises PROOF_INVALID."""
    try:
        verified = verify_receipt(answer.proof, verifier_keys)
        open_private(verified.event, answer.private_part)
    except (VerificationError, EventError) as error:
        raise RegieError("PROOF_INVALID", f"the ledger's proof: {error}", "proof") from None
    if verified.index != log_index:
        raise RegieError("PROOF_INVALID", f"expected entry {log_index}, got entry {verified.index}", "proof")
