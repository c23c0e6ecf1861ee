"""The ledger's part (L): open a batch to the ledger's own pseudonyms, and seal releases to the recipient.

Satisfies ``consent_ledger.service.ports.LedgerCrypto``, so that the ledger itself knows no group and no gateway.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent_ledger.errors import RegieError
from consent_ledger.hashing import header_hash as hash_header
from consent_ledger.hashing import sha256
from gateway.crypto import envelope, group, hpke, oprf, signatures, tree
from gateway.crypto.batch import LABEL_L, decode_severities, info_ledger
from gateway.crypto.group import ORDER

INFO_TASKS = b"regie/tasks/v1"
INFO_TASK = b"regie/task/v1"


def info_release(header_hash: bytes, nonce: bytes) -> bytes:
    """Return the HPKE info of rel: a release answers one pull of one batch."""
    return b"regie/rel/v1" + header_hash + nonce


def info_outcome(header_hash: bytes) -> bytes:
    """Return the HPKE info of an outcome report."""
    return b"regie/outcome/v1" + header_hash


@dataclass(frozen=True, slots=True)
class OpenedBatch:
    """The positions of a batch, and the subject of each (stored index, 32 bytes).

    The ledger keeps openings of permitted positions only, and drops this object before it answers.
    """

    positions: tuple[int, ...]
    subjects: tuple[bytes, ...] = field(repr=False)
    severities: tuple[int, ...] = field(repr=False)
    _openings: envelope.Openings = field(repr=False)

    def opening(self, position: int, /) -> bytes:
        """Return v_i of a position: together with the recipient's k it opens the signal."""
        return self._openings(position)


class LedgerSide:
    """The ledger's keys, and what it does with them."""

    def __init__(
        self,
        hpke_private: hpke.PrivateKey,
        closing_scalar: int,
        signing_key: Ed25519PrivateKey,
        oin: str,
        workers: Executor | None = None,
    ) -> None:
        """Take the HPKE key, c_L, the Ed25519 key and the OIN; ``workers`` are threads for the group operations."""
        group.encode_scalar(closing_scalar)
        self._private = hpke_private
        self._closing = closing_scalar
        self._signing = signing_key
        self._oin = oin
        self._workers = workers

    @property
    def key_id(self) -> bytes:
        """The id of the HPKE key, as a header's ledger_key_id names it."""
        return self._private.key_id

    def header_hash(self, header: bytes) -> bytes:
        """Return hh of header bytes as received."""
        return hash_header(header)

    def verify_sender(self, public: bytes, header_hash: bytes, sealed: bytes, root: bytes, signature: bytes) -> None:
        """Check sig_L over hh, H(toL) and the root; raises RegieError SIGNATURE_INVALID."""
        signatures.verify(public, LABEL_L, signature, header_hash, sha256(sealed), root)

    def open_batch(self, purpose: str, epoch: int, header_hash: bytes, sealed: bytes, evaluated: bytes) -> OpenedBatch:
        """Return the subjects of a batch: P_L = (c_L * u_L) * E_L.

        Raises RegieError ELEMENT_INVALID, or SEALED_PART_INVALID when toL does not open or does not hold exactly one
        position, scalar and severity for each element; then nothing has been computed.
        """
        elements = group.decode(evaluated, field="evaluated", workers=self._workers)
        content = hpke.open_(self._private, info_ledger(header_hash), sealed, field_name="sealed_ledger")
        count = len(elements)
        try:
            positions = tree.decode_positions(content[32 : 32 + 2 * count], count)
            scalars = group.decode_scalars(content[32 + 2 * count : 32 + 34 * count], count)
            severities = decode_severities(content[32 + 34 * count :], count)
        except RegieError:
            text = f"expected {count} positions, scalars and severities"
            raise RegieError("SEALED_PART_INVALID", text, "sealed_ledger") from None
        closing = self._closing
        pseudonyms = group.multiply_many([closing * u % ORDER for u in scalars], elements, self._workers)
        subjects = oprf.stored_indices(self._domain(purpose, epoch), pseudonyms)
        return OpenedBatch(positions, tuple(subjects), severities, envelope.Openings(content[:32], header_hash))

    def subjects(self, purpose: str, epoch: int, elements: Sequence[bytes]) -> list[bytes]:
        """Return the stored index of each row s1*s2*M; raises RegieError ELEMENT_INVALID."""
        decoded = group.decode_list(elements, field="elements", workers=self._workers)
        pseudonyms = group.multiply_many(self._closing, decoded, self._workers)
        return oprf.stored_indices(self._domain(purpose, epoch), pseudonyms)

    def seal_release(self, recipient_public: bytes, header_hash: bytes, nonce: bytes, content: bytes) -> bytes:
        """Seal release content to the recipient, for this batch and pull only."""
        return hpke.seal(recipient_public, info_release(header_hash, nonce), content)

    def open_outcome(self, header_hash: bytes, sealed: bytes) -> bytes:
        """Open an outcome report; raises RegieError SEALED_PART_INVALID."""
        return hpke.open_(self._private, info_outcome(header_hash), sealed, field_name="sealed")

    def seal_tasks(self, organisation_public: bytes, nonce: bytes, content: bytes) -> bytes:
        """Seal what is asked of an organisation to it, for this query only."""
        return hpke.seal(organisation_public, INFO_TASKS + nonce, content)

    def open_task(self, organisation: str, sealed: bytes) -> bytes:
        """Open what an organisation reports about a task; raises RegieError SEALED_PART_INVALID."""
        return hpke.open_(self._private, INFO_TASK + organisation.encode(), sealed, field_name="sealed")

    def sign(self, label: bytes, *parts: bytes) -> bytes:
        """Sign label || parts with the ledger's key of the directory."""
        return signatures.sign(self._signing, label, *parts)

    def verify(self, public: bytes, label: bytes, signature: bytes, *parts: bytes) -> None:
        """Check a signature of somebody else; raises RegieError SIGNATURE_INVALID."""
        signatures.verify(public, label, signature, *parts)

    def _domain(self, purpose: str, epoch: int) -> oprf.Domain:
        return oprf.Domain("ledger", self._oin, purpose, epoch)
