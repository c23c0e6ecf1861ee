"""Erasing by age: what no longer decides anything goes when the period of its purpose is over (docs/adr/0007).

A subject's old entries go but for those that stand: the choice in force or ended not long ago, with its question and
window, a pause in force, preferences. The state is then folded again from what is left, which is what a rebuild of the
projections finds as well; if anything in it that decides would change, nothing of that subject is erased.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from consent_ledger.clock import DAY_MS
from consent_ledger.errors import RegieError
from consent_ledger.others import others_in_force, standing_others
from consent_ledger.registry import SHORTEST_RETENTION_DAYS, Registry
from consent_ledger.state import COUNTED_MS, EMPTY, Choice, SubjectState, Window, fold
from consent_ledger.storage.erasures import RETENTION
from consent_ledger.storage.rows import PayloadRow
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.announce import Announcing, announce
from consent_ledger.writing.erase import Opened, Permits, erase_entries, open_row, opened
from consent_ledger.writing.transaction import Transaction
from consent_ledger.writing.work import Sealed

PAGE = 32
"""Entries that one step looks at, and with each those of its person: some tens of milliseconds in a group."""


def standing(state: SubjectState, since_ms: int) -> frozenset[int]:
    """Return the log indices of what still decides, or did at ``since_ms`` or later."""
    found: list[int | None] = []
    for choice in state.choices.values():
        if not _ended(choice, since_ms):
            question = choice.question
            found += [choice.idx, choice.withdrawn_index, choice.confirmed_index, choice.window and choice.window.idx]
            found += [question.idx, question.answer_index] if question else []
    if state.pause and (state.pause.until_ms == 0 or state.pause.until_ms > since_ms):
        found.append(state.pause.idx)
    if state.contact:
        found.append(state.contact.idx)
    found += standing_others(state.others, since_ms)
    found += [task.idx for task in state.tasks if task.done_idx is None]  # asked, and overdue for all to see
    return frozenset(index for index in found if index is not None)


def _ended(choice: Choice, since_ms: int) -> bool:
    """Tell whether a choice ended before: a no stands until another choice is made."""
    ends = [at for at in (choice.withdrawn_ms, choice.valid_until_ms) if at]
    return bool(ends) and min(ends) <= since_ms


def same_effect(before: SubjectState, after: SubjectState, since_ms: int, now_ms: int) -> bool:
    """Tell whether all decisions stay what they are: a choice that ended refuses, with or without its entry."""

    def in_force(state: SubjectState) -> object:
        choices = {
            party: choice._replace(window=choice.window and Window(*choice.window[:2]), question=None)
            for party, choice in state.choices.items()
            if not _ended(choice, since_ms)
        }
        answers = {party: state.choices[party].question for party in choices}
        said = {party: (q.idx, q.yes, q.answer_index) for party, q in answers.items() if q}
        counted = [e for e in state.exchanges if e.counted_ms > now_ms - COUNTED_MS]
        asked = [task for task in state.tasks if task.done_idx is None]
        pause = state.pause if state.paused(now_ms) else None
        return choices, said, pause, state.contact, counted, asked, others_in_force(state.others, now_ms)

    return in_force(before) == in_force(after)


def retention_days(registry: Registry, entries: Iterable[Opened]) -> int:
    """Return how many days entries of one subject are kept; 0: no purpose says.

    The purpose and version are those that the entries name; an entry without a version says nothing of it. A subject
    whose entries name none (a pause, preferences) is kept as long as the purpose that keeps longest.
    """
    versions: dict[str, int] = {}
    for entry in entries:
        body = getattr(entry.event, entry.kind)
        named = body.scope if "scope" in body.DESCRIPTOR.fields_by_name else body
        version = named.purpose_version if "purpose_version" in named.DESCRIPTOR.fields_by_name else 0
        if version and registry.find_purpose(named.purpose):
            versions[named.purpose] = min(versions.get(named.purpose, version), version)
    said = [registry.ledger_days(purpose, version) for purpose, version in versions.items()]
    everywhere = [registry.ledger_days(purpose.id) for purpose in registry.purposes]
    return min((days for days in said if days), default=0) if said else max(everywhere, default=0)


@dataclass(slots=True)
class _Subject:
    """One subject of a sweep: its entries, and which of them may go."""

    key: bytes
    entries: list[Opened]
    since_ms: int
    old: frozenset[int]


def _look_at(tx: Transaction, key: bytes) -> _Subject:
    entries = opened(tx, tx.indices(key))
    days = retention_days(tx.registry, entries)
    since_ms = tx.now_ms - days * DAY_MS if days else 0
    keeps = standing(tx.state(key), since_ms)
    old = {entry.idx for entry in entries if entry.event.time_ms < since_ms and entry.idx not in keeps}
    if entries and entries[-1].kind == "record_erased" and len(old) < len(entries):
        old.discard(entries[-1].idx)  # it goes on with the chain, and would be replaced by another one
    return _Subject(key, entries, since_ms, frozenset(old))


def sweep_person(tx: Transaction, seed: Collection[bytes], permits: Permits) -> int:
    """Erase what is over of these subjects and those that share entries with them; return how many entries went."""
    subjects: dict[bytes, _Subject] = {}
    todo = list(seed)
    while todo:
        key = todo.pop()
        if key not in subjects:
            subjects[key] = _look_at(tx, key)
            todo += [other for entry in subjects[key].entries for other in entry.subjects]
    goes = _agreed(subjects)
    lefts = {key: [entry for entry in s.entries if entry.idx not in goes] for key, s in subjects.items()}
    states = {key: _folded(left) for key, left in lefts.items()}
    touched = [s for s in subjects.values() if len(lefts[s.key]) < len(s.entries)]
    if not all(same_effect(tx.state(s.key), states[s.key], s.since_ms, tx.now_ms) for s in touched):
        return 0  # what one purpose keeps longer would count again without what ended it
    erase_entries(tx, [goes[index] for index in sorted(goes)], RETENTION, permits)
    for subject in touched:
        _rewrite(tx, subject, lefts[subject.key], states[subject.key])
    return len(goes)


def _agreed(subjects: dict[bytes, _Subject]) -> dict[int, Opened]:
    """Return the entries that may go for every subject they are about."""
    entries = {entry.idx: entry for subject in subjects.values() for entry in subject.entries}
    return {
        index: entry
        for index, entry in entries.items()
        if all(key in subjects and index in subjects[key].old for key in entry.subjects)
    }


def _folded(entries: Sequence[Opened]) -> SubjectState:
    state = EMPTY
    for entry in entries:
        state = fold(state, entry.idx, entry.event, entry.private)
    return state


def _rewrite(tx: Transaction, subject: _Subject, left: Sequence[Opened], state: SubjectState) -> None:
    if not left:
        tx.forget_subject(subject.key)  # the ledger knows nothing of this person any more
        return
    row = tx.subject(subject.key)._replace(state=state)
    tx.rewrite(subject.key, row, [entry.idx for entry in left])
    if left[-1] is not subject.entries[-1]:
        # The newest entry went and older ones stand: the count goes on, and a rebuild finds the chain's head.
        body = pb.RecordErased(ground=pb.ERASURE_GROUND_RETENTION, created_ms=tx.now_ms)
        tx.record(pb.Event(record_erased=body), [subject.key])


@dataclass(slots=True)
class Sweep:
    """How far a pass over the log has come; passes begin a day apart. In memory only: a restart begins a pass."""

    next_index: int = 0
    next_pass_ms: int = 0


@dataclass(frozen=True, slots=True)
class Swept:
    """What one step did; ``more``: the pass is not over."""

    erased: int
    announced: int
    more: bool


@dataclass(frozen=True, slots=True)
class SweepWork:
    """One step of erasing by age, and the announcements that are due."""

    sweep: Sweep
    announcing: Announcing = field(default_factory=Announcing)
    page: int = PAGE
    weight: int = 1_024

    def apply(self, tx: Transaction) -> Callable[[Sealed], Swept]:
        """Look at the next entries, as long as they are old enough for any purpose."""
        erased, rows = 0, []
        if tx.now_ms >= self.sweep.next_pass_ms:
            rows = tx.payloads_from(self.sweep.next_index, self.page)
            erased = self._erase(tx, rows)
        more = bool(rows) and self._is_old(tx, rows[-1])
        where = (rows[-1].idx + 1, self.sweep.next_pass_ms) if more else (0, self._next_pass(tx))
        # Announced when the pass is over: the more people at once, the less their order says.
        swept = Swept(erased, 0 if more else announce(tx, self.announcing), more)

        def finish(_sealed: Sealed) -> Swept:
            self.sweep.next_index, self.sweep.next_pass_ms = where
            return swept

        return finish

    def _next_pass(self, tx: Transaction) -> int:
        return tx.now_ms + DAY_MS if tx.now_ms >= self.sweep.next_pass_ms else self.sweep.next_pass_ms

    def _erase(self, tx: Transaction, rows: Sequence[PayloadRow]) -> int:
        seen: set[bytes] = set()
        permits = Permits(tx)
        erased = 0
        for row in rows:
            # A damaged entry keeps what is of the same person where it is, for fsck to name; others have their turn.
            with suppress(RegieError):
                subjects = open_row(row).subjects - seen if self._is_old(tx, row) else frozenset()
                seen |= subjects
                erased += sweep_person(tx, subjects, permits) if subjects else 0
        return erased

    def _is_old(self, tx: Transaction, row: PayloadRow) -> bool:
        """Tell whether an entry may be over, and those after it as well; a damaged one is passed by."""
        try:
            return open_row(row).event.time_ms < tx.now_ms - SHORTEST_RETENTION_DAYS * DAY_MS
        except RegieError:
            return True
