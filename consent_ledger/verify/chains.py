"""Each subject's chain of events: numbered, and each naming the one before by hash, so that a gap shows.

ledger.md "Events": ``subject_seq`` counts 1, 2, 3, ... and ``previous`` is the SHA-256 of the previous commitment.
"""

from __future__ import annotations

from bisect import bisect_left
from hashlib import sha256

from google.protobuf.message import DecodeError

from consent_ledger.log.errors import VerificationError
from consent_ledger.v1.events_pb2 import PrivatePart, SubjectLink


class SubjectChains:
    """The last link of every subject while the log is read in order."""

    def __init__(self) -> None:
        """Begin with no subjects."""
        # Subject -> (subject_seq, index, SHA-256 of the commitment) of its last event that could be opened.
        self._last: dict[bytes, tuple[int, int, bytes]] = {}
        self._unopened: list[int] = []

    def skip(self, index: int) -> None:
        """Note a committed leaf whose payload is gone; nobody can tell any more whose chain it was in."""
        self._unopened.append(index)

    def add(self, index: int, commitment: bytes, private: bytes) -> None:
        """Check the links of the event at ``index`` against its subjects' chains; raises VerificationError."""
        try:
            links = PrivatePart.FromString(private).links
        except DecodeError:
            raise VerificationError("expected a private part, got other bytes") from None
        digest = sha256(commitment).digest()
        for link in links:
            self._check(index, link)
            self._last[link.subject] = (link.subject_seq, index, digest)

    def _check(self, index: int, link: SubjectLink) -> None:
        sequence, last_index, digest = self._last.get(link.subject, (0, -1, b""))
        missing = link.subject_seq - sequence - 1
        gone = bisect_left(self._unopened, index) - bisect_left(self._unopened, last_index)
        if not 0 <= missing <= gone:
            raise VerificationError(f"subject chain: expected number {sequence + 1}, got {link.subject_seq}")
        # Behind an erased event the hash cannot be checked: what it is a hash of is gone from here, not from the leaf.
        if missing == 0 and link.previous != digest:
            raise VerificationError(
                f"subject chain: expected previous {digest.hex() or 'empty'}, got {link.previous.hex() or 'empty'}"
            )
