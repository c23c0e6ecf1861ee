"""What is asked of an organisation: questions of residents to answer, stop-use notices to acknowledge.

The list comes through the gateway, sealed to this organisation and signed by the ledger; what is done about it goes
back sealed to the ledger. The gateway learns neither how much is asked nor what was answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from consent_ledger import questions
from consent_ledger.errors import RegieError
from consent_ledger.service.validation import parse
from consent_ledger.v1 import consents_pb2, decisions_pb2, events_pb2
from gateway.crypto import hpke, signatures
from gateway.crypto.ledger_side import INFO_TASK, INFO_TASKS
from gateway.sdk import inbox
from gateway.sdk.agency import Agency
from gateway.sdk.remote import patiently
from gateway.v1 import exchange_pb2

LABEL_QUERY = b"regie/s/tasks/v1"
LABEL_LIST = b"regie/s/tasklist/v1"
LABEL_REPORT = b"regie/s/task/v1"
PATIENCE_SECONDS = 10.0
REPORT_BYTES = 12_288
"""Every report has this size, so that an answer and an acknowledgement look alike."""
STOP_USES: dict[str, events_pb2.StopUse.ValueType] = {
    "stopped": events_pb2.STOP_USE_STOPPED,
    "deleted": events_pb2.STOP_USE_DELETED,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A resident's question. ``delivery_id`` names the signal it is about, empty for none.

    ``text`` is None when it was sealed to a key that this organisation has no more.
    """

    log_index: int
    reference: str
    purpose: str
    delivery_id: str
    asked_ms: int
    due_ms: int
    answered_ms: int
    question_id: bytes = field(repr=False)
    text: str | None = field(repr=False)
    language: str = ""

    def values(self, now_ms: int) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return {
            "log_index": self.log_index,
            "reference": self.reference,
            "purpose": self.purpose,
            "delivery_id": self.delivery_id or None,
            "text": self.text,
            "language": self.language or "nl",
            "asked_ms": self.asked_ms,
            "due_ms": self.due_ms,
            "answered_ms": self.answered_ms or None,
            "overdue": (self.answered_ms or now_ms) > self.due_ms,
        }


@dataclass(frozen=True, slots=True)
class Notice:
    """Signals whose use must stop: the resident no longer allows it. Why is not told."""

    log_index: int
    sender: str
    purpose: str
    delivery_ids: tuple[str, ...]
    noticed_ms: int
    due_ms: int
    acknowledged_ms: int

    def values(self, now_ms: int) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return {
            "log_index": self.log_index,
            "sender": self.sender,
            "purpose": self.purpose,
            "delivery_ids": list(self.delivery_ids),
            "noticed_ms": self.noticed_ms,
            "due_ms": self.due_ms,
            "acknowledged_ms": self.acknowledged_ms or None,
            "overdue": (self.acknowledged_ms or now_ms) > self.due_ms,
        }


class Tasks:
    """Lists and reports on what is asked of one organisation."""

    def __init__(self, agency: Agency) -> None:
        """Work for this agency."""
        self._agency = agency
        self._private = hpke.PrivateKey.from_bytes(agency.organisation.key("hpke"))

    async def questions(self, *, everything: bool = False) -> list[Asked]:
        """Return questions that wait for an answer, oldest first; with ``everything``, also answered ones."""
        return [self._asked(task) for task in await self._list(everything=everything) if task.HasField("question")]

    async def notices(self, *, everything: bool = False) -> list[Notice]:
        """Return stop-use notices to acknowledge, oldest first; with ``everything``, also acknowledged ones."""
        tasks = await self._list(everything=everything)
        return [_notice(task) for task in tasks if task.HasField("stop_use")]

    async def answer(self, reference: str, text: str, *, language: str = "nl") -> int:
        """Answer a question by its reference (or its log index), sealed to the viewer; returns the log index.

        Raises RegieError FIELD_INVALID when no open question has this reference, or several have, or the text is empty
        or too long.
        """
        asked = _the_one(await self.questions(), reference)
        registry = await self._agency.registry()
        key = registry.operator("viewer").key("hpke")
        sealed = seal_text(key.public, questions.INFO_ANSWER + asked.question_id, text, language, field_name="text")
        answer = decisions_pb2.SealedAnswer(sealed=sealed, viewer_key_id=key.key_id)
        return await self._report(decisions_pb2.TaskReport(log_index=asked.log_index, answer=answer))

    async def acknowledge(self, log_index: int, *, how: str) -> int:
        """Say that the use of what a notice names has stopped; returns the log index.

        What of it still waits in this organisation's inbox is handed over no more: first that, then it is said.
        ``how`` is "stopped" or "deleted". Raises RegieError FIELD_INVALID for another, ENTRY_UNKNOWN for no such task.
        """
        if how not in STOP_USES:
            raise RegieError("FIELD_INVALID", f"expected one of {', '.join(STOP_USES)}", "how")
        found = [one for one in await self.notices(everything=True) if one.log_index == log_index]
        await inbox.stop(self._agency.organisation, [name for notice in found for name in notice.delivery_ids])
        return await self._report(decisions_pb2.TaskReport(log_index=log_index, stop_use=STOP_USES[how]))

    async def _list(self, *, everything: bool) -> list[decisions_pb2.Task]:
        found: list[decisions_pb2.Task] = []
        more = True
        while more:
            page = await self._page(found[-1].log_index if found else 0, everything=everything)
            found += page.tasks
            more = page.more and bool(page.tasks)
        return found

    async def _page(self, after: int, *, everything: bool) -> decisions_pb2.TaskList:
        agency = self._agency
        query = decisions_pb2.TaskQuery(
            nonce=agency.rng(32),
            time_ms=agency.clock(),
            organisation=agency.oin,
            key_id=(await agency.me()).key("sign").key_id,
            after_index=after,
            all=everything,
        )
        data = query.SerializeToString(deterministic=True)
        request = decisions_pb2.ListTasksRequest(query=data, signature=self._sign(LABEL_QUERY, sha256(data).digest()))
        message = exchange_pb2.ListTasksRequest(list=request)
        answer = (await patiently(lambda: agency.remote.list_tasks(message), PATIENCE_SECONDS, agency.pause)).list
        ledger = (await agency.registry()).operator("ledger").key("sign").public
        digests = sha256(data).digest(), sha256(answer.sealed).digest()
        signatures.verify(ledger, LABEL_LIST, answer.signature, *digests)
        content = hpke.open_(self._private, INFO_TASKS + query.nonce, answer.sealed, field_name="list.sealed")
        return parse(decisions_pb2.TaskList, content, "list")

    async def _report(self, report: decisions_pb2.TaskReport) -> int:
        agency = self._agency
        registry = await agency.registry()
        report.padding = bytes(max(0, REPORT_BYTES - report.ByteSize()))
        info = INFO_TASK + agency.oin.encode()
        sealed = hpke.seal(registry.operator("ledger").key("hpke").public, info, report.SerializeToString())
        request = decisions_pb2.ReportTaskRequest(
            sealed=sealed,
            organisation=agency.oin,
            key_id=registry.participant(agency.oin).key("sign").key_id,
            signature=self._sign(LABEL_REPORT, sha256(sealed).digest()),
        )
        message = exchange_pb2.ReportTaskRequest(report=request)
        answer = await patiently(lambda: agency.remote.report_task(message), PATIENCE_SECONDS, agency.pause)
        return int(answer.log_index)

    def _sign(self, label: bytes, digest: bytes) -> bytes:
        return signatures.sign(signatures.signing_key(self._agency.organisation.key("sign")), label, digest)

    def _asked(self, task: decisions_pb2.Task) -> Asked:
        question = task.question
        said = self._read(question)
        return Asked(
            log_index=task.log_index,
            reference=questions.reference(question.question_id),
            purpose=question.purpose,
            delivery_id=f"{question.batch_id.hex()}-{question.position}" if question.batch_id else "",
            asked_ms=task.time_ms,
            due_ms=task.due_ms,
            answered_ms=task.done_ms,
            question_id=question.question_id,
            text=said.text if said else None,
            language=said.language if said else "",
        )

    def _read(self, question: decisions_pb2.QuestionTask) -> consents_pb2.QuestionText | None:
        if question.key_id != self._private.key_id:
            return None
        try:
            return open_text(self._private, questions.INFO_QUESTION + question.question_id, question.sealed)
        except RegieError:
            return None  # what the viewer sealed is no question: it is listed, so that somebody looks


def seal_text(public: bytes, info: bytes, text: str, language: str, *, field_name: str) -> bytes:
    """Seal a question or an answer as QuestionText; its length does not show. Raises RegieError FIELD_INVALID."""
    message = consents_pb2.QuestionText(text=text.strip(), language=language)
    parse(consents_pb2.QuestionText, message.SerializeToString(), field_name)
    message.padding = bytes(questions.TEXT_BYTES - message.ByteSize() - 3)  # 3: its own tag and length
    return hpke.seal(public, info, message.SerializeToString())


def open_text(private: hpke.PrivateKey, info: bytes, sealed: bytes) -> consents_pb2.QuestionText:
    """Open a question or an answer; raises RegieError SEALED_PART_INVALID or FIELD_INVALID."""
    return parse(consents_pb2.QuestionText, hpke.open_(private, info, sealed, field_name="sealed"), "text")


def _notice(task: decisions_pb2.Task) -> Notice:
    notice = task.stop_use
    return Notice(
        log_index=task.log_index,
        sender=notice.sender,
        purpose=notice.purpose,
        delivery_ids=tuple(f"{signal.batch_id.hex()}-{signal.position}" for signal in notice.signals),
        noticed_ms=task.time_ms,
        due_ms=task.due_ms,
        acknowledged_ms=task.done_ms,
    )


def _the_one(asked: Sequence[Asked], name: str) -> Asked:
    found = [one for one in asked if questions.same_reference(name, one.question_id) or name == str(one.log_index)]
    if len(found) != 1:
        what = "no open question has this reference" if not found else "several have it: name it by its log_index"
        raise RegieError("FIELD_INVALID", f"{what}, see `regie question list`", "reference")
    return found[0]
