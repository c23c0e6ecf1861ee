"""The gateway's part (T1): check a submitted batch, evaluate it once, and keep what is permitted.

T1 sees blinded elements only. X, and any hash or signature over it, never leaves this party: with it T2 and L together
could test guesses.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from consent_ledger.errors import RegieError
from consent_ledger.hashing import header_hash as hash_header
from consent_ledger.hashing import sha256
from gateway.crypto import envelope, group, signatures, tree
from gateway.crypto.batch import LABEL_L, LABEL_R, LABEL_T1, LABEL_T2, SealedBatch, gateway_message


@dataclass(frozen=True, slots=True)
class Admitted:
    """A batch whose signatures, sizes and elements are checked; lists are in the order of ``positions``."""

    header_hash: bytes
    root: bytes
    positions: tuple[int, ...]
    elements: tuple[bytes, ...] = field(repr=False)
    commitments: tuple[bytes, ...] = field(repr=False)
    ciphertexts: tuple[bytes, ...] = field(repr=False)
    _tree: tree.BatchTree = field(repr=False)

    def path(self, position: int) -> bytes:
        """Return the path from the leaf at this position to the root, 32 bytes a hash."""
        return self._tree.path(position)


def _split(data: bytes, size: int) -> tuple[bytes, ...]:
    return tuple(data[at : at + size] for at in range(0, len(data), size))


def _check_sizes(batch: SealedBatch, count: int) -> None:
    # The label of every size is the field's name; the values are no secrets.
    plaintext = batch.ciphertext_size - envelope.TAG_BYTES
    if plaintext % envelope.BLOCK or not envelope.BLOCK <= plaintext <= envelope.LARGEST_PLAINTEXT:
        raise RegieError("FIELD_INVALID", "expected a ciphertext of whole blocks", "ciphertext_size")
    for name, size in (("blinded", 32), ("commitments", 32), ("ciphertexts", batch.ciphertext_size)):
        if len(getattr(batch, name)) != count * size:
            raise RegieError("FIELD_INVALID", f"expected {count} values of {size} bytes", name)
    if len(batch.filler_seed) != 32:
        raise RegieError("FIELD_INVALID", "expected 32 bytes", "filler_seed")


def _verify_inner(batch: SealedBatch, sender: bytes, header_hash: bytes, root: bytes) -> None:
    """Check what T2, L and R will check, so that a batch that they must refuse costs them nothing."""
    verify = signatures.verify
    verify(sender, LABEL_T2, batch.signature_pseudonyms, header_hash, sha256(batch.sealed_pseudonyms))
    verify(sender, LABEL_L, batch.signature_ledger, header_hash, sha256(batch.sealed_ledger), root)
    sealed = sha256(batch.sealed_recipient), sha256(batch.sealed_viewer)
    verify(sender, LABEL_R, batch.signature_recipient, header_hash, *sealed, root)


def admit(batch: SealedBatch, sender_public: bytes, count: int, workers: Executor | None = None) -> Admitted:
    """Check a batch of ``count`` signals (the header's) against the sender's Ed25519 key.

    Raises RegieError SIGNATURE_INVALID, FIELD_INVALID for sizes and positions, or ELEMENT_INVALID when one element of X
    is invalid, the identity, or stands twice. Freshness, quota and once-only are the caller's.
    """
    header_hash = hash_header(batch.header)
    signatures.verify(sender_public, LABEL_T1, batch.signature_gateway, *gateway_message(header_hash, batch))
    _check_sizes(batch, count)
    positions = tree.decode_positions(batch.positions, count)
    commitments = _split(batch.commitments, 32)
    ciphertexts = _split(batch.ciphertexts, batch.ciphertext_size)
    leaves = {
        position: tree.leaf(position, commitment, ciphertext)
        for position, commitment, ciphertext in zip(positions, commitments, ciphertexts, strict=True)
    }
    batch_tree = tree.BatchTree(header_hash, batch.filler_seed, leaves)
    _verify_inner(batch, sender_public, header_hash, batch_tree.root)
    elements = group.decode(batch.blinded, count, field="blinded", workers=workers)
    if len(set(elements)) != count:
        raise group.invalid_elements("blinded")
    return Admitted(header_hash, batch_tree.root, positions, tuple(elements), commitments, ciphertexts, batch_tree)


def first_evaluation(
    elements: Sequence[bytes], factor_ledger: int, factor_recipient: int, workers: Executor | None = None
) -> tuple[bytes, bytes]:
    """Return Y_L and Y_R: every element of an admitted batch times s1 of the ledger's and of the recipient's domain."""
    ledger = group.multiply_many(factor_ledger, elements, workers)
    recipient = group.multiply_many(factor_recipient, elements, workers)
    return b"".join(ledger), b"".join(recipient)


def decision_request_hash(header_hash: bytes, sealed_ledger: bytes, root: bytes, evaluated: bytes) -> bytes:
    """Return what the ledger's DecisionList must name: the hash of the request it answers."""
    return sha256(b"regie/decide/v1", header_hash, sha256(sealed_ledger), root, sha256(evaluated))
