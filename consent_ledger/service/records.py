"""What the ledger holds about one resident, for that resident: choices, and every exchange with its exact reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from consent_ledger.registry import Registry
from consent_ledger.service.entries import Row, open_entries, states_of
from consent_ledger.service.exchanges import Page, page_of, tell
from consent_ledger.service.loop import complete_choice, notices_of, questions_of
from consent_ledger.state import Choice, SubjectState
from consent_ledger.storage.ports import Snapshot
from consent_ledger.v1 import consents_pb2 as out
from consent_ledger.v1 import events_pb2 as pb


def record_of(
    snapshot: Snapshot, registry: Registry, rows: Sequence[Row], now_ms: int, page: Page
) -> out.GetRecordResponse:
    """Return everything about these rows, and one page of their exchanges, newest first."""
    states = states_of(snapshot, rows)
    response = out.GetRecordResponse(choices=_choices(snapshot, registry, states, now_ms))
    response.questions.extend(questions_of(snapshot, states, now_ms))
    response.notices.extend(notices_of(snapshot, states, now_ms))
    _add_pause(response, states.values(), now_ms)
    contacts = [state.contact for state in states.values() if state.contact]
    if contacts:
        response.preferences.CopyFrom(max(contacts, key=lambda contact: contact.idx).to_proto())
    decided, response.next_before_index = page_of(snapshot, rows, page)
    response.exchanges.extend(tell(snapshot, registry, states, decided, now_ms))
    return response


def _choices(
    snapshot: Snapshot, registry: Registry, states: Mapping[Row, SubjectState], now_ms: int
) -> list[out.ChoiceRecord]:
    """One record per choice, however many rows (identifier schemes) hold it; newest first."""
    found: dict[tuple[int, str, str, str], out.ChoiceRecord] = {}
    for row, state in states.items():
        for (sender, recipient), choice in state.choices.items():
            record = _choice(row.purpose, sender, recipient, choice)
            waits = choice.confirmable_ms and not choice.withdrawn_ms and now_ms < choice.valid_from_ms
            record.awaits_confirmation = bool(waits)
            complete_choice(record, state, choice, registry.find_purpose(row.purpose), now_ms)
            found[choice.idx, row.purpose, sender, recipient] = record
    entries = open_entries(snapshot, sorted({key[0] for key in found}))
    for (index, *_), record in found.items():
        if index in entries:
            body = getattr(entries[index].event, entries[index].kind)
            record.captured_via = body.capture.via
            if entries[index].kind == "consent_granted":
                record.occasion = body.occasion
    return [found[key] for key in sorted(found, reverse=True)]


def _choice(purpose: str, sender: str, recipient: str, choice: Choice) -> out.ChoiceRecord:
    return out.ChoiceRecord(
        scope=pb.Scope(sender=sender, recipient=recipient, purpose=purpose, purpose_version=choice.purpose_version),
        mode=choice.mode,  # type: ignore[arg-type]  # a number of the enum
        items=choice.items,
        threshold=choice.threshold,
        valid_from_ms=choice.valid_from_ms,
        valid_until_ms=choice.valid_until_ms,
        withdrawn_ms=choice.withdrawn_ms,
        withdrawn_index=choice.withdrawn_index or 0,
        recorded_ms=choice.recorded_ms,
        log_index=choice.idx,
    )


def _add_pause(response: out.GetRecordResponse, states: Iterable[SubjectState], now_ms: int) -> None:
    pauses = [state.pause for state in states if state.pause and state.paused(now_ms)]
    if pauses:
        newest = max(pauses, key=lambda pause: pause.idx)
        response.paused_since_ms, response.paused_until_ms = newest.since_ms, newest.until_ms
