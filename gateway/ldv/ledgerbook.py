"""The ledger's log as a book of processing: each decision, release, stop, acknowledgement and outcome is one record.

An entry is written in one transaction with the fact that it states, and is about one data subject. So the log is the
outbox: the record is made from its entry, always the same one, and no second table can say something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from consent_ledger.processing import ACKNOWLEDGE, DECIDE, OUTCOME, PATH, RELEASE, WITHHOLD, Activity
from consent_ledger.storage.ports import Reader, Snapshot
from consent_ledger.storage.rows import PayloadRow
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify.leaves import COMMITMENT_BYTES, COMMITMENT_HEAD
from gateway.ldv.book import LdvError, Placed, Portion, Seen, Standing
from gateway.ldv.record import ACTIVITY, EXTENSION, PROCESSOR, SUBJECT, SUBJECT_TYPE, Record, Value, span_id, trace_id
from gateway.ldv.settings import LdvSettings
from gateway.ldv.subjects import Subjects

KINDS: dict[str, Activity] = {
    "exchange_decided": DECIDE,
    "exchange_released": RELEASE,
    "exchange_withheld": WITHHOLD,
    "exchange_acknowledged": ACKNOWLEDGE,
    "outcome_reported": OUTCOME,
}
"""Events that are a record of processing, and the activity they are of."""
GONE = "gone"
"""Kind of an entry that was erased before anybody here saw what it was."""
SUBJECT_KIND = "regie-ledger-pseudonym"
ENTRIES = 512
"""Looked at for one portion: with a few hundred bytes for each record, an export that any collector takes."""


class _Opened(NamedTuple):
    event: pb.Event
    kind: str
    body: Any
    private: bytes


class LedgerBook:
    """The records of one ledger; ``processor`` is the OIN of the gateway, which calls for each of them."""

    name = "ledger"

    def __init__(self, reader: Reader, settings: LdvSettings, subjects: Subjects, oin: str, processor: str) -> None:
        """Read through a ledger's reader."""
        self._reader, self._settings, self._subjects, self._processor = reader, settings, subjects, processor
        self.label = settings.origin
        self.resource: Mapping[str, Value] = {"service.name": "regie-ledger"}
        if settings.extension:
            self.resource = {**self.resource, f"{EXTENSION}oin": oin}

    def read(self, standing: Standing) -> Portion:
        """Return the records of the next entries, in the order of the log."""
        with self._reader.snapshot() as snapshot:
            size = self._size(snapshot, standing.next)
            found, end = _entries(snapshot, standing.next)
            before = _referred(snapshot, found)
        items = [self._placed(index, opened, before, standing) for index, opened in found.items()]
        return Portion(tuple(item for item in items if item), end, left=size - end)

    def see(self, indices: Sequence[int]) -> list[Seen]:
        """Return what to remember of entries that are about to be erased, as far as they can still be read."""
        with self._reader.snapshot() as snapshot:
            found = {index: _open(row) for index, row in snapshot.payloads(indices).items()}
            before = _referred(snapshot, found)
        return [
            Seen(index, one.kind, one.event.time_ms, _trace(one, before)[0] if one.kind in KINDS else b"")
            for index, one in sorted(found.items())
            if one
        ]

    def left(self, standing: Standing) -> int:
        """Return how many entries are not exported, of which some are records; raises LdvError as ``read``."""
        with self._reader.snapshot() as snapshot:
            return self._size(snapshot, standing.next) - standing.next

    def _size(self, snapshot: Snapshot, cursor: int) -> int:
        size = snapshot.head().size
        if cursor > size:
            raise LdvError(
                f"the processing log says that {cursor} entries were exported, and the log has {size}: the ledger or "
                "ldv.db is a restored or another one; nothing is exported until this is cleared up (docs/ldv.md)"
            )
        return size

    def _placed(
        self, index: int, opened: _Opened | None, before: Mapping[int, _Opened], standing: Standing
    ) -> Placed | None:
        if opened is None:
            if standing.seen is None:
                return None
            remembered = standing.seen.get(index) or Seen(index, GONE, 0, b"")
            if remembered.kind != GONE and remembered.kind not in KINDS:
                return None  # a choice, for example
            return Placed(index, self._erased(remembered), anonymous=True)
        if opened.kind not in KINDS:
            return None
        activity, (trace, parent, source) = KINDS[opened.kind], _trace(opened, before)
        links = pb.PrivatePart.FromString(opened.private).links
        attributes: dict[str, Value] = {ACTIVITY: self._settings.uri(activity)}
        if links:
            attributes |= {SUBJECT: self._subjects.encrypt(SUBJECT_KIND, links[0].subject), SUBJECT_TYPE: SUBJECT_KIND}
        attributes[PROCESSOR] = self._processor
        if self._settings.extension:
            attributes |= {f"{EXTENSION}log_index": index, f"{EXTENSION}trace_source": source}
            attributes |= _told(opened, before)
        parent = self._span(parent) if isinstance(parent, int) else parent
        times = (opened.event.time_ms, opened.event.time_ms)
        # Also a refusal is processing that went as it should.
        return Placed(index, Record(trace, self._span(index), "Ok", activity.id, *times, parent, attributes), not links)

    def _erased(self, seen: Seen) -> Record:
        """Return the record of an entry that was erased before it was exported: all but whom it was about."""
        activity = KINDS.get(seen.kind)
        attributes: dict[str, Value] = {
            ACTIVITY: self._settings.uri(activity) if activity else f"{self._settings.register}{PATH}",
            PROCESSOR: self._processor,
        }
        if self._settings.extension:
            attributes |= {f"{EXTENSION}log_index": seen.place, f"{EXTENSION}erased": True}
        name = f"{activity.id if activity else 'onbekend'} (gewist)"
        trace = trace_id(seen.trace_id, self.label.encode() + seen.place.to_bytes(8, "big"))
        return Record(trace, self._span(seen.place), "Unset", name, seen.time_ms, seen.time_ms, b"", attributes)

    def _span(self, index: int) -> bytes:
        return span_id(self.label.encode(), index)


def _entries(snapshot: Snapshot, start: int) -> tuple[dict[int, _Opened | None], int]:
    """Return the committed entries of the next portion, None for those whose payload is gone, and where it ends."""
    entries = snapshot.entries(start, ENTRIES)
    committed = [at for at, entry in enumerate(entries, start) if _is_committed(entry)]
    payloads = snapshot.payloads(committed)
    return {at: _open(payloads[at]) if at in payloads else None for at in committed}, start + len(entries)


def _is_committed(entry: bytes) -> bool:
    return len(entry) == COMMITMENT_BYTES and entry.startswith(COMMITMENT_HEAD)


def _open(row: PayloadRow) -> _Opened | None:
    """Return an entry opened; None when its bytes are damaged: `regie log fsck` names it, and the others go on."""
    try:
        event = pb.Event.FromString(row.event)
    except DecodeError:
        return None
    kind = event.WhichOneof("body") or ""
    return _Opened(event, kind, getattr(event, kind) if kind else None, row.private)


def _referred(snapshot: Snapshot, found: Mapping[int, _Opened | None]) -> dict[int, _Opened]:
    """Return the decisions and releases that these entries name, as far as they are not erased.

    The standard wants the caller's trace to go on: what follows a decision carries no trace of its own.
    """
    wanted = set(_names(found))
    nearest = {index: _open(row) for index, row in snapshot.payloads(wanted).items()}
    further = snapshot.payloads(set(_names(nearest)) - wanted)
    opened = nearest | {index: _open(row) for index, row in further.items()}
    return {index: one for index, one in opened.items() if one}


def _names(found: Mapping[int, _Opened | None]) -> Iterator[int]:
    for opened in found.values():
        if opened and opened.kind in KINDS and (named := _named(opened)) is not None:
            yield named


def _named(opened: _Opened) -> int | None:
    """Return the index of the entry that this one follows."""
    if opened.kind in {"exchange_released", "exchange_withheld"}:
        return int(opened.body.decided_index)
    return int(opened.body.released_index) if opened.kind in {"exchange_acknowledged", "outcome_reported"} else None


def _trace(opened: _Opened, before: Mapping[int, _Opened]) -> tuple[bytes, bytes | int, str]:
    """Return the trace id, the span above (its id, or the log index whose record it is), and where they are from."""
    body, batch = opened.body, opened.body.batch_id
    own = getattr(body, "trace_id", b"")
    if len(own) == 16 and any(own):
        return own, body.span_id if len(body.span_id) == 8 else b"", "traceparent"
    named = _named(opened)
    if named is None:
        return trace_id(b"", batch), b"", "batch"
    above = before.get(named)
    if above is None:
        return trace_id(b"", batch), named, "batch"
    trace, _, source = _trace(above, before)
    return trace, named, source


def _told(opened: _Opened, before: Mapping[int, _Opened]) -> dict[str, Value]:
    """Return what our own attributes say: between whom and for which purpose, and the coarse outcome; no reason."""
    body = opened.body
    named = body if opened.kind in {"exchange_decided", "exchange_released", "exchange_withheld"} else None
    above = before.get(_named(opened) or -1)
    named = named or (above and above.body)
    told: dict[str, Value] = {"batch_id": body.batch_id.hex(), "position": body.position, "recipient": body.recipient}
    if named is not None:
        told |= {"sender": named.sender, "purpose": named.purpose, "purpose_version": named.purpose_version}
    if opened.kind == "exchange_decided":
        told |= {"permitted": body.permitted, "outcome": pb.Outcome.Name(body.outcome).removeprefix("OUTCOME_").lower()}
    return {f"{EXTENSION}{name}": value for name, value in told.items()}
