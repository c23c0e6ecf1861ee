"""The viewer's part (V): open the resident's copy of one signal (pseudonyms.md; R18).

The key k of a batch is sealed to the viewer, the opening v_i comes from the ledger for the resident who is logged in,
and the ciphertext from the gateway, that can read neither. The root in the log says that the recipient got the same.
"""

from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from consent_ledger.errors import RegieError
from consent_ledger.hashing import header_hash as hash_header
from consent_ledger.hashing import sha256
from consent_ledger.v1.batch_pb2 import BatchHeader
from gateway.crypto import SUITE, envelope, hpke, signatures, tree
from gateway.crypto.batch import LABEL_R, SealedCopy, info_viewer


@dataclass(frozen=True, slots=True)
class Opening:
    """What the ledger gives for it: which signal, v_i, and the root that its decision in the log names."""

    header_hash: bytes
    position: int
    opening: bytes = field(repr=False)
    root: bytes


def read_header(copy: SealedCopy, opening: Opening) -> BatchHeader:
    """Return the header of the batch that the ledger named; raises RegieError PROOF_INVALID, FIELD_INVALID."""
    if hash_header(copy.header) != opening.header_hash or copy.root != opening.root:
        raise RegieError("PROOF_INVALID", "expected the batch that the log names, got another", "header")
    try:
        header = BatchHeader.FromString(copy.header)
    except DecodeError:
        raise RegieError("FIELD_INVALID", "expected a batch header", "header") from None
    if header.suite != SUITE:
        raise RegieError("SUITE_UNKNOWN", f"expected suite {SUITE}", "header")
    return header


def open_copy(
    copy: SealedCopy, opening: Opening, header: BatchHeader, private: hpke.PrivateKey, sender_public: bytes
) -> bytes:
    """Return the payload of one signal, once the sender signed it and it stands under the root in the log.

    Raises RegieError SIGNATURE_INVALID, PROOF_INVALID (path, commitment), KEY_UNKNOWN or SEALED_PART_INVALID.
    """
    if header.viewer_key_id != private.key_id:
        raise RegieError("KEY_UNKNOWN", "this copy was sealed to a key that the viewer has no more", "header")
    parts = opening.header_hash, copy.sealed_recipient_hash, sha256(copy.sealed_viewer), copy.root
    signatures.verify(sender_public, LABEL_R, copy.signature_recipient, *parts)
    leaf = tree.leaf(opening.position, copy.commitment, copy.ciphertext)
    tree.PathVerifier(copy.root, header.count).verify(opening.position, leaf, copy.path)
    secret = hpke.open_(private, info_viewer(opening.header_hash), copy.sealed_viewer, field_name="sealed_viewer")
    slot = opening.position.to_bytes(2, "big")
    key, commitment = envelope.content_key(secret, opening.opening, opening.header_hash, slot)
    if commitment != copy.commitment:
        raise RegieError("PROOF_INVALID", "expected the opening that the sender committed to", "commitment")
    return envelope.open_(key, opening.header_hash, slot, copy.ciphertext).payload
