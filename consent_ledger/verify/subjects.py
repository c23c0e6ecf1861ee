"""Every subject as the log tells it: its chain of events, its folded state, and where the log has forgotten something.

ledger.md "Events": ``subject_seq`` counts 1, 2, 3, ... and ``previous`` is the SHA-256 of the previous commitment, so
that a gap shows. An erased event is a gap too, but its commitment stays in its leaf: so the event after a gap still
names the last event before it, and only events whose payload is gone may be missing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from hashlib import sha256

from consent_ledger.log.errors import VerificationError
from consent_ledger.state import EMPTY, SubjectState, fold
from consent_ledger.v1.events_pb2 import ERASURE_GROUND_RESIDENT_REQUEST, Event, PrivatePart, SubjectLink


class Subject:
    """One subject: the end of its chain, its state, the log indices of its events, and its last gap."""

    __slots__ = ("gap", "gone_before", "indices", "last", "last_index", "seq", "state")

    def __init__(self) -> None:
        """Begin before the first event."""
        self.seq = 0
        self.last = b""
        self.last_index = -1
        self.state: SubjectState = EMPTY
        self.indices = bytearray()  # u64 big-endian each
        # (index before the first gap, index behind the last): events that the state may rest on are missing in between.
        self.gap: tuple[int, int] | None = None
        self.gone_before = -1  # the event that came directly before the newest one, if it is gone

    def fold(self, index: int, event: Event, private: PrivatePart) -> None:
        """Fold an event that was linked into the state."""
        self.state = fold(self.state, index, event, private)
        if event.record_erased.ground == ERASURE_GROUND_RESIDENT_REQUEST:
            self.gap = None  # nothing before it counts any more, so nothing is missing for what comes


class Subjects:
    """All subjects while the log is read in order; the caller folds their states."""

    def __init__(self) -> None:
        """Begin with no subjects."""
        self.all: dict[bytes, Subject] = {}
        self.gone: list[int] = []  # committed leaves that nobody can open, increasing
        self._gone_by_digest: dict[bytes, int] = {}

    def skip(self, index: int, commitment: bytes) -> None:
        """Note a committed leaf whose payload is gone: whose it was shows only by who comes after it."""
        self.gone.append(index)
        self._gone_by_digest[sha256(commitment).digest()] = index

    def gone_between(self, after: int, before: int) -> list[int]:
        """Return the indices of gone leaves strictly between two indices."""
        return self.gone[bisect_right(self.gone, after) : bisect_left(self.gone, before)]

    def add(self, index: int, commitment: bytes, private: PrivatePart) -> list[Subject]:
        """Link an event into the chains of its subjects and return them; raises VerificationError on a broken link."""
        digest = sha256(commitment).digest()
        return [self._link(index, digest, link) for link in private.links]

    def _link(self, index: int, digest: bytes, link: SubjectLink) -> Subject:
        subject = self.all.get(link.subject)
        if subject is None:
            subject = self.all[link.subject] = Subject()
        seq, previous = link.subject_seq, link.previous
        problem, subject.gone_before = None, -1
        if seq != subject.seq + 1:
            problem = self._gap(subject, index, seq, previous)
        elif previous != subject.last:
            problem = f"expected previous {subject.last.hex() or 'empty'}, got {previous.hex() or 'empty'}"
        # Whatever was wrong is said once: what comes next is judged by this event.
        subject.seq, subject.last, subject.last_index = seq, digest, index
        subject.indices += index.to_bytes(8, "big")
        if problem:
            raise VerificationError(f"subject chain: {problem}")
        return subject

    def _gap(self, subject: Subject, index: int, seq: int, previous: bytes) -> str | None:
        """Note a gap, and return what is wrong with it unless events that are gone explain it."""
        missing, after = seq - subject.seq - 1, subject.last_index
        # The event before this one is the last that is missing: it must be gone, and lie after the last that is there.
        last = self._gone_by_digest.get(previous, -1)
        room = bisect_right(self.gone, last) - bisect_right(self.gone, after) if last > after else 0
        first = subject.gap[0] if subject.gap else after
        subject.gap, subject.gone_before = (first, index), last
        if not 0 < missing <= room:
            return f"expected number {subject.seq + 1}, got {seq}"
        return None
