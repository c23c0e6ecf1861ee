"""One decision judged again (A3): proven in the log, opened, and put to the rules once more, then and now.

What it was judged by is read from the log: the public events and that resident's events before it. The events of a
resident are opened in memory only, for as long as a page is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consent_ledger import texts
from consent_ledger.decide import Asked, Decision, ExchangeRequest, asked_in_order, decide
from consent_ledger.errors import RegieError
from consent_ledger.events import EventError, open_event, open_private
from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.merkle import leaf_hash, verify_inclusion
from consent_ledger.purpose import Text
from consent_ledger.registry import Registry
from consent_ledger.service.reasondate import is_silence, reason_date
from consent_ledger.state import EMPTY, SubjectState, fold
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.v1 import log_pb2
from gateway.auditor.console import Console
from gateway.auditor.index.fold import resident_of
from gateway.auditor.index.follow import OPENINGS
from gateway.auditor.loghead import log_keys


@dataclass(frozen=True, slots=True)
class Entry:
    """One opened entry."""

    index: int
    event: pb.Event
    private: pb.PrivatePart


@dataclass(frozen=True, slots=True)
class Judged:
    """A decision: what was asked, what was said, and what the rules say.

    ``then`` is made of what stood in the log before it, ``now`` of all that stands there; ``incomplete`` counts events
    of the resident that are erased, which the state then may lack.
    """

    entry: Entry
    resident: bytes
    head: Checkpoint
    path: Sequence[bytes]
    proven: log_pb2.ProvenEntry
    checkpoint: str
    registry: Registry
    then: Decision
    rules: tuple[Asked, ...]
    now: Decision
    deciding: tuple[Entry, ...]
    incomplete: int
    told: Text

    @property
    def agrees(self) -> bool:
        """Tell whether the rules say now of then what was said then."""
        said = (self.entry.private.reason, tuple(self.entry.private.decided_by))
        return said == (self.then.reason, self.then.decided_by)


async def judge(console: Console, index: int) -> Judged:
    """Judge the decision at an index again; raises RegieError ENTRY_UNKNOWN, PROOF_INVALID, LEDGER_UNAVAILABLE."""
    answer = await console.log.events([index])
    proven, head = _proven(console, answer)
    entry = opened(proven)
    if entry is None or not entry.event.HasField("exchange_decided"):
        raise RegieError("ENTRY_UNKNOWN", "there is no decision at this index that can be opened", field="index")
    resident = resident_of(console.key, entry.private.links[0].subject)
    history, missing = await _history(console, resident, index)
    before = [one for one in history if one.index < index]
    request, registry = request_of(entry), console.registry_at(index)
    then = decide(registry, folded(before), request, entry.event.time_ms)
    now = decide(console.registry(), folded(history), request, console.clock())
    named = set(entry.private.decided_by)
    deciding = tuple(one for one in history if one.index in named)
    return Judged(
        entry=entry,
        resident=resident,
        head=head,
        path=[proven.path[at : at + 32] for at in range(0, len(proven.path), 32)],
        proven=proven,
        checkpoint=answer.checkpoint,
        registry=registry,
        then=then,
        rules=asked_in_order(registry, folded(before), request, entry.event.time_ms),
        now=now,
        deciding=deciding,
        incomplete=missing,
        told=_told(registry, entry, deciding),
    )


def request_of(entry: Entry) -> ExchangeRequest:
    """Return what was asked, as the log tells it."""
    body = entry.event.exchange_decided
    return ExchangeRequest(
        sender=body.sender,
        recipient=body.recipient,
        purpose=body.purpose,
        purpose_version=body.purpose_version,
        items=tuple(body.items),
        basis=body.basis,
        severity=entry.private.severity,
    )


def folded(entries: Sequence[Entry]) -> SubjectState:
    """Return the state of a subject after its entries."""
    state = EMPTY
    for entry in entries:
        state = fold(state, entry.index, entry.event, entry.private)
    return state


def opened(proven: log_pb2.ProvenEntry) -> Entry | None:
    """Open an entry; None when nothing opens it. Raises RegieError PROOF_INVALID when that does not fit."""
    if not proven.HasField("opened"):
        return None
    try:
        event = open_event(proven.entry, proven.opened.salt, proven.opened.event)
        return Entry(proven.index, event, open_private(event, proven.opened.private_part))
    except EventError as error:
        raise RegieError("PROOF_INVALID", f"entry {proven.index}: {error}", "index") from None


def _proven(console: Console, answer: log_pb2.GetEventsResponse) -> tuple[log_pb2.ProvenEntry, Checkpoint]:
    """Check signature and inclusion of the one entry that was asked for."""
    proven = answer.entries[0]
    path = [proven.path[at : at + 32] for at in range(0, len(proven.path), 32)]
    try:
        head = open_checkpoint(answer.checkpoint, log_keys(console))
        verify_inclusion(proven.index, head.size, leaf_hash(proven.entry), head.root, path)
    except VerificationError as error:
        raise RegieError("PROOF_INVALID", f"entry {proven.index}: {error}", "index") from None
    return proven, head


async def _history(console: Console, resident: bytes, least: int) -> tuple[list[Entry], int]:
    """Return the entries about a resident that can be opened, in order, and how many cannot."""
    query = "SELECT seq, idx FROM about WHERE resident = ? ORDER BY seq"
    rows = await console.ask(lambda connection: connection.exec_driver_sql(query, (resident,)).all())
    indices = sorted({row[1] for row in rows} | {least})
    found: list[Entry] = []
    for at in range(0, len(indices), OPENINGS):
        answer = await console.log.events(indices[at : at + OPENINGS])
        found += [entry for entry in map(opened, answer.entries) if entry is not None]
    newest = max((row[0] for row in rows), default=0)
    return found, max(newest, len(indices)) - len(found)


def _told(registry: Registry, entry: Entry, deciding: Sequence[Entry]) -> Text:
    """Return the sentence that the resident reads about this decision."""
    body, reason = entry.event.exchange_decided, entry.private.reason
    events = [one.event for one in deciding]
    date_ms = reason_date(reason, entry.event.time_ms, events, registry.find_purpose(body.purpose))
    sender = registry.find_participant(body.sender)
    name = sender.name if sender else body.sender
    return texts.sentence(reason, date_ms, name, silent=is_silence(events))
