"""Exchanges as a resident is told of them, a page at a time.

What became of a permit is looked up by the permit and not searched among the entries after it: a page deep in a long
record costs as much as the first one of a short record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from consent_ledger import texts, upcoming
from consent_ledger.purpose import Text
from consent_ledger.registry import Registry
from consent_ledger.service.entries import Entry, Row, entries_of, open_entries
from consent_ledger.service.loop import by_release, notices_of, solved_by_self, tell_of_use
from consent_ledger.service.reasondate import is_silence, reason_date
from consent_ledger.state import SubjectState
from consent_ledger.storage.ports import Snapshot
from consent_ledger.storage.rows import BatchRow, PermitRow
from consent_ledger.v1 import consents_pb2 as out
from consent_ledger.v1 import events_pb2 as pb

LOOKED_AT = 1_000
"""Entries that one page looks at, at most: with a filter there may be nothing among them, and the next page goes on."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which exchanges are asked for: ``limit`` below ``before_index`` (0: from the newest), of one organisation."""

    limit: int
    before_index: int = 0
    organisation: str = ""
    purpose: str = ""

    def takes(self, entry: Entry) -> bool:
        """Tell whether an entry is an exchange of this page."""
        if entry.kind != "exchange_decided":
            return False
        body = entry.event.exchange_decided
        if self.purpose and body.purpose != self.purpose:
            return False
        return not self.organisation or self.organisation in (body.sender, body.recipient)


@dataclass(frozen=True, slots=True)
class Became:
    """A permit with its batch, if the decision gave one that is known still."""

    permit: PermitRow | None = None
    batch: BatchRow | None = None

    @property
    def followed(self) -> list[int]:
        """The indices of what followed: release, stop, acknowledgement, report."""
        return [] if self.permit is None else [index for index in self.permit[5:] if index is not None]

    def waits(self, now_ms: int) -> bool:
        """Tell whether it waits for its recipient."""
        return not self.followed and self.batch is not None and now_ms < self.batch.expires_ms


def page_of(snapshot: Snapshot, rows: Sequence[Row], page: Page) -> tuple[list[Entry], int]:
    """Return the decisions of a page, newest first, and where the next page begins (0: there is none)."""
    found: list[Entry] = []
    last = 0
    for looked, entry in enumerate(entries_of(snapshot, rows, page.before_index or None)):
        if looked == LOOKED_AT:
            return found, last
        if page.takes(entry):
            if len(found) == page.limit:
                return found, found[-1].idx
            found.append(entry)
        last = entry.idx
    return found, 0


def became_of(snapshot: Snapshot, decided: Iterable[Entry]) -> dict[int, Became]:
    """Return what became of the permits that decisions gave, by the index of the decision, in two questions."""
    permitted = [entry for entry in decided if entry.event.exchange_decided.permitted]
    names = {(e.event.exchange_decided.sender, e.event.exchange_decided.batch_id) for e in permitted}
    batches = snapshot.batches_by_id(names) if names else {}
    places: dict[int, tuple[BatchRow, int]] = {}
    for entry in permitted:
        body = entry.event.exchange_decided
        batch = batches.get((body.sender, body.batch_id))
        if batch is not None:
            places[entry.idx] = batch, body.position
    keys = {(batch.header_hash, position) for batch, position in places.values()}
    permits = snapshot.permits_at(keys) if keys else {}
    found = {}
    for index, (batch, position) in places.items():
        permit = permits.get((batch.header_hash, position))
        if permit is not None and permit.decided_idx == index:
            found[index] = Became(permit, batch)
    return found


def tell(
    snapshot: Snapshot,
    registry: Registry,
    states: Mapping[Row, SubjectState],
    decided: Sequence[Entry],
    now_ms: int,
) -> list[out.ExchangeRecord]:
    """Return what a resident is told of these decisions, in their order, in four questions however many they are."""
    became = became_of(snapshot, decided)
    known = open_entries(snapshot, sorted({index for each in became.values() for index in each.followed}))
    deciding = {index for entry in (*decided, *known.values()) for index in entry.private.decided_by}
    known |= open_entries(snapshot, sorted(deciding - known.keys()))
    notices = by_release(notices_of(snapshot, states, now_ms))
    teller = _Teller(registry, states, known, notices, now_ms)
    return [teller.exchange(entry, became.get(entry.idx, Became())) for entry in decided]


@dataclass(frozen=True, slots=True)
class _Teller:
    """Tells exchanges from what was read of them."""

    registry: Registry
    states: Mapping[Row, SubjectState]
    known: Mapping[int, Entry]  # what followed, and what decided
    notices: Mapping[int, out.NoticeRecord]  # by the release they are about
    now_ms: int

    def exchange(self, entry: Entry, became: Became) -> out.ExchangeRecord:
        """Tell one exchange: what was asked, why it went so, and what followed."""
        body = entry.event.exchange_decided
        record = out.ExchangeRecord(
            log_index=entry.idx,
            time_ms=entry.event.time_ms,
            sender=body.sender,
            recipient=body.recipient,
            purpose=body.purpose,
            items=body.items,
            reason=entry.private.reason,
            batch_id=body.batch_id,
            position=body.position,
            date_ms=self._date(entry, body.purpose),
            waiting=became.waits(self.now_ms),
        )
        if became.permit is not None:
            self._followed(record, became.permit)
            tell_of_use(record, self.notices)
        purpose = self.registry.find_purpose(body.purpose)
        record.solved_by_self = solved_by_self(entry, self.states, purpose, self.now_ms)
        record.text.CopyFrom(self._text(record, entry, became).to_proto())
        return record

    def _followed(self, record: out.ExchangeRecord, permit: PermitRow) -> None:
        """Tell what followed; what is erased of it is not told."""
        if (released := self._entry(permit.released_idx)) is not None:
            record.released_index, record.released_ms = released.idx, released.event.time_ms
            record.outcome_due_ms = upcoming.outcome_due_ms(released.event.time_ms)
        if (withheld := self._entry(permit.withheld_idx)) is not None and not record.released_index:
            record.withheld_index, record.withheld_reason = withheld.idx, withheld.private.reason
            record.date_ms = self._date(withheld, record.purpose)
        if (acknowledged := self._entry(permit.acknowledged_idx)) is not None:
            record.acknowledged_index, record.acknowledged_ms = acknowledged.idx, acknowledged.event.time_ms
        if (outcome := self._entry(permit.outcome_idx)) is not None:
            record.outcome_index, record.outcome_due_ms = outcome.idx, 0
            record.outcome.CopyFrom(outcome.event.outcome_reported)
        record.outcome_overdue = bool(record.outcome_due_ms) and self.now_ms > record.outcome_due_ms

    def _text(self, record: out.ExchangeRecord, entry: Entry, became: Became) -> Text:
        name = self._name(record.sender)
        if record.withheld_index:
            return texts.withheld(record.withheld_reason, record.date_ms, name)
        if record.solved_by_self:
            return texts.SOLVED_ALONE
        if record.waiting:
            return texts.waiting(record.date_ms)
        if entry.event.exchange_decided.permitted and not became.followed:
            return texts.not_collected(record.date_ms)
        return texts.sentence(record.reason, record.date_ms, name, silent=is_silence(self._deciding(entry)))

    def _entry(self, index: int | None) -> Entry | None:
        return None if index is None else self.known.get(index)

    def _date(self, entry: Entry, purpose: str) -> int:
        found = self.registry.find_purpose(purpose)
        return reason_date(entry.private.reason, entry.event.time_ms, self._deciding(entry), found)

    def _deciding(self, entry: Entry) -> list[pb.Event]:
        return [self.known[index].event for index in entry.private.decided_by if index in self.known]

    def _name(self, oin: str) -> str:
        participant = self.registry.find_participant(oin)
        return participant.name if participant else oin
