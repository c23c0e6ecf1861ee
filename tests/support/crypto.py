"""A small world with all parties of the protocol, each with its own keys: what a test tampers with, it takes from here."""

import random
from dataclasses import dataclass, field

from consent_ledger.hashing import sha256
from consent_ledger.v1.batch_pb2 import BASIS_OBSERVED, BatchHeader
from consent_ledger.v1.decisions_pb2 import ReleaseContent, ReleasedSignal, ReleaseStatement
from gateway.crypto import SUITE, batch, gateway_side, group, hpke, oprf, pseudonyms_side, recipient_side, signatures
from gateway.crypto.batch import SealedBatch, Sealing, SenderKeys, SignalInput
from gateway.crypto.gateway_side import Admitted
from gateway.crypto.identifiers import Bsn
from gateway.crypto.ledger_side import LedgerSide, OpenedBatch
from gateway.crypto.recipient_side import Delivery, Expected, Item, OpenedDelivery, RecipientKeys

PURPOSE = "vroegsignalering-energie"
SENDER, RECIPIENT, LEDGER, GATEWAY, PSEUDONYMS, VIEWER = (f"00000099{number:012}" for number in range(1, 7))
NOW = 1_900_000_000_000


def valid_bsns(count: int, start: int = 100_000_000) -> list[str]:
    """Return the first valid numbers from a start: the dictionary that a curious party would run."""
    found = []
    number = start
    while len(found) < count:
        digits = f"{number:09}"
        if (sum((9 - at) * int(digit) for at, digit in enumerate(digits[:8])) - int(digits[8])) % 11 == 0:
            found.append(digits)
        number += 1
    return found


@dataclass
class Signals:
    """A batch on its way through all parties, with what each of them sees."""

    sealing: Sealing
    admitted: Admitted
    first: tuple[bytes, bytes]  # Y_L, Y_R
    second: tuple[bytes, bytes]  # E_L, E_R
    opened: OpenedBatch

    @property
    def batch(self) -> SealedBatch:
        return self.sealing.batch


@dataclass
class World:
    """Keys of everybody; all randomness from one seed, but for that inside HPKE."""

    seed: int = 1
    epoch: int = 1
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        random_bytes = self.rng.randbytes
        self.master1, self.master2, self.hedge = random_bytes(32), random_bytes(32), random_bytes(32)
        self.t2, self.ledger_hpke, self.recipient_hpke, self.viewer = (
            hpke.PrivateKey.from_bytes(hpke.generate(random_bytes)) for _ in range(4)
        )
        self.sign = {
            oin: signatures.signing_key(random_bytes(32)) for oin in (SENDER, RECIPIENT, LEDGER, GATEWAY, PSEUDONYMS)
        }
        self.public = {oin: signatures.public_bytes(key) for oin, key in self.sign.items()}
        self.closing_ledger, self.closing_recipient = (group.random_scalar(random_bytes) for _ in range(2))
        self.ledger = LedgerSide(self.ledger_hpke, self.closing_ledger, self.sign[LEDGER], LEDGER)
        self.domain_ledger = oprf.Domain("ledger", LEDGER, PURPOSE, self.epoch)
        self.domain_recipient = oprf.Domain("recipient", RECIPIENT, PURPOSE, self.epoch)
        self.sender_keys = SenderKeys(
            self.sign[SENDER],
            self.hedge,
            self.t2.public,
            self.ledger_hpke.public,
            self.recipient_hpke.public,
            self.viewer.public,
        )
        self.recipient_keys = RecipientKeys(self.recipient_hpke, self.closing_recipient)

    def factors(self, master: bytes) -> tuple[int, int]:
        """Return an evaluator's factors in the ledger's and in the recipient's domain."""
        return oprf.derive_factor(master, self.domain_ledger), oprf.derive_factor(master, self.domain_recipient)

    def header(self, batch_id: bytes, count: int, **changed: object) -> bytes:
        fields: dict[str, object] = {
            "version": 1,
            "suite": SUITE,
            "batch_id": batch_id,
            "sender": SENDER,
            "recipient": RECIPIENT,
            "ledger": LEDGER,
            "gateway": GATEWAY,
            "pseudonyms": PSEUDONYMS,
            "viewer": VIEWER,
            "sender_key_id": signatures.key_id(signatures.USAGE_SIGN, self.public[SENDER]),
            "recipient_key_id": self.recipient_hpke.key_id,
            "ledger_key_id": self.ledger_hpke.key_id,
            "pseudonyms_key_id": self.t2.key_id,
            "viewer_key_id": self.viewer.key_id,
            "purpose": PURPOSE,
            "purpose_version": 1,
            "recipient_epoch": self.epoch,
            "ledger_epoch": self.epoch,
            "items": ["betalingsachterstand"],
            "created_ms": NOW,
            "expires_ms": NOW + 3_600_000,
            "basis": BASIS_OBSERVED,
            "count": count,
        }
        return BatchHeader(**(fields | changed)).SerializeToString()

    def seal(self, numbers: list[str], **changed: object) -> Sealing:
        """Seal one signal for each BSN; the reference and the payload tell its place in the input."""
        batch_id = self.rng.randbytes(16)
        signals = [
            SignalInput(Bsn(number).message(), at.to_bytes(16, "big"), b"signal %d" % at)
            for at, number in enumerate(numbers)
        ]
        header = self.header(batch_id, len(numbers), **changed)
        return batch.seal_batch(header, batch_id, signals, self.sender_keys, rng=self.rng.randbytes)

    def admit(self, submitted: SealedBatch) -> Admitted:
        count = BatchHeader.FromString(submitted.header).count
        return gateway_side.admit(submitted, self.public[SENDER], count)

    def evaluate_first(self, admitted: Admitted) -> tuple[bytes, bytes]:
        return gateway_side.first_evaluation(admitted.elements, *self.factors(self.master1))

    def evaluate_second(self, submitted: SealedBatch, first: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
        header, sealed = submitted.header, submitted.sealed_pseudonyms
        pseudonyms_side.verify_sender(self.public[SENDER], header, sealed, submitted.signature_pseudonyms)
        count = BatchHeader.FromString(header).count
        return pseudonyms_side.second_evaluation(
            self.t2, header, sealed, first, self.factors(self.master2), count=count
        )

    def open(self, submitted: SealedBatch, root: bytes, evaluated: bytes) -> OpenedBatch:
        header_hash = self.ledger.header_hash(submitted.header)
        sealed = submitted.sealed_ledger
        self.ledger.verify_sender(self.public[SENDER], header_hash, sealed, root, submitted.signature_ledger)
        return self.ledger.open_batch(PURPOSE, self.epoch, header_hash, sealed, evaluated)

    def run(self, numbers: list[str]) -> Signals:
        """Take a batch as far as the ledger's decision."""
        sealing = self.seal(numbers)
        admitted = self.admit(sealing.batch)
        first = self.evaluate_first(admitted)
        second = self.evaluate_second(sealing.batch, first)
        return Signals(sealing, admitted, first, second, self.open(sealing.batch, admitted.root, second[0]))

    def release(self, signals: Signals, positions: list[int], nonce: bytes, /, **changed: object) -> dict[str, bytes]:
        """Release these positions, as the ledger does after its decision."""
        header_hash = signals.admitted.header_hash
        released = [ReleasedSignal(position=at, opening=signals.opened.opening(at)) for at in positions]
        content = ReleaseContent(checkpoint="checkpoint", signals=released).SerializeToString()
        sealed = self.ledger.seal_release(self.recipient_hpke.public, header_hash, nonce, content)
        fields: dict[str, object] = {
            "header_hash": header_hash,
            "root": signals.admitted.root,
            "nonce": nonce,
            "expires_ms": NOW + 300_000,
            "sealed_hash": sha256(sealed),
        }
        statement = ReleaseStatement(**(fields | changed)).SerializeToString()
        signature = self.ledger.sign(recipient_side.LABEL_RELEASE, sha256(statement))
        return {"release_sealed": sealed, "release_statement": statement, "release_signature": signature}

    def items(self, signals: Signals, second: bytes | None = None) -> list[Item]:
        """Return what the gateway delivers, for every position."""
        evaluated = signals.second[1] if second is None else second
        admitted = signals.admitted
        return [
            Item(position, com, ct, admitted.path(position), evaluated[32 * at : 32 * at + 32])
            for at, (position, com, ct) in enumerate(
                zip(admitted.positions, admitted.commitments, admitted.ciphertexts, strict=True)
            )
        ]

    def delivery(self, signals: Signals, release: dict[str, bytes], items: list[Item] | None = None) -> Delivery:
        submitted = signals.batch
        return Delivery(
            header=submitted.header,
            sealed_recipient=submitted.sealed_recipient,
            sealed_viewer_hash=sha256(submitted.sealed_viewer),
            signature_recipient=submitted.signature_recipient,
            root=signals.admitted.root,
            items=self.items(signals) if items is None else items,
            **release,
        )

    def expected(self, signals: Signals, nonce: bytes) -> Expected:
        return Expected(
            header_hash=signals.sealing.header_hash,
            nonce=nonce,
            recipient=RECIPIENT,
            ledger=LEDGER,
            ledger_public=self.public[LEDGER],
            sender_public=self.public[SENDER],
            now_ms=NOW,
        )

    def receive(self, signals: Signals, released: list[int] | None = None) -> OpenedDelivery:
        """Release and deliver (every position by default), and open."""
        nonce = self.rng.randbytes(32)
        positions = list(signals.opened.positions) if released is None else released
        delivery = self.delivery(signals, self.release(signals, positions, nonce))
        return recipient_side.verify_delivery(delivery, self.expected(signals, nonce), self.recipient_keys)

    def ledger_row(self, number: str) -> bytes:
        """Return the ledger's stored index of a person."""
        return oprf.stored_index(self.domain_ledger, self.pseudonym(number, "ledger"))

    def recipient_row(self, number: str) -> bytes:
        """Return the recipient's stored index of a person."""
        return oprf.stored_index(self.domain_recipient, self.pseudonym(number, "recipient"))

    def pseudonym(self, number: str, role: oprf.Role) -> bytes:
        """Return P_d = c * s1 * s2 * H(id), from all keys at once: what no party can compute alone."""
        at = ("ledger", "recipient").index(role)
        closing = (self.closing_ledger, self.closing_recipient)[at]
        scalar = closing * self.factors(self.master1)[at] * self.factors(self.master2)[at] % group.ORDER
        return group.multiply(scalar, Bsn(number).to_point())
