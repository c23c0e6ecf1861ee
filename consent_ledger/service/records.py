"""What the ledger holds about one resident, for that resident: choices, and every exchange with its exact reason."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from consent_ledger import texts
from consent_ledger.registry import Registry
from consent_ledger.service.reasondate import reason_date
from consent_ledger.state import EMPTY, SubjectState
from consent_ledger.storage.ports import Snapshot
from consent_ledger.v1 import consents_pb2 as out
from consent_ledger.v1 import events_pb2 as pb

_CHUNK = 256
_DEFAULT_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Row:
    """One subject of the resident, and the purpose it is of."""

    purpose: str
    subject: bytes


@dataclass(slots=True)
class _FollowUps:
    """What came after decisions; filled newest first, so that a decision finds its own when it is reached."""

    released: dict[int, int] = field(default_factory=dict)  # decided index -> released index
    withheld: dict[int, tuple[pb.Event, pb.PrivatePart]] = field(default_factory=dict)  # by decided index
    acknowledged: dict[int, int] = field(default_factory=dict)  # released index -> time
    outcomes: dict[int, pb.OutcomeReported] = field(default_factory=dict)  # by released index, the newest

    def note(self, index: int, event: pb.Event, private: pb.PrivatePart) -> None:
        """Remember an event that follows up a decision; ignores all others."""
        match event.WhichOneof("body"):
            case "exchange_released":
                self.released[event.exchange_released.decided_index] = index
            case "exchange_withheld":
                self.withheld[event.exchange_withheld.decided_index] = (event, private)
            case "exchange_acknowledged":
                self.acknowledged[event.exchange_acknowledged.released_index] = event.time_ms
            case "outcome_reported":
                self.outcomes.setdefault(event.outcome_reported.released_index, event.outcome_reported)


def record_of(
    snapshot: Snapshot, registry: Registry, rows: Sequence[Row], now_ms: int, *, limit: int, before_index: int
) -> out.GetRecordResponse:
    """Return everything about these rows; exchanges newest first, at most ``limit`` (0: 100) below ``before_index``."""
    states = [(row, _state(snapshot, row)) for row in rows]
    response = out.GetRecordResponse(choices=_choices(states))
    _add_pause(response, (state for _, state in states), now_ms)
    contacts = [state.contact for _, state in states if state.contact]
    if contacts:
        response.preferences.CopyFrom(max(contacts, key=lambda contact: contact.idx).to_proto())
    wanted = limit or _DEFAULT_LIMIT
    teller = _Teller(snapshot, registry)
    found = [teller.exchanges(row.subject, before_index, wanted) for row in rows]
    merged = {record.log_index: record for records in found for record in records}
    response.exchanges.extend(sorted(merged.values(), key=lambda record: -record.log_index)[:wanted])
    return response


def _state(snapshot: Snapshot, row: Row) -> SubjectState:
    found = snapshot.subject(row.subject)
    return found.state if found else EMPTY


def _choices(states: Iterable[tuple[Row, SubjectState]]) -> list[out.ChoiceRecord]:
    """One record per choice, however many rows (identifier schemes) hold it; newest first."""
    found: dict[tuple[int, str, str, str], out.ChoiceRecord] = {}
    for row, state in states:
        for (sender, recipient), choice in state.choices.items():
            found[choice.idx, row.purpose, sender, recipient] = out.ChoiceRecord(
                scope=pb.Scope(
                    sender=sender, recipient=recipient, purpose=row.purpose, purpose_version=choice.purpose_version
                ),
                mode=choice.mode,  # type: ignore[arg-type]  # a number of the enum
                items=choice.items,
                valid_from_ms=choice.valid_from_ms,
                valid_until_ms=choice.valid_until_ms,
                withdrawn_ms=choice.withdrawn_ms,
                recorded_ms=choice.recorded_ms,
                log_index=choice.idx,
            )
    return [found[key] for key in sorted(found, reverse=True)]


def _add_pause(response: out.GetRecordResponse, states: Iterable[SubjectState], now_ms: int) -> None:
    pauses = [state.pause for state in states if state.pause and state.paused(now_ms)]
    if pauses:
        newest = max(pauses, key=lambda pause: pause.idx)
        response.paused_since_ms, response.paused_until_ms = newest.since_ms, newest.until_ms


def _events(snapshot: Snapshot, subject: bytes) -> Iterator[tuple[int, pb.Event, pb.PrivatePart]]:
    """Yield a subject's events that are not erased, newest first."""
    indices = snapshot.subject_indices(subject)
    while chunk := list(itertools.islice(indices, _CHUNK)):
        payloads = snapshot.payloads(chunk)
        for index in chunk:
            if index in payloads:
                payload = payloads[index]
                yield index, pb.Event.FromString(payload.event), pb.PrivatePart.FromString(payload.private)


@dataclass(frozen=True, slots=True)
class _Teller:
    """Tells exchanges from events, in one consistent state of the ledger."""

    snapshot: Snapshot
    registry: Registry

    def exchanges(self, subject: bytes, before_index: int, limit: int) -> list[out.ExchangeRecord]:
        """Walk a subject's events from the newest: what followed a decision comes before it."""
        after = _FollowUps()
        records: list[out.ExchangeRecord] = []
        for index, event, private in _events(self.snapshot, subject):
            if event.WhichOneof("body") != "exchange_decided":
                after.note(index, event, private)
            elif not before_index or index < before_index:
                records.append(self._exchange(index, event, private, after))
                if len(records) == limit:
                    break
        return records

    def _exchange(self, index: int, event: pb.Event, private: pb.PrivatePart, after: _FollowUps) -> out.ExchangeRecord:
        body = event.exchange_decided
        released = after.released.get(index, 0)
        record = out.ExchangeRecord(
            log_index=index,
            time_ms=event.time_ms,
            sender=body.sender,
            recipient=body.recipient,
            purpose=body.purpose,
            items=body.items,
            reason=private.reason,
            released_index=released,
            acknowledged_ms=after.acknowledged.get(released, 0),
            batch_id=body.batch_id,
            position=body.position,
        )
        date_ms = self._date(event, private, body.purpose)
        if index in after.withheld:
            stop, why = after.withheld[index]
            record.withheld_reason = why.reason
            text = texts.withheld(why.reason, self._date(stop, why, body.purpose), self._name(body.sender))
        elif body.permitted and not released:
            text = texts.waiting(date_ms)
        else:
            text = texts.sentence(private.reason, date_ms, self._name(body.sender))
        record.text.CopyFrom(text.to_proto())
        if released in after.outcomes:
            record.outcome.CopyFrom(after.outcomes[released])
        return record

    def _date(self, event: pb.Event, private: pb.PrivatePart, purpose: str) -> int:
        rows = self.snapshot.payloads(list(private.decided_by)).values()
        deciding = [pb.Event.FromString(row.event) for row in rows]
        return reason_date(private.reason, event.time_ms, deciding, self.registry.find_purpose(purpose))

    def _name(self, oin: str) -> str:
        participant = self.registry.find_participant(oin)
        return participant.name if participant else oin
