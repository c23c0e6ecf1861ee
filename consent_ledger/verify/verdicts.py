"""Judging one recorded exchange event again, from the log alone: what should it have said? (I3)

What an event was judged by: the registry after every public event before it, and its subject's state after every event
of that subject before it, both in the order of the log, and the event's own time. The order of the log is the order in
which the ledger decided, also within a batch, between requests of one group commit, and between replicas; and every
decision about a subject is itself an event in that subject's chain, so a state that lacks something shows as a gap.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from consent_ledger.decide import Decision, Judge, decide_for, outcome_of, refused_for_all, terms_of
from consent_ledger.registry import Registry
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify.erasures import Erasures
from consent_ledger.verify.exchanges import Asked
from consent_ledger.verify.subjects import Subject, Subjects


class Verdict(Enum):
    """What became of judging an event again."""

    MATCH = "match"
    MISMATCH = "mismatch"
    ERASED = "erased"
    UNOPENABLE = "unopenable"


class Judged(NamedTuple):
    """A verdict, and why when it is not a match. ``beside``: something the state may rest on is gone.

    ``said`` and ``expected`` are what was recorded and what the rules say, where it came to comparing them.
    """

    verdict: Verdict
    why: str = ""
    beside: bool = False
    said: Said | None = None
    expected: Decision | None = None


class Said(NamedTuple):
    """What an event says that the ledger decided."""

    reason: int
    decided_by: tuple[int, ...]

    def differs(self, decision: Decision) -> str:
        """Return in what a decision differs from what was said; empty for nothing."""
        if self.reason != decision.reason:
            return f"reason: expected {reason_name(decision.reason)}, got {reason_name(self.reason)}"
        if self.decided_by != decision.decided_by:
            return f"decided by: expected leaves {list(decision.decided_by)}, got {list(self.decided_by)}"
        return ""


class Judges:
    """``decide`` for the events of a log, in order; what many events have in common is looked up once."""

    def __init__(self, erasures: Erasures, subjects: Subjects) -> None:
        """Judge with what the log says of erasures, also later than the event at hand."""
        self._erasures = erasures
        self._subjects = subjects
        self._for: tuple[Registry, Asked, int] | None = None
        self._general: Decision | None = None
        self._judge: Judge = lambda _state, _recheck, _severity: Decision(pb.REASON_UNSPECIFIED)

    def judge(  # noqa: PLR0917  (everything that a decision rests on)
        self,
        index: int,
        said: Said,
        registry: Registry,
        asked: Asked,
        subject: Subject,
        time_ms: int,
        recheck: int | None,
        severity: int,
    ) -> Judged:
        """Judge an exchange event at ``index`` about a subject, whose state is that before the event."""
        self._prepare(registry, asked, time_ms)
        expected = self._general or self._judge(subject.state, recheck, severity)
        differs = said.differs(expected)
        if subject.gap is None or self._general is not None:
            if differs:
                return Judged(Verdict.MISMATCH, differs, said=said, expected=expected)
            return Judged(Verdict.MATCH)
        return self._beside(index, differs, subject)._replace(said=said, expected=expected)

    def _prepare(self, registry: Registry, asked: Asked, time_ms: int) -> None:
        """Make the judge of a request at a time: one for all signals of a batch."""
        before = self._for
        if before and before[0] is registry and before[1] is asked and before[2] == time_ms:
            return
        self._for = (registry, asked, time_ms)
        self._general = refused_for_all(registry, asked.request)
        if self._general is None:
            terms = terms_of(registry, asked.request)
            self._judge = lambda state, recheck, severity: decide_for(terms, state, time_ms, recheck, severity)

    def _beside(self, index: int, differs: str, subject: Subject) -> Judged:
        """Judge by what is left of a subject of whom something is gone, erased or lost.

        A decision that the rest explains is one. Another may rest on what is gone, unless all of that was announced as
        erased before it: an erasure folds the state again, so what was decided later rests on what is left alone.
        """
        assert subject.gap is not None
        if not differs:
            return Judged(Verdict.MATCH, beside=True)
        gone = self._subjects.gone_between(*subject.gap)
        if any(one not in self._erasures for one in gone):
            return Judged(Verdict.UNOPENABLE, f"{differs}; but an event of this subject is lost", True)
        if all((self._erasures.announced(one) or index) < index for one in gone):
            return Judged(Verdict.MISMATCH, f"{differs}; all that is erased was so before", True)
        return Judged(Verdict.ERASED, f"{differs}; an event of this subject is erased", True)


def said_outcome(registry: Registry, body: pb.ExchangeDecided, reason: int) -> str:
    """Return in what a decision contradicts its own reason, from which follows what its sender is told; or nothing."""
    if body.permitted != (reason == pb.REASON_ALLOWED):
        return f"permitted: expected {not body.permitted}, got {body.permitted}"
    expected = outcome_of(reason, registry.find_purpose(body.purpose))
    if body.outcome != expected:
        return f"outcome: expected {outcome_name(expected)}, got {outcome_name(body.outcome)}"
    return ""


def reason_name(reason: int) -> str:
    """Return the name of a reason code; its number when it has none."""
    names = pb.Reason.DESCRIPTOR.values_by_number
    return str(names[reason].name).removeprefix("REASON_") if reason in names else str(reason)


def outcome_name(outcome: int) -> str:
    """Return the name of an outcome; its number when it has none."""
    names = pb.Outcome.DESCRIPTOR.values_by_number
    return str(names[outcome].name).removeprefix("OUTCOME_") if outcome in names else str(outcome)
