"""The recipient's part (R): believe nothing that the gateway says, only what sender and ledger signed.

A delivery is opened when the ledger, by the key of the recipient's own policy, released it for this pull; when the
sender's signature binds the ciphertexts under the same root; and then only the signals whose opening the ledger gave.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from consent_ledger.errors import RegieError
from consent_ledger.hashing import header_hash as hash_header
from consent_ledger.hashing import sha256
from consent_ledger.v1.batch_pb2 import BatchHeader
from consent_ledger.v1.decisions_pb2 import ReleaseContent, ReleasedSignal, ReleaseStatement
from gateway.crypto import SUITE, envelope, group, hpke, oprf, signatures, tree
from gateway.crypto.batch import LABEL_R, info_recipient
from gateway.crypto.group import ORDER
from gateway.crypto.ledger_side import info_release

LABEL_RELEASE = b"regie/s/release/v1"
LONGEST_RELEASE_MS = 300_000
CLOCK_SKEW_MS = 300_000  # a clock that runs behind by less than this still sees a fresh release as fresh


@dataclass(frozen=True, slots=True)
class Item:
    """A permitted signal as the gateway delivers it: com_i, ct_i, its path, and E_R,i."""

    position: int
    commitment: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)
    path: bytes = field(repr=False)
    evaluated: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the gateway delivers; the fields are those of gateway.v1.Delivery and of the ledger's ReleaseResponse."""

    header: bytes
    sealed_recipient: bytes = field(repr=False)
    sealed_viewer_hash: bytes
    signature_recipient: bytes = field(repr=False)
    root: bytes
    release_sealed: bytes = field(repr=False)
    release_statement: bytes = field(repr=False)
    release_signature: bytes = field(repr=False)
    items: Sequence[Item] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the recipient knows by itself: its pull, its own OIN, the operators and keys of its policy, the time."""

    header_hash: bytes
    nonce: bytes
    recipient: str
    ledger: str
    ledger_public: bytes
    sender_public: bytes
    now_ms: int


@dataclass(frozen=True, slots=True)
class RecipientKeys:
    """The recipient's HPKE key (the one the header names) and closing scalar c_R."""

    hpke_private: hpke.PrivateKey = field(repr=False)
    closing_scalar: int = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenedSignal:
    """One released signal: its stored index, to be looked up in the enrolment table, and what the ledger said of it."""

    position: int
    index: bytes = field(repr=False)
    signal_ref: bytes
    payload: bytes = field(repr=False)
    release: ReleasedSignal = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenedDelivery:
    """A verified delivery. ``checkpoint`` covers the release leaves; their receipts are checked by consent_ledger."""

    header: BatchHeader
    checkpoint: str
    signals: tuple[OpenedSignal, ...] = field(repr=False)


def _verify_statement(delivery: Delivery, expected: Expected) -> None:
    """Check that the ledger released this batch, under this root, for this pull, just now."""
    statement_bytes = delivery.release_statement
    signatures.verify(expected.ledger_public, LABEL_RELEASE, delivery.release_signature, sha256(statement_bytes))
    try:
        statement = ReleaseStatement.FromString(statement_bytes)
    except DecodeError:
        raise RegieError("FIELD_INVALID", "expected a release statement", "statement") from None
    if statement.header_hash != expected.header_hash or statement.nonce != expected.nonce:
        raise RegieError("PROOF_INVALID", "expected a release for this pull, got one for another", "statement")
    if statement.root != delivery.root:
        raise RegieError("PROOF_INVALID", "expected a release of the root delivered, got another root", "root")
    if statement.sealed_hash != sha256(delivery.release_sealed):
        raise RegieError("PROOF_INVALID", "expected the content that the ledger signed, got another", "sealed")
    if not expected.now_ms < statement.expires_ms <= expected.now_ms + LONGEST_RELEASE_MS + CLOCK_SKEW_MS:
        raise RegieError("NOT_FRESH", "expected a release of the last 5 minutes", "statement")


def _verify_header(delivery: Delivery, expected: Expected, private: hpke.PrivateKey) -> BatchHeader:
    if hash_header(delivery.header) != expected.header_hash:
        raise RegieError("PROOF_INVALID", "expected the batch that was pulled, got another", "header")
    try:
        header = BatchHeader.FromString(delivery.header)
    except DecodeError:
        raise RegieError("FIELD_INVALID", "expected a batch header", "header") from None
    if header.suite != SUITE:
        raise RegieError("SUITE_UNKNOWN", f"expected suite {SUITE}", "header")
    if header.recipient != expected.recipient or header.ledger != expected.ledger:
        raise RegieError("PEER_MISMATCH", "expected a batch for this recipient and ledger, got another's", "header")
    if header.recipient_key_id != private.key_id:
        raise RegieError("KEY_UNKNOWN", "expected a batch sealed to the key given", "header")
    sealed = sha256(delivery.sealed_recipient), delivery.sealed_viewer_hash
    parts = (expected.header_hash, *sealed, delivery.root)
    signatures.verify(expected.sender_public, LABEL_R, delivery.signature_recipient, *parts)
    return header


def _open_release(delivery: Delivery, expected: Expected, private: hpke.PrivateKey) -> ReleaseContent:
    info = info_release(expected.header_hash, expected.nonce)
    plaintext = hpke.open_(private, info, delivery.release_sealed, field_name="sealed")
    try:
        return ReleaseContent.FromString(plaintext)
    except DecodeError:
        raise RegieError("SEALED_PART_INVALID", "expected release content", "sealed") from None


def _by_position(items: Sequence[Item], released: Sequence[ReleasedSignal]) -> list[Item]:
    """Return the delivered item of each released signal; those that were withheld are not looked at."""
    delivered = {item.position: item for item in items}
    wanted = [signal.position for signal in released]
    if len(delivered) != len(items) or len(set(wanted)) != len(wanted):
        raise RegieError("PROOF_INVALID", "expected every position once", "items")
    if not delivered.keys() >= set(wanted):
        raise RegieError("PROOF_INVALID", "expected every signal that the ledger released, got fewer", "items")
    return [delivered[position] for position in wanted]


def _open_item(secret: bytes, opening: bytes, item: Item, header_hash: bytes) -> envelope.Content:
    slot = item.position.to_bytes(2, "big")
    key, commitment = envelope.content_key(secret, opening, header_hash, slot)
    if commitment != item.commitment:
        raise RegieError("PROOF_INVALID", "expected the opening that the sender committed to", "commitment")
    return envelope.open_(key, header_hash, slot, item.ciphertext)


def verify_delivery(
    delivery: Delivery, expected: Expected, keys: RecipientKeys, workers: Executor | None = None
) -> OpenedDelivery:
    """Verify a delivery and open what the ledger released of it, in the order of the release.

    Raises RegieError: SIGNATURE_INVALID (ledger or sender), NOT_FRESH, PROOF_INVALID (pull, root, path, commitment,
    positions), PEER_MISMATCH, KEY_UNKNOWN, SUITE_UNKNOWN, SEALED_PART_INVALID, ELEMENT_INVALID or FIELD_INVALID. One
    bad signal refuses the delivery. Duplicates of earlier batches, by (sender, signal_ref), are the caller's to drop.
    """
    _verify_statement(delivery, expected)
    header = _verify_header(delivery, expected, keys.hpke_private)
    release = _open_release(delivery, expected, keys.hpke_private)
    info = info_recipient(expected.header_hash)
    secret = hpke.open_(keys.hpke_private, info, delivery.sealed_recipient, field_name="sealed_recipient")
    if len(secret) != 32:
        raise RegieError("SEALED_PART_INVALID", "expected a key of 32 bytes", "sealed_recipient")
    items = _by_position(delivery.items, release.signals)
    paths = tree.PathVerifier(delivery.root, header.count)
    for item in items:
        paths.verify(item.position, tree.leaf(item.position, item.commitment, item.ciphertext), item.path)
    contents = [
        _open_item(secret, signal.opening, item, expected.header_hash)
        for signal, item in zip(release.signals, items, strict=True)
    ]
    indices = _indices(header, contents, items, keys.closing_scalar, workers)
    signals = tuple(
        OpenedSignal(item.position, index, content.signal_ref, content.payload, signal)
        for item, index, content, signal in zip(items, indices, contents, release.signals, strict=True)
    )
    return OpenedDelivery(header, release.checkpoint, signals)


def _indices(
    header: BatchHeader,
    contents: Sequence[envelope.Content],
    items: Sequence[Item],
    closing: int,
    workers: Executor | None,
) -> list[bytes]:
    """Return the stored index of P_R = (c_R * u_R) * E_R for each signal."""
    if not items:
        return []
    elements = group.decode_list([item.evaluated for item in items], field="evaluated", workers=workers)
    scalars = [closing * content.blinding % ORDER for content in contents]
    domain = oprf.Domain("recipient", header.recipient, header.purpose, header.recipient_epoch)
    return oprf.stored_indices(domain, group.multiply_many(scalars, elements, workers))
