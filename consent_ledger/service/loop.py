"""What runs between a resident and organisations, as the resident sees it: questions, stop-use notices, what comes.

Questions and notices are found by the subjects' states, which name them; a page reads their entries in two questions
however many there are.
"""

from __future__ import annotations

from collections.abc import Mapping

from consent_ledger import questions, upcoming
from consent_ledger.purpose import Purpose
from consent_ledger.service.entries import Entry, Row, open_entries
from consent_ledger.state import QUESTION, STOP_USE, Choice, SubjectState, Task
from consent_ledger.storage.ports import Snapshot
from consent_ledger.v1 import consents_pb2 as out
from consent_ledger.v1 import events_pb2 as pb

States = Mapping[Row, SubjectState]


def questions_of(snapshot: Snapshot, states: States, now_ms: int) -> list[out.QuestionRecord]:
    """Return the resident's questions with their answers, newest first."""
    tasks, entries = _tasks(snapshot, states, QUESTION)
    return [_question(task, entries, now_ms) for task in tasks if task.idx in entries]


def notices_of(snapshot: Snapshot, states: States, now_ms: int) -> list[out.NoticeRecord]:
    """Return the stop-use notices that the resident's choices led to, newest first."""
    tasks, entries = _tasks(snapshot, states, STOP_USE)
    return [_notice(task, entries, now_ms) for task in tasks if task.idx in entries]


def _tasks(snapshot: Snapshot, states: States, kind: int) -> tuple[list[Task], dict[int, Entry]]:
    """Return the tasks of a kind, newest first and each once, with the entries that ask and report."""
    found = {task.idx: task for state in states.values() for task in state.tasks if task.kind == kind}
    wanted = {index for task in found.values() for index in (task.idx, task.done_idx) if index is not None}
    return [found[index] for index in sorted(found, reverse=True)], open_entries(snapshot, sorted(wanted))


def _question(task: Task, entries: Mapping[int, Entry], now_ms: int) -> out.QuestionRecord:
    entry = entries[task.idx]
    body = entry.event.question_asked
    record = out.QuestionRecord(
        log_index=task.idx,
        question_id=body.question_id,
        reference=questions.reference(body.question_id),
        organisation=body.organisation,
        purpose=body.purpose,
        about_index=body.about_index,
        asked_ms=entry.event.time_ms,
        due_ms=task.due_ms,
        answered_ms=task.done_ms,
        answered_index=task.done_idx or 0,
        overdue=_overdue(task, now_ms),
        sealed_question=body.sealed_viewer,
        question_key_id=body.viewer_key_id,
    )
    if task.done_idx is not None and task.done_idx in entries:
        answer = entries[task.done_idx].event.question_answered
        record.sealed_answer, record.answer_key_id = answer.sealed, answer.viewer_key_id
    return record


def _notice(task: Task, entries: Mapping[int, Entry], now_ms: int) -> out.NoticeRecord:
    entry = entries[task.idx]
    body = entry.event.stop_use_noticed
    record = out.NoticeRecord(
        log_index=task.idx,
        recipient=body.recipient,
        sender=body.sender,
        purpose=body.purpose,
        released=body.released,
        because_index=next(iter(entry.private.decided_by), 0),
        noticed_ms=entry.event.time_ms,
        due_ms=task.due_ms,
        acknowledged_ms=task.done_ms,
        overdue=_overdue(task, now_ms),
    )
    if task.done_idx is not None and task.done_idx in entries:
        record.how = entries[task.done_idx].event.notice_acknowledged.how
    return record


def _overdue(task: Task, now_ms: int) -> bool:
    return (task.done_ms or now_ms) > task.due_ms


def complete_choice(
    record: out.ChoiceRecord, state: SubjectState, choice: Choice, purpose: Purpose | None, now_ms: int
) -> None:
    """Add what a choice leads to as time goes by: its end, quiet after a no, an open question, a window."""
    record.ends_within_days = upcoming.ends_within_days(choice, now_ms)
    record.quiet_until_ms = upcoming.quiet_until_ms(choice, now_ms)
    if purpose is None:
        return
    asked = upcoming.asked(choice, purpose, now_ms)
    if asked is not None:
        record.asked.CopyFrom(
            out.AskRecord(
                log_index=asked.idx,
                opened_ms=asked.opened_ms,
                deadline_ms=asked.deadline_ms,
                answered_ms=asked.answered_ms,
                yes=asked.yes,
                open=asked.open and not state.paused(now_ms),
            )
        )
    window = choice.window
    if choice.mode == pb.MODE_EERST_ZELF and window is not None:
        record.self_first.CopyFrom(
            out.SelfFirstRecord(
                log_index=window.idx,
                opened_ms=window.opened_ms,
                self_until_ms=upcoming.self_until_ms(window, purpose),
                report_until_ms=upcoming.report_until_ms(window, purpose),
                solved=upcoming.solved(window, purpose, now_ms),
            )
        )


def tell_of_use(record: out.ExchangeRecord, notices: Mapping[int, out.NoticeRecord]) -> None:
    """Add to a released exchange that its recipient was told to stop; ``notices`` by the index of the release."""
    notice = notices.get(record.released_index)
    if notice is not None:
        record.stop_use_noticed_ms, record.stop_use_acknowledged_ms = notice.noticed_ms, notice.acknowledged_ms


def by_release(notices: list[out.NoticeRecord]) -> dict[int, out.NoticeRecord]:
    """Return notices by the index of each release they are about."""
    return {index: notice for notice in notices for index in notice.released}


def solved_by_self(entry: Entry, states: States, purpose: Purpose | None, now_ms: int) -> bool:
    """Tell of a signal that had to wait (EERST_ZELF) whether the resident solved it: nothing shared, nothing again."""
    if entry.private.reason != pb.REASON_SELF_FIRST_WINDOW or purpose is None:
        return False
    body, subjects = entry.event.exchange_decided, {link.subject for link in entry.private.links}
    for row, state in states.items():
        if row.subject in subjects:
            choice = state.choices.get((body.sender, body.recipient))
            # Either it opened the window itself, or names the window among what decided.
            openers = {entry.idx, *entry.private.decided_by}
            if any(upcoming.solved_window(state, choice, purpose, index, now_ms) for index in openers):
                return True
    return False
