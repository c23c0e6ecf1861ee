"""Receipts: each proves the release of exactly the signal it comes with."""

from dataclasses import dataclass

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.log.checkpoint import Checkpoint, sign_checkpoint
from consent_ledger.log.merkle import leaf_hash
from consent_ledger.log.note import Signer
from consent_ledger.v1 import batch_pb2, decisions_pb2, events_pb2
from consent_ledger.verify.leaves import commitment_entry, commitment_of
from gateway.crypto.recipient_side import OpenedDelivery, OpenedSignal
from gateway.sdk.opening import Receipts
from tests.support.sdk import CITY, PURPOSE, SUPPLIER

SIGNER = Signer("example.com/log", bytes(32))
SALT = bytes(range(32))
FACTS = {"batch_id": bytes(16), "position": 3, "sender": SUPPLIER, "recipient": CITY, "purpose": PURPOSE}


@dataclass
class Log:
    """A log of one entry."""

    event: events_pb2.Event
    signer: Signer = SIGNER

    def opened(self):
        event = self.event.SerializeToString()
        root = leaf_hash(commitment_entry(commitment_of(SALT, event)))
        note = sign_checkpoint(Checkpoint(self.signer.name, 1, root), [self.signer])
        release = decisions_pb2.ReleasedSignal(position=3, log_index=0, event=event, salt=SALT)
        header = batch_pb2.BatchHeader(
            batch_id=bytes(16), sender=SUPPLIER, recipient=CITY, purpose=PURPOSE, purpose_version=1
        )
        signal = OpenedSignal(3, bytes(32), bytes(16), b"", release)
        return OpenedDelivery(header, note, (signal,)), signal


def released(**changes):
    body = events_pb2.ExchangeReleased(**{**FACTS, "purpose_version": 1, **changes})
    return events_pb2.Event(time_ms=1, private_digest=bytes(32), exchange_released=body)


def receipt_of(log, severity=0):
    opened, signal = log.opened()
    return Receipts(opened, SIGNER.verifier.format()).of(signal, severity)


def test_the_receipt_of_this_release():
    text = receipt_of(Log(released()))
    assert text.startswith("c2sp.org/tlog-proof@v1\n")


@pytest.mark.parametrize(
    "event",
    [
        released(position=4),
        released(batch_id=bytes([1]) * 16),
        released(sender=CITY),
        released(recipient=SUPPLIER),
        released(purpose="handhaving"),
        released(purpose_version=2),
        events_pb2.Event(
            time_ms=1,
            private_digest=bytes(32),
            exchange_withheld=events_pb2.ExchangeWithheld(**FACTS, purpose_version=1),
        ),
    ],
)
def test_a_proof_of_something_else_is_refused(event):
    with pytest.raises(RegieError) as refused:
        receipt_of(Log(event))
    assert refused.value.reason == "PROOF_INVALID"


def test_another_logs_signature_is_refused():
    other = Signer(SIGNER.name, bytes([1]) * 32)
    with pytest.raises(RegieError) as refused:
        receipt_of(Log(released(), other))
    assert refused.value.reason == "PROOF_INVALID"
