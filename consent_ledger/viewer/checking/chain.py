"""The chain of one resident's events, from the newest to the first: the same walk as Chain in check/record.js.

Each event names the commitment before it, so only the newest, and the first below a gap, need a proof of their own. A
gap is lawful only below an erasure that says so itself (ledger.md "Events"; docs/adr/0007).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256

from google.protobuf.message import DecodeError

from consent_ledger.events import EventError, open_private
from consent_ledger.log.errors import VerificationError
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.v1.events_pb2 import PrivatePart, SubjectLink
from consent_ledger.verify.leaves import commitment_of, read_event


@dataclass(slots=True)
class ChainWalk:
    """How far down a chain was walked; ``next`` is the number expected, ``hash`` that of its commitment if known."""

    subject: bytes
    next: int
    hash: bytes = b""
    erasure: bool = False
    count: int = 0

    def follow(self, links: Sequence[pb.ChainLink], proven: Collection[int]) -> None:
        """Go on with older links; ``proven`` are indices whose entries were checked. Raises VerificationError."""
        for each in links:
            try:
                event = read_event(each.event)
                private = open_private(event, each.private_part)
            except (EventError, DecodeError) as error:
                raise VerificationError(f"entry {each.log_index}: {error}") from None
            link = next((one for one in private.links if one.subject == self.subject), None)
            if link is None:
                raise VerificationError(f"entry {each.log_index} is not of this chain")
            self._step(each.log_index, link, commitment_of(each.salt, each.event), proven)
            self.erasure = self.erasure or event.WhichOneof("body") == "record_erased"

    def finish(self) -> None:
        """Say that nothing older is to come; raises VerificationError when the beginning is missing."""
        self._skip_to(0)

    def _step(self, index: int, link: SubjectLink, commitment: bytes, proven: Collection[int]) -> None:
        if link.subject_seq > self.next:
            raise VerificationError(f"expected number {self.next} of the chain, got {link.subject_seq}")
        self._skip_to(link.subject_seq)
        if self.hash and self.hash != sha256(commitment).digest():
            raise VerificationError(f"entry {index} is not the one that the next names")
        if not self.hash and index not in proven:
            raise VerificationError(f"expected a proof of entry {index}")
        self.count += 1
        self.next, self.hash = link.subject_seq - 1, link.previous
        if bool(self.next) != bool(self.hash):
            raise VerificationError(f"entry {index} names the wrong one before it")

    def _skip_to(self, number: int) -> None:
        if number == self.next:
            return
        if not self.erasure:
            raise VerificationError(f"{self.next - number} entries are missing before number {self.next + 1}")
        self.next, self.hash = number, b""


def anchors(links: Sequence[pb.ChainLink], subject: bytes) -> list[int]:
    """Return the indices that need a proof: the first of these links, and each below a gap."""
    found, expected = list[int](), -1
    for each in links:
        number = _number(each, subject)
        if number != expected:
            found.append(each.log_index)
        expected = number - 1
    return found


def _number(link: pb.ChainLink, subject: bytes) -> int:
    """Return which number of its chain a link says to be; 0 when it says none."""
    try:
        links = PrivatePart.FromString(link.private_part).links
    except DecodeError:
        return 0
    return next((each.subject_seq for each in links if each.subject == subject), 0)
