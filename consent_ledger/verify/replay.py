"""`regie audit replay`: every decision and release of a ledger judged again from its log (I3).

ledger.md "Replay audit": the log is verified, its events are folded in order, and each ``ExchangeDecided``,
``ExchangeReleased`` and ``ExchangeWithheld`` is compared with what the pure ``decide`` says there (verdicts.py). Of the
tables beside leaves, payloads and head only that of erasures that wait to be announced is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from consent_ledger.clock import DAY_MS
from consent_ledger.decide import Decision
from consent_ledger.errors import RegieError
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.quorum import NOBODY, Quorum
from consent_ledger.others import proof_in
from consent_ledger.registry import SHORTEST_RETENTION_DAYS, Registry
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify.authority import wrong_authority
from consent_ledger.verify.checkpoints import Checkpoints, check_witnessed
from consent_ledger.verify.database import verifiers_of
from consent_ledger.verify.erasures import BY_AGE, ON_REQUEST, Erasures
from consent_ledger.verify.exchanges import Asked, Exchanges
from consent_ledger.verify.log import LogReport, Progress
from consent_ledger.verify.snapshot import open_snapshot
from consent_ledger.verify.sources import Location
from consent_ledger.verify.subjects import Subject, Subjects
from consent_ledger.verify.tasks import TaskFacts, TaskJudge, named_by, wrong_question
from consent_ledger.verify.verdicts import Judged, Judges, Said, Verdict, said_outcome
from consent_ledger.verify.walk import Gone, Item, Opened, Published, Unopenable, Walk, raising

MOST = 1_000
"""Findings named in a report; the others are counted."""

DECIDED, RELEASED, WITHHELD, FOLLOWED, OTHER = "decided", "released", "withheld", "followed", "entry"
TASK = "task"
_KINDS = {
    "exchange_decided": DECIDED,
    "exchange_released": RELEASED,
    "exchange_withheld": WITHHELD,
    "exchange_acknowledged": FOLLOWED,
    "outcome_reported": FOLLOWED,
    "question_asked": TASK,
    "question_answered": TASK,
    "stop_use_noticed": TASK,
    "notice_acknowledged": TASK,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """An event that is no match, and why; ``erased_by`` is the ``EntryErased`` that names it, if it is announced."""

    index: int
    kind: str
    verdict: Verdict
    why: str
    erased_by: int | None = None
    said: Said | None = None  # what was recorded,
    expected: Decision | None = None  # and what the rules say, where it came to comparing them


@dataclass(slots=True)
class ReplayReport:
    """What became of every event that was judged; erased and unopenable leaves count too, as kind "entry".

    ``within``: only leaves of these indices are judged; those before are folded all the same.
    """

    within: range | None = None
    log: LogReport | None = None
    witnessed: int | None = None  # size of the newest checkpoint that witnesses cosigned
    counts: dict[str, dict[str, int]] = field(default_factory=dict)  # kind -> verdict -> how many
    beside: int = 0  # matches by what is left of a subject of whom something is gone
    findings: list[Finding] = field(default_factory=list)
    left_out: int = 0  # findings beyond MOST
    chains: int = 0  # of residents
    gaps: int = 0  # of these with a gap before which something still counts

    def count(self, verdict: Verdict) -> int:
        """Return how many events have a verdict."""
        return sum(of_kind.get(verdict.value, 0) for of_kind in self.counts.values())

    @property
    def broken(self) -> int:
        """How many events do not check: mismatches and what cannot be opened."""
        return self.count(Verdict.MISMATCH) + self.count(Verdict.UNOPENABLE)

    def add(self, index: int, kind: str, judged: Judged, erased_by: int | None = None) -> None:
        """Count a verdict. What does not check is kept before what is merely erased."""
        if self.within is not None and index not in self.within:
            return
        of_kind = self.counts.setdefault(kind, {})
        of_kind[judged.verdict.value] = of_kind.get(judged.verdict.value, 0) + 1
        if judged.verdict is Verdict.MATCH:
            self.beside += judged.beside
            return
        if len(self.findings) == MOST:
            self.left_out += 1
            least = next((n for n, one in enumerate(self.findings) if one.verdict is Verdict.ERASED), None)
            if judged.verdict is Verdict.ERASED or least is None:
                return
            del self.findings[least]
        self.findings.append(Finding(index, kind, judged.verdict, judged.why, erased_by, judged.said, judged.expected))


class ReplayFailed(VerificationError):  # noqa: N818  (what it says is what happened)
    """A log with decisions that are not those of the rules, or with events that nobody can open; see ``report``."""

    def __init__(self, report: ReplayReport) -> None:
        """Say the first."""
        self.report = report
        first = next(one for one in report.findings if one.verdict in (Verdict.MISMATCH, Verdict.UNOPENABLE))
        more = f", and {report.broken - 1} more" if report.broken > 1 else ""
        super().__init__(f"leaf {first.index} ({first.kind}), {first.verdict.value}: {first.why}{more}")


def replay(
    location: Location,
    vkeys: str | Sequence[str],
    progress: Progress | None = None,
    *,
    quorum: Quorum = NOBODY,
    within: range | None = None,
) -> ReplayReport:
    """Verify a ledger's log and judge every exchange in it again, at one moment of a ledger that may be in use.

    ``quorum`` are the witnesses that must have cosigned what is published; ``within`` limits what is judged to leaves
    of these indices, while the log is verified and folded from its beginning. Raises ReplayFailed when a mismatch or an
    unopenable event is found, other VerificationErrors when the log itself or what is published of it does not check.
    """
    verifiers = verifiers_of(vkeys)
    with open_snapshot(location) as snapshot:
        walk = Walk(snapshot, verifiers, raising)
        run = Replay(Erasures.read(snapshot), within)
        for item in walk.items(progress):
            run.add(item)
        run.report.log = walk.finish()
        run.finish()
        checkpoints = Checkpoints(walk, verifiers, run.log_keys)
        run.report.witnessed = check_witnessed(snapshot, checkpoints, quorum)
    if run.report.broken:
        raise ReplayFailed(run.report)
    return run.report


class Replay:
    """The fold of a log, leaf by leaf, judging as it goes."""

    def __init__(self, erasures: Erasures, within: range | None = None) -> None:
        """Begin with the empty log; ``erasures`` are those of the whole log, ``within`` the leaves to judge."""
        self.report = ReplayReport(within)
        self.registry = Registry()
        self.log_keys: dict[str, None] = {}  # every verifier key the log ever had
        self._erasures = erasures
        self._subjects = Subjects()
        self._exchanges = Exchanges()
        self._judges = Judges(erasures, self._subjects)
        self._tasks, self._notices = TaskFacts(), TaskJudge()
        self._proofs: set[bytes] = set()  # of presence, each of which is of one entry
        self._last_ms = 0

    def add(self, item: Item) -> None:
        """Judge and fold the next leaf; raises VerificationError on a public event that cannot be."""
        match item:
            case Opened():
                self._opened(item)
            case Published():
                self._published(item)
            case Gone():
                self._subjects.skip(item.idx, item.commitment)
                self.report.add(item.idx, OTHER, self._gone(item.idx), self._erasures.announced(item.idx))
            case Unopenable():
                self._subjects.skip(item.idx, item.commitment)
                self.report.add(item.idx, OTHER, Judged(Verdict.UNOPENABLE, str(item.error)))

    def _gone(self, index: int) -> Judged:
        if index not in self._erasures:
            return Judged(Verdict.UNOPENABLE, "its payload is lost: nothing says that it was erased")
        # Time never goes back, so this leaf is not older than the one before it.
        days = (self._erasures.until_ms(index) - self._last_ms) // DAY_MS
        if self._erasures.ground(index) == BY_AGE and days < SHORTEST_RETENTION_DAYS:
            why = f"erased by age after {days} days: expected at least {SHORTEST_RETENTION_DAYS}"
            return Judged(Verdict.MISMATCH, why)
        announced = self._erasures.announced(index)
        why = "erased, and waits to be announced" if announced is None else f"erased, as leaf {announced} says"
        return Judged(Verdict.ERASED, why)

    def _published(self, item: Published) -> None:
        try:
            self.registry = self.registry.apply(item.idx, item.event)
        except RegieError as error:
            raise VerificationError(f"leaf {item.idx}: a public event that cannot be: {error.message}") from None
        if item.event.HasField("log_key_added"):
            self.log_keys[item.event.log_key_added.verifier_key] = None
        self._time(item.idx, OTHER, item.event.time_ms)

    def _opened(self, item: Opened) -> None:
        kind = _KINDS.get(str(item.event.WhichOneof("body")), OTHER)
        try:
            subjects = self._subjects.add(item.idx, item.commitment, item.private)
        except VerificationError as error:
            self.report.add(item.idx, kind, Judged(Verdict.MISMATCH, str(error)))
            return
        if any(self._erasures.ground(subject.gone_before) == ON_REQUEST for subject in subjects):
            self._request(item)
        missing = self._notices.before(item.event, item.private, subjects)
        if missing:
            self.report.add(item.idx, kind, Judged(Verdict.MISMATCH, missing))
        elif kind is TASK:
            self.report.add(item.idx, kind, self._task(item))
        elif kind is OTHER:
            self._authority(item, subjects)
        else:
            judged = self._exchange(item, kind, subjects)
            if kind is not FOLLOWED or judged.verdict is not Verdict.MATCH:
                self.report.add(item.idx, kind, judged)
        self._time(item.idx, kind, item.event.time_ms)
        for subject in subjects:
            subject.fold(item.idx, item.event, item.private)
        if kind is OTHER:
            self._notices.after(item, subjects, self.registry)
        if kind in (OTHER, TASK):
            self._proofs.add(proof_in(item.event))

    def _authority(self, item: Opened, subjects: list[Subject]) -> None:
        """Judge whether whoever wrote a choice might; where something is gone it may have said that they might."""
        wrong = wrong_authority(item.event, [subject.state for subject in subjects], self._proofs)
        if wrong and any(subject.gap for subject in subjects):
            self.report.add(item.idx, OTHER, Judged(Verdict.ERASED, f"{wrong}; an event of this subject is erased"))
        elif wrong:
            self.report.add(item.idx, OTHER, Judged(Verdict.MISMATCH, wrong))

    def finish(self) -> None:
        """Judge what can be judged only with all leaves read: that no notice is left out at the end."""
        self.report.chains = len(self._subjects.all)
        self.report.gaps = sum(subject.gap is not None for subject in self._subjects.all.values())
        for index in self._notices.overdue():
            self.report.add(index, OTHER, Judged(Verdict.MISMATCH, "expected StopUseNoticed after it"))

    def _task(self, item: Opened) -> Judged:
        """Judge what is asked of an organisation, or what it did about it."""
        wrong = self._tasks.add(item.idx, item.event, item.private)
        if wrong == "":
            return self._unknown(named_by(item.event), "reports on what was not asked")
        if wrong is None and item.event.HasField("question_asked"):
            wrong = wrong_question(item, self._exchanges, self._subjects)
        return Judged(Verdict.MISMATCH, wrong) if wrong else Judged(Verdict.MATCH)

    def _request(self, item: Opened) -> None:
        """Require that an erasure on request says so in the chain of whom it is about: that resident reads it there."""
        if item.event.record_erased.ground != pb.ERASURE_GROUND_RESIDENT_REQUEST:
            why = "expected RecordErased: the event before it was erased on a request that nobody was told of"
            self.report.add(item.idx, OTHER, Judged(Verdict.MISMATCH, why))

    def _time(self, index: int, kind: str, time_ms: int) -> None:
        """The ledger's time never goes back (I6): what is earlier than the leaf before it was backdated."""
        if time_ms < self._last_ms:
            why = f"time: expected {self._last_ms} or later, got {time_ms}"
            self.report.add(index, kind, Judged(Verdict.MISMATCH, why))
        self._last_ms = max(self._last_ms, time_ms)

    def _exchange(self, item: Opened, kind: str, subjects: list[Subject]) -> Judged:
        if len(subjects) != 1:
            return Judged(Verdict.MISMATCH, f"expected one subject, got {len(subjects)}")
        if kind is DECIDED:
            return self._decided(item, subjects[0])
        return self._followed(item, kind, subjects[0])

    def _decided(self, item: Opened, subject: Subject) -> Judged:
        body, private = item.event.exchange_decided, item.private
        asked = self._exchanges.decided(item.idx, body, private.links[0].subject)
        wrong = said_outcome(self.registry, body, private.reason)
        if wrong:
            return Judged(Verdict.MISMATCH, wrong)
        return self._judge(item, asked, subject, None)

    def _followed(self, item: Opened, kind: str, subject: Subject) -> Judged:
        """Judge what followed a permit: it must have been one, of this subject, and not used up before."""
        named = named_index(item.event, kind)
        permit = (self._exchanges.releases if kind is FOLLOWED else self._exchanges.permits).get(named)
        wrong = self._exchanges.followed(item.idx, item.event)
        if permit is None:
            return self._unknown(named, wrong or "")
        wrong = wrong or wrong_severity(item.event, permit.decided, subject)
        if wrong:
            return Judged(Verdict.MISMATCH, wrong)
        if permit.subject != item.private.links[0].subject:
            return Judged(Verdict.MISMATCH, f"is about another subject than the decision, leaf {permit.decided}")
        if kind is FOLLOWED:
            return Judged(Verdict.MATCH)
        if (kind is RELEASED) != (item.private.reason == pb.REASON_ALLOWED):
            return Judged(Verdict.MISMATCH, f"{kind}, but for reason {item.private.reason}")
        return self._judge(item, permit.asked, subject, permit.decided)

    def _unknown(self, named: int, wrong: str) -> Judged:
        """Return what to say of an event that names a leaf which is no open permit: what it was asked is not known."""
        if named in self._erasures:
            return Judged(Verdict.ERASED, f"leaf {named}, which it names, is erased")
        if named in self._subjects.gone_between(named - 1, named + 1):
            return Judged(Verdict.UNOPENABLE, f"leaf {named}, which it names, is lost")
        return Judged(Verdict.MISMATCH, wrong)

    def _judge(self, item: Opened, asked: Asked, subject: Subject, recheck: int | None) -> Judged:
        said = Said(item.private.reason, tuple(item.private.decided_by))
        time_ms, severity = item.event.time_ms, item.private.severity
        return self._judges.judge(item.idx, said, self.registry, asked, subject, time_ms, recheck, severity)


def wrong_severity(event: pb.Event, decided: int, subject: Subject) -> str:
    """Return in what a release differs from the severity that was permitted; nothing for another event."""
    permitted = next((e.severity for e in subject.state.exchanges if e.decided_index == decided), None)
    got = event.exchange_released.severity
    differs = event.HasField("exchange_released") and permitted not in (None, got)
    return f"severity: expected {permitted}, got {got}" if differs else ""


def named_index(event: pb.Event, kind: str) -> int:
    """Return the leaf that an event says it follows."""
    if kind is RELEASED:
        return event.exchange_released.decided_index
    if kind is WITHHELD:
        return event.exchange_withheld.decided_index
    if event.HasField("exchange_acknowledged"):
        return event.exchange_acknowledged.released_index
    return event.outcome_reported.released_index
