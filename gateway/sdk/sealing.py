"""One batch: its header, its sealed bytes, and the ledger's answer to it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Literal

from google.protobuf.message import DecodeError

from consent_ledger.errors import RegieError
from consent_ledger.hashing import header_hash
from consent_ledger.log.checkpoint import open_checkpoint
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.note import NoteVerifier
from consent_ledger.purpose import Purpose
from consent_ledger.registry import Key, Participant, Registry
from consent_ledger.v1 import batch_pb2, decisions_pb2, events_pb2
from gateway.crypto import SUITE, signatures
from gateway.crypto.batch import SealedBatch, SenderKeys, SignalInput, seal_batch
from gateway.crypto.group import Rng
from gateway.home import Organisation
from gateway.sdk.outbox import Answer, OpenBatch
from gateway.v1 import exchange_pb2

LIFETIME_MS = 24 * 3_600_000
EPOCH = 1
LABEL_DECISION = b"regie/s/decision/v1"

Basis = Literal["observed", "inferred"]
BASES: dict[str, batch_pb2.Basis.ValueType] = {
    "observed": batch_pb2.BASIS_OBSERVED,
    "inferred": batch_pb2.BASIS_INFERRED,
}


@dataclass(frozen=True, slots=True)
class Letter:
    """What all batches of one send have in common: who, for what, on which basis, with which keys."""

    sender: Participant
    recipient: Participant
    operators: dict[str, Participant]
    purpose: Purpose
    items: tuple[str, ...]
    basis: Basis
    keys: SenderKeys

    def header(self, batch_id: bytes, count: int, now_ms: int) -> bytes:
        """Return BatchHeader bytes for a batch made now; it lives a day, well within the 72 hours allowed."""
        operators = self.operators
        return batch_pb2.BatchHeader(
            version=1,
            suite=SUITE,
            batch_id=batch_id,
            sender=self.sender.oin,
            recipient=self.recipient.oin,
            ledger=operators["ledger"].oin,
            gateway=operators["gateway"].oin,
            pseudonyms=operators["pseudonyms"].oin,
            viewer=operators["viewer"].oin,
            sender_key_id=self.sender.key("sign").key_id,
            recipient_key_id=self.recipient.key("hpke").key_id,
            ledger_key_id=operators["ledger"].key("hpke").key_id,
            pseudonyms_key_id=operators["pseudonyms"].key("hpke").key_id,
            viewer_key_id=operators["viewer"].key("hpke").key_id,
            purpose=self.purpose.id,
            purpose_version=self.purpose.version,
            recipient_epoch=EPOCH,
            ledger_epoch=EPOCH,
            items=self.items,
            created_ms=now_ms,
            expires_ms=now_ms + LIFETIME_MS,
            basis=BASES[self.basis],
            count=count,
        ).SerializeToString(deterministic=True)


def address_letter(
    registry: Registry, organisation: Organisation, *, recipient: str, purpose: str, items: Sequence[str], basis: Basis
) -> Letter:
    """Return the letter of a send; raises RegieError when the directory knows no such recipient, purpose or key."""
    operators = {role: registry.operator(role) for role in ("gateway", "pseudonyms", "ledger", "viewer")}
    addressee = registry.participant(recipient)
    keys = SenderKeys(
        signing=signatures.signing_key(organisation.key("sign")),
        hedge=organisation.key("hedge"),
        pseudonyms=operators["pseudonyms"].key("hpke").public,
        ledger=operators["ledger"].key("hpke").public,
        recipient=addressee.key("hpke").public,
        viewer=operators["viewer"].key("hpke").public,
    )
    me = registry.participant(organisation.oin)
    return Letter(me, addressee, operators, registry.purpose(purpose), tuple(sorted(set(items))), basis, keys)


def seal(
    letter: Letter, rows: Sequence[tuple[bytes, SignalInput]], now_ms: int, rng: Rng, workers: Executor
) -> tuple[OpenBatch, list[bytes]]:
    """Seal keyed rows into a batch; returns it with the signal references in the order of its keys."""
    batch_id = rng(16)
    header = letter.header(batch_id, len(rows), now_ms)
    sealing = seal_batch(header, batch_id, [signal for _, signal in rows], letter.keys, rng=rng, workers=workers)
    ordered = [rows[number] for number in sealing.order]
    batch = OpenBatch(
        batch_id=batch_id,
        recipient=letter.recipient.oin,
        purpose=letter.purpose.id,
        header=header,
        root=sealing.root,
        request=_request(sealing.batch).SerializeToString(),
        keys=tuple(key for key, _ in ordered),
        expires_ms=now_ms + LIFETIME_MS,
    )
    return batch, [signal.signal_ref for _, signal in ordered]


def _request(batch: SealedBatch) -> exchange_pb2.SubmitBatchRequest:
    return exchange_pb2.SubmitBatchRequest(**{field.name: getattr(batch, field.name) for field in fields(SealedBatch)})


def read_answer(
    answer: exchange_pb2.SubmitBatchResponse, batch: OpenBatch, ledger: Participant, log: Sequence[NoteVerifier]
) -> Answer:
    """Return the outcome of every signal in the order of the batch's keys, after checking who says so.

    Raises RegieError SIGNATURE_INVALID or PROOF_INVALID unless the ledger signed exactly this batch's header and root,
    with one decision per signal, all of them in a log that it signed too. The gateway cannot make such an answer up.
    """
    _verify_signature([key for key in ledger.keys if key.usage == "sign" and not key.retired], answer)
    decisions = decisions_pb2.DecisionList()
    try:
        decisions.ParseFromString(answer.decision_list)
        checkpoint = open_checkpoint(decisions.checkpoint, log)
    except (DecodeError, VerificationError) as error:
        raise RegieError("PROOF_INVALID", f"the ledger's answer: {error}", "decision_list") from None
    if decisions.header_hash != header_hash(batch.header) or decisions.root != batch.root:
        raise RegieError("PROOF_INVALID", "expected an answer to this batch, got one to another", "decision_list")
    outcomes, indices = list(decisions.outcomes), list(decisions.log_indices)
    if not len(outcomes) == len(indices) == len(batch.keys) or len(set(indices)) != len(indices):
        raise RegieError("PROOF_INVALID", f"expected {len(batch.keys)} decisions, each with its own place in the log")
    if max(indices) >= checkpoint.size:
        raise RegieError("PROOF_INVALID", "expected decisions that are in the signed log", "log_indices")
    if not set(outcomes) <= set(events_pb2.Outcome.values()) - {events_pb2.OUTCOME_UNSPECIFIED}:
        raise RegieError("PROOF_INVALID", "expected outcomes of the vocabulary", "outcomes")
    return Answer(tuple(map(int, outcomes)), answer.decision_list, answer.ledger_signature)


def _verify_signature(keys: Sequence[Key], answer: exchange_pb2.SubmitBatchResponse) -> None:
    digest = sha256(answer.decision_list).digest()
    for key in keys[:-1]:
        try:
            return signatures.verify(key.public, LABEL_DECISION, answer.ledger_signature, digest)
        except RegieError:
            continue  # an older key of the ledger, still active during a rotation
    if not keys:
        raise RegieError("KEY_UNKNOWN", "the directory has no signing key of the ledger")
    return signatures.verify(keys[-1].public, LABEL_DECISION, answer.ledger_signature, digest)
