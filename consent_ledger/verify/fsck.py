"""`regie log fsck`: every table of a ledger against its log, and the name of every row that does not check.

First the log by itself: every hash, every payload against its commitment, every erasure. Then everything beside it is
derived again from the log and compared: what the writer keeps is a projection, or a memory of answers it signed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from consent_ledger.clock import Clock, system_clock
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.note import NoteVerifier
from consent_ledger.log.quorum import NOBODY, Quorum
from consent_ledger.verify.checkpoints import PUBLISHED, Checkpoints
from consent_ledger.verify.database import DatabaseReport, verifiers_of
from consent_ledger.verify.erasures import Erasures
from consent_ledger.verify.facts import Facts
from consent_ledger.verify.log import Progress
from consent_ledger.verify.problems import Problems
from consent_ledger.verify.signatures import CheckSignature, LedgerSignatures, check_ed25519
from consent_ledger.verify.snapshot import RowError, Snapshot, open_snapshot
from consent_ledger.verify.sources import Location
from consent_ledger.verify.stored_answers import AnswerCheck, Times
from consent_ledger.verify.stored_permits import PermitCheck
from consent_ledger.verify.stored_subjects import SubjectCheck
from consent_ledger.verify.stored_tasks import TaskCheck
from consent_ledger.verify.walk import Walk

MOST = 100
"""Rows named in a report; the others are counted."""

COMPARED = ("published", "public_event", "subject", "subject_entry", "batch", "permit", "pull_nonce", "change", "task")
KNOWN = frozenset({"leaf", "payload", "tile", "head", *COMPARED})
OPTIONAL = frozenset({"erasure", "published", "task", "alembic_version"})  # since later versions, or on one engine
UNCHECKED = {
    "permit.opening": "a secret of the sender: only its length and whether it may be there; its recipient checks it",
    "batch.request_hash": "after the batch expired: the answer that repeats it is gone",
    "pull_nonce.request_hash": "the hash of a request, and requests are not kept",
    "change.request_hash": "the hash of a request, and requests are not kept",
    "erasure.first": "told to nobody: only that it can be",
    "erasure.erased_ms": "told to nobody: only that it can be",
    "published.cosigned_ms": "when the last witness answered; each signature line has its own time",
}
"""Columns whose content nothing in the ledger binds, and why."""


@dataclass(frozen=True, slots=True)
class FsckReport:
    """What was checked; ``problems`` names the first MOST rows that do not check, ``count`` says how many there are."""

    size: int
    log: DatabaseReport | None  # None: the log itself does not check
    rows: dict[str, int]  # of the tables beside the log
    problems: tuple[RowError, ...]
    count: int
    unchecked: tuple[str, ...]  # "table" or "table.column"


class LedgerDamaged(VerificationError):  # noqa: N818  (what it says is what there is)
    """A ledger with rows that do not check; ``report`` has them all."""

    def __init__(self, report: FsckReport) -> None:
        """Say the first."""
        self.report = report
        more = f", and {report.count - 1} more" if report.count > 1 else ""
        super().__init__(f"{report.problems[0]}{more}")


def fsck(
    location: Location,
    vkeys: str | Sequence[str],
    progress: Progress | None = None,
    *,
    quorum: Quorum = NOBODY,
    check_signature: CheckSignature = check_ed25519,
    clock: Clock = system_clock,
) -> FsckReport:
    """Check every table of a ledger, which may be in use, at one moment; ``progress`` counts rows.

    ``quorum`` are the witnesses that must have cosigned what is published. ``clock`` tells which batches are over: what
    is kept for a batch's own time goes by the ledger's clock, also when nothing was appended since.

    Raises LedgerDamaged with everything found, VerificationError when there is no ledger that can be read.
    """
    run = _Fsck(verifiers_of(vkeys), quorum, check_signature, clock)
    try:
        with open_snapshot(location) as snapshot:
            run.begin(snapshot)
            run.check(progress or (lambda _done, _all: None))
    except VerificationError as error:
        if not run.begun:
            raise
        # A missing leaf makes every leaf after it another one, and a damaged page fails where it is read: what was
        # found before stays said.
        run.problems(
            error if isinstance(error, RowError) else RowError("log", "whole", "content", "one that checks", error)
        )
    report = run.report()
    if report.count:
        raise LedgerDamaged(report)
    return report


class _Fsck:
    """One run over one snapshot."""

    def __init__(
        self, verifiers: Sequence[NoteVerifier], quorum: Quorum, check_signature: CheckSignature, clock: Clock
    ) -> None:
        self.problems = Problems(MOST)
        self.begun = False
        self._verifiers = verifiers
        self._quorum = quorum
        self._check_signature = check_signature
        self._clock = clock
        self._log: DatabaseReport | None = None
        self._tables: frozenset[str] = frozenset()
        self._rows: dict[str, int] = {}
        self._size = 0

    def begin(self, snapshot: Snapshot) -> None:
        """See what is there; raises VerificationError when it is no database."""
        self._snapshot = snapshot
        self._tables = snapshot.source.tables()
        self.begun = True

    def check(self, progress: Progress) -> None:
        """Check the log, then what is beside it; a log that cannot be read through is nothing to compare with."""
        for what in self._snapshot.source.damage():
            self.problems.wrong("file", "whole", "pages", "no damage", what)
        for table in sorted(KNOWN - OPTIONAL - self._tables):
            self.problems.wrong(table, "all", "table", "a table", "none")
        self._walk = Walk(self._snapshot, self._verifiers, self.problems)
        self._size = self._walk.checkpoint.size
        counts = {table: self._snapshot.count(table) for table in COMPARED if table in self._tables}
        total = self._size + sum(counts.values())
        facts, erased = self._check_log(lambda done, _all: progress(done, total))
        done = self._size
        for table, compare in self._comparisons(facts, erased):
            if table in counts:
                for rows in self._compare(table, compare):
                    progress(done + rows, total)
                done += counts[table]
        self._rows = counts
        progress(total, total)

    def _check_log(self, progress: Progress) -> tuple[Facts, frozenset[int]]:
        erased = Erasures.read(self._snapshot)
        facts, walk = Facts(self.problems), self._walk
        for item in walk.items(progress):
            facts.add(item)
        log = walk.finish()
        self._checkpoints = Checkpoints(walk, self._verifiers, facts.log_keys)
        erased.check(walk.missing, walk.head.time_ms, self.problems)
        self._log = DatabaseReport(log, walk.opened, len(walk.missing))
        if facts.last_ms is not None and walk.checkpoint.size:
            # The head is signed with the newest leaf and has its time, unless that leaf cannot be opened.
            self.problems.require("head", 1, "time_ms", facts.last_ms, walk.head.time_ms)
        return facts, erased.all

    def _comparisons(self, facts: Facts, erased: frozenset[int]) -> Iterator[tuple[str, Callable[[], Iterator[int]]]]:
        """Yield table and comparison, in an order in which each finds what it needs."""
        snapshot, problems, head_ms = self._snapshot, self.problems, self._walk.head.time_ms
        times = Times(head_ms, max(head_ms, self._clock()))
        yield "published", self._published
        yield "public_event", lambda: self._public(facts)
        yield "subject", SubjectCheck(snapshot, facts.subjects, erased, problems).run
        signatures = LedgerSignatures(facts.registry, self._check_signature)
        answers = AnswerCheck(
            snapshot, facts, problems, signatures=signatures, check_note=self._check_note, times=times
        )
        permits = PermitCheck(snapshot, facts, problems, erased=erased, batches=answers.known, times=times)
        yield "batch", answers.batches
        yield "permit", permits.permits
        yield "pull_nonce", answers.pulls
        yield "change", permits.changes
        yield "task", TaskCheck(snapshot, facts, erased, problems).run

    def _compare(self, table: str, check: Callable[[], Iterator[int]]) -> Iterator[int]:
        try:
            for count in check():
                if count % 1_000 == 0:
                    yield count
        except (TypeError, ValueError, AttributeError) as error:
            # A damaged file holds anything, also a text where a number belongs.
            self.problems.wrong(table, "some row", "type", "values of the column's type", type(error).__name__)

    def _published(self) -> Iterator[int]:
        """The checkpoint that witnesses cosigned is one of this log, not of a fork, and has its quorum."""
        columns = ("id", "size", "note")
        for count, (row, size, note) in enumerate(
            self._snapshot.table(PUBLISHED, columns, text=frozenset({"note"})), 1
        ):
            self.problems.require(PUBLISHED, row, "id", 1, row)
            try:
                self.problems.require(PUBLISHED, row, "size", self._checkpoints.check(note).size, size)
                self._quorum.open(note.decode(), self._checkpoints.verifiers)
            except VerificationError as error:
                self.problems.wrong(PUBLISHED, row, "note", "a witnessed checkpoint of this log", error)
            yield count

    def _public(self, facts: Facts) -> Iterator[int]:
        expected, got = set(facts.public), {row[0] for row in self._snapshot.table("public_event", ("idx",))}
        yield len(got)
        for index in sorted(expected - got):
            self.problems.wrong("public_event", index, "row", "a row: the leaf is public", "none")
        for index in sorted(got - expected):
            self.problems.wrong("public_event", index, "row", "none: no such leaf is public", "a row")

    def _check_note(self, note: str | bytes, index: int) -> None:
        size = self._checkpoints.check(note).size
        if index >= size:
            raise VerificationError(f"expected a size above {index}, got {size}")

    def report(self) -> FsckReport:
        """Return what was checked and found so far."""
        return FsckReport(
            size=self._size,
            log=self._log,
            rows=self._rows,
            problems=tuple(self.problems.found),
            count=self.problems.count,
            unchecked=(*UNCHECKED, *sorted(self._tables - KNOWN - OPTIONAL)),
        )
