"""Row messages between protobuf and the values that the cryptography takes."""

from __future__ import annotations

from consent_ledger.errors import RegieError
from consent_ledger.hashing import length_prefixed, sha256
from gateway.crypto import rows
from gateway.v1 import evaluator_pb2 as pb


def from_evaluation(message: pb.Evaluation) -> rows.Evaluation:
    """Read an evaluation."""
    key = rows.DomainKey(message.key.domain, message.key.public_key, message.key.signature)
    return rows.Evaluation(message.elements, message.proof, key)


def to_evaluation(evaluation: rows.Evaluation) -> pb.Evaluation:
    """Write an evaluation."""
    key = pb.DomainKey(
        domain=evaluation.key.domain, public_key=evaluation.key.public_key, signature=evaluation.key.signature
    )
    return pb.Evaluation(elements=evaluation.elements, proof=evaluation.proof, key=key)


def row_count(blinded: bytes) -> int:
    """Return the number of elements of a list; raises RegieError FIELD_INVALID when it is not whole."""
    if not blinded or len(blinded) % 32:
        raise RegieError("FIELD_INVALID", "expected whole elements of 32 bytes", "blinded")
    return len(blinded) // 32


def rows_hash(request: pb.EvaluateRowsRequest) -> bytes:
    """Return the hash under which a row request is remembered; the first evaluation's proof is random, so not in it."""
    return sha256(length_prefixed(request.request, request.blinded, request.signature))


def signals_hash(request: pb.EvaluateSignalsRequest) -> bytes:
    """Return the hash under which T2 remembers a batch."""
    return sha256(
        length_prefixed(
            request.header,
            request.sealed_pseudonyms,
            request.signature,
            request.ledger_elements,
            request.recipient_elements,
        )
    )
