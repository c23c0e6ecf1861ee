"""From one event of the log to what changes in the console's tables: pure, so that a rebuilt index is the same index.

No salt, payload, sealed text or subject leaves this module: a resident is HMAC(key, subject) from here on.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from typing import NamedTuple

from consent_ledger.events import erased_indices
from consent_ledger.v1 import events_pb2 as pb
from gateway.auditor.index import states

_STAFF = frozenset({pb.CAPTURED_VIA_DESK, pb.CAPTURED_VIA_PAPER, pb.CAPTURED_VIA_PHONE})
_CHOICES = frozenset(
    {
        "consent_granted",
        "consent_refused",
        "consent_withdrawn",
        "sharing_paused",
        "sharing_resumed",
        "ask_answered",
        "preferences_set",
        "grant_confirmed",
    }
)


class Decided(NamedTuple):
    """A decision on one signal."""

    idx: int
    time_ms: int
    route: tuple[str, str, str, int, str]  # sender, recipient, purpose, version, items
    reason: int
    state: int
    resident: bytes
    outcome: int
    trace_id: bytes
    decided_by: str


class Moved(NamedTuple):
    """What became of a decision; ``named`` is the decision, or with ``by_release`` its release."""

    named: int
    by_release: bool
    state: int
    idx: int
    time_ms: int
    reason: int = 0
    channel: int = 0
    deviations: str = ""


class Linked(NamedTuple):
    """An entry is about a resident, at a place of that resident's chain."""

    resident: bytes
    seq: int
    idx: int


class Acted(NamedTuple):
    """A choice or a refused attempt: a row of ``Act``."""

    idx: int
    time_ms: int
    kind: str
    via: int
    by: str
    resident: bytes
    sender: str = ""
    recipient: str = ""
    purpose: str = ""
    mode: int = 0
    proven: bool = False
    language: str = ""
    refused: str = ""


class Confirmed(NamedTuple):
    """The resident confirmed a grant of the desk."""

    granted_idx: int
    idx: int


class Asked(NamedTuple):
    """An organisation is asked to do something: a row of ``Task``."""

    idx: int
    time_ms: int
    kind: str
    organisation: str
    purpose: str
    about_idx: int | None
    resident: bytes
    due_ms: int


class Done(NamedTuple):
    """An organisation reported on what it was asked."""

    task_idx: int
    idx: int
    time_ms: int
    how: int = 0


class Looked(NamedTuple):
    """An auditor looked: a row of ``Access``."""

    idx: int
    time_ms: int
    auditor: str
    person: str
    matter: str
    page: str
    act: int
    query: bytes
    about_idx: int | None


class Gone(NamedTuple):
    """Entries were erased, as the log announces at ``idx``."""

    indices: tuple[int, ...]
    idx: int
    ground: str


Change = Decided | Moved | Linked | Acted | Confirmed | Asked | Done | Looked | Gone


def resident_of(key: bytes, subject: bytes) -> bytes:
    """Return the console's own number of a subject, 16 bytes; without the key nobody gets from one to the other."""
    return hmac.digest(key, b"regie/audit/resident/v1" + subject, "sha256")[:16]


def fold_public(index: int, event: pb.PublicEvent) -> Iterator[Change]:
    """Yield what a public event changes."""
    if event.HasField("entry_erased"):
        yield Gone(erased_indices(event.entry_erased), index, event.entry_erased.ground)


def fold(index: int, event: pb.Event, private: pb.PrivatePart, key: bytes) -> Iterator[Change]:
    """Yield what a committed event changes; ``key`` is the console's own."""
    resident = b""
    for link in private.links:
        resident = resident_of(key, link.subject)
        yield Linked(resident, link.subject_seq, index)
    name = event.WhichOneof("body")
    match name:
        case "exchange_decided":
            yield _decided(index, event, private, resident)
        case "exchange_released" | "exchange_withheld" | "exchange_acknowledged" | "outcome_reported":
            yield _moved(index, event, private)
        case "attempt_refused":
            yield _attempt(index, event, resident)
        case "audit_accessed":
            yield _looked(index, event)
        case "question_asked" | "question_answered" | "stop_use_noticed" | "notice_acknowledged":
            yield _task(index, event, resident)
        case _ if name in _CHOICES:
            yield _acted(index, event, str(name), resident)
            if name == "grant_confirmed":
                yield Confirmed(event.grant_confirmed.granted_index, index)


def _decided(index: int, event: pb.Event, private: pb.PrivatePart, resident: bytes) -> Decided:
    body = event.exchange_decided
    return Decided(
        idx=index,
        time_ms=event.time_ms,
        route=(body.sender, body.recipient, body.purpose, body.purpose_version, " ".join(sorted(body.items))),
        reason=private.reason,
        state=states.WAITING if body.permitted else states.REFUSED,
        resident=resident,
        outcome=body.outcome,
        trace_id=body.trace_id,
        decided_by=" ".join(map(str, private.decided_by)),
    )


def _moved(index: int, event: pb.Event, private: pb.PrivatePart) -> Moved:
    time_ms = event.time_ms
    if event.HasField("exchange_released"):
        return Moved(event.exchange_released.decided_index, False, states.RELEASED, index, time_ms)
    if event.HasField("exchange_withheld"):
        named = event.exchange_withheld.decided_index
        return Moved(named, False, states.WITHHELD, index, time_ms, private.reason)
    if event.HasField("exchange_acknowledged"):
        return Moved(event.exchange_acknowledged.released_index, True, states.ACKNOWLEDGED, index, time_ms)
    body = event.outcome_reported
    return Moved(
        body.released_index,
        True,
        states.DEVIATED if body.deviation else states.REPORTED,
        index,
        time_ms,
        channel=body.channel,
        deviations=" ".join(map(str, body.deviations)),
    )


def _acted(index: int, event: pb.Event, name: str, resident: bytes) -> Acted:
    body = getattr(event, name)
    scope = body.scope if "scope" in body.DESCRIPTOR.fields_by_name else pb.Scope()
    capture = body.capture
    return Acted(
        idx=index,
        time_ms=event.time_ms,
        kind=name,
        via=capture.via,
        by=capture.by if capture.via in _STAFF else "",
        resident=resident,
        sender=scope.sender,
        recipient=scope.recipient,
        purpose=scope.purpose,
        mode=event.consent_granted.mode,
        proven=bool(capture.presence_proof),
        language=capture.language,
    )


def _attempt(index: int, event: pb.Event, resident: bytes) -> Acted:
    body = event.attempt_refused
    return Acted(
        idx=index,
        time_ms=event.time_ms,
        kind=body.what,
        via=body.capture.via,
        by=body.capture.by if body.capture.via in _STAFF else "",
        resident=resident,
        sender=body.scope.sender,
        recipient=body.scope.recipient,
        purpose=body.scope.purpose,
        refused=body.reason,
    )


def _task(index: int, event: pb.Event, resident: bytes) -> Asked | Done:
    time_ms = event.time_ms
    if event.HasField("question_asked"):
        asked = event.question_asked
        about = asked.about_index or None
        return Asked(index, time_ms, "question", asked.organisation, asked.purpose, about, resident, asked.due_ms)
    if event.HasField("question_answered"):
        return Done(event.question_answered.asked_index, index, time_ms)
    if event.HasField("stop_use_noticed"):
        notice = event.stop_use_noticed
        first = notice.released[0] if notice.released else None
        return Asked(index, time_ms, "stop_use", notice.recipient, notice.purpose, first, resident, notice.due_ms)
    done = event.notice_acknowledged
    return Done(done.noticed_index, index, time_ms, done.how)


def _looked(index: int, event: pb.Event) -> Looked:
    body = event.audit_accessed
    return Looked(
        idx=index,
        time_ms=event.time_ms,
        auditor=body.auditor,
        person=body.person,
        matter=body.case,
        page=body.page,
        act=body.act,
        query=body.query,
        about_idx=body.about - 1 if body.about else None,
    )
