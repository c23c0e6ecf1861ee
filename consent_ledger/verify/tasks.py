"""Tasks of organisations as the log tells them: who is asked what, and whether it says that it is done (R5, R21).

``TaskFacts`` is what the table ``task`` should say. ``TaskJudge`` judges the events: an answer or acknowledgement
belongs to what it names, a question to the exchange it is about, and after every choice that stops something delivered
come exactly the notices that ``stopuse.notices_due`` says, at once and in its order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from consent_ledger import questions
from consent_ledger.registry import Registry
from consent_ledger.stopuse import notices_due
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify.exchanges import Exchanges
from consent_ledger.verify.subjects import Subject, Subjects
from consent_ledger.verify.walk import Opened

KINDS = frozenset({"question_asked", "question_answered", "stop_use_noticed", "notice_acknowledged"})
REPORTS = frozenset({"question_answered", "notice_acknowledged"})
ASKS = frozenset({"question_asked", "stop_use_noticed"})


class TaskFact(NamedTuple):
    """A task and the leaf that says it is done (-1: none)."""

    kind: str
    organisation: str
    due_ms: int
    subjects: frozenset[bytes]
    name: bytes  # of a question
    done: int = -1


class TaskFacts:
    """All tasks while the log is read in order, by the index of the leaf that asks."""

    def __init__(self) -> None:
        """Begin with none."""
        self.all: dict[int, TaskFact] = {}

    def add(self, index: int, event: pb.Event, private: pb.PrivatePart) -> str | None:
        """Take in an event of KINDS; return what is wrong with what it names (None: nothing, "" : nobody can tell)."""
        subjects = frozenset(link.subject for link in private.links)
        match event.WhichOneof("body"):
            case "question_asked":
                asked = event.question_asked
                fact = TaskFact("question", asked.organisation, asked.due_ms, subjects, asked.question_id)
                self.all[index] = fact
                return None
            case "stop_use_noticed":
                noticed = event.stop_use_noticed
                self.all[index] = TaskFact("notice", noticed.recipient, noticed.due_ms, subjects, b"")
                return None
            case "question_answered":
                answer = event.question_answered
                told = TaskFact("question", answer.organisation, 0, subjects, answer.question_id)
                return self._done(index, answer.asked_index, told)
            case _:
                said = event.notice_acknowledged
                return self._done(index, said.noticed_index, TaskFact("notice", said.recipient, 0, subjects, b""))

    def _done(self, index: int, asked: int, told: TaskFact) -> str | None:
        fact = self.all.get(asked)
        if fact is None:
            return ""
        if fact.done >= 0:
            return f"reports on what leaf {fact.done} reported on already"
        self.all[asked] = fact._replace(done=index)
        if told._replace(due_ms=fact.due_ms) != fact:
            return f"differs from the {fact.kind} it names, leaf {asked}"
        return None


def named_by(event: pb.Event) -> int:
    """Return the leaf that a report names."""
    if event.HasField("question_answered"):
        return event.question_answered.asked_index
    return event.notice_acknowledged.noticed_index


class TaskJudge:
    """Judges that notices come where they must, and nowhere else."""

    def __init__(self) -> None:
        """Begin with nothing due."""
        self._due: dict[bytes, deque[tuple[int, pb.StopUseNoticed]]] = {}  # by subject: what stopped it, and the notice

    def after(self, item: Opened, subjects: Sequence[Subject], registry: Registry) -> None:
        """Note which notices a choice that was just folded leads to."""
        for link, subject in zip(item.private.links, subjects, strict=True):
            notices = notices_due(registry, subject.state, item.event)
            if notices:
                self._due[link.subject] = deque((item.idx, notice) for notice in notices)

    def before(self, event: pb.Event, private: pb.PrivatePart, subjects: Sequence[Subject]) -> str:
        """Return what is wrong with an event that is about to be folded, as far as notices go; empty for nothing."""
        if event.HasField("stop_use_noticed"):
            return self._noticed(event, private, subjects)
        if not self._due:
            return ""
        for link, subject in zip(private.links, subjects, strict=True):
            due = self._due.pop(link.subject, None)
            if due and subject.gone_before < 0:  # else one that is erased may have been among what is gone
                return f"expected StopUseNoticed, because of leaf {due[0][0]}"
        return ""

    def _noticed(self, event: pb.Event, private: pb.PrivatePart, subjects: Sequence[Subject]) -> str:
        if len(subjects) != 1:
            return f"expected one subject, got {len(subjects)}"
        key, subject = private.links[0].subject, subjects[0]
        due = self._due.get(key)
        while due:
            because, notice = due.popleft()
            if not due:
                del self._due[key]
            if notice == event.stop_use_noticed and list(private.decided_by) == [because]:
                return ""
            if subject.gone_before < 0:
                return f"expected the notice that leaf {because} leads to"
        return "" if subject.gap is not None else "tells to stop what no choice stopped"

    def overdue(self) -> list[int]:
        """Return the leaves of choices whose notices never came, at the end of the log."""
        return sorted(due[0][0] for due in self._due.values())


def wrong_question(item: Opened, exchanges: Exchanges, subjects: Subjects) -> str:
    """Return in what a question is not one that could be asked; an exchange that is gone is compared with nothing."""
    body = item.event.question_asked
    if body.due_ms != questions.due_ms(item.event.time_ms):
        return f"due: expected {questions.due_ms(item.event.time_ms)}, got {body.due_ms}"
    about = body.about_index
    if not about:
        return "" if not body.batch_id else "names a batch, and no decision in it"
    permit = exchanges.permits.get(about)
    if permit is None:
        batch = exchanges.batches.get((body.organisation, body.batch_id))
        known = batch is not None and any(index == about for index, _ in batch.listed())
        gone = subjects.gone_between(about - 1, about + 1)
        return "" if known or gone else f"is about leaf {about}, which this organisation does not know of"
    asked = permit.asked.request
    knows = body.organisation == asked.sender or (body.organisation == asked.recipient and permit.released >= 0)
    own = permit.subject in {link.subject for link in item.private.links}
    same = (permit.batch_id, permit.position) == (body.batch_id, body.position)
    return "" if knows and own and same else f"differs from the exchange it is about, leaf {about}"
