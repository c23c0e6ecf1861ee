"""The books of an agency as books of processing: what it offered (outbox), received and reported (inbox).

They hold no identifier, so their records name a person by what the agency itself can find again: the reference of a
row it sent, or the pseudonym under which a recipient enrolled somebody. Times are those the books have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pysqlite3.dbapi2 as sqlite

from consent_ledger.log.errors import FormatError
from consent_ledger.log.proof import Receipt
from consent_ledger.processing import OFFER, RECEIVE, REPORT, Activity
from consent_ledger.v1 import batch_pb2, events_pb2
from consent_ledger.verify.leaves import SALT_BYTES
from gateway.home import Organisation
from gateway.ldv.book import LdvError, Placed, Portion, Standing
from gateway.ldv.record import ACTIVITY, EXTENSION, SUBJECT, SUBJECT_TYPE, Record, Value, span_id, trace_id
from gateway.ldv.settings import LdvSettings
from gateway.ldv.subjects import Subjects

SENT_KIND, RECEIVED_KIND = "regie-sent-row", "regie-recipient-pseudonym"
_BATCHES = 8  # of at most a thousand rows: one look through the sender's rows serves them all
_ROWS = 1_000
_PLACES = 1 << 16
"""More than a batch has rows: a record's place is its batch's number times this, and its row's place in the batch."""

_SENT = (
    "SELECT number, batch_id, recipient, purpose, header, outcomes, {trace} FROM sent_batch WHERE number >= ?"
    " ORDER BY number"
)
_TRACED = "SELECT count(*) FROM pragma_table_info('sent_batch') WHERE name = 'traceparent'"
_ROWS_SENT = "SELECT batch, place, signal_ref FROM sent_row WHERE batch BETWEEN ? AND ?"
_RECEIVED = (
    "SELECT number, batch_id, position, sender, purpose, stored_index, receipt, received_ms FROM received_signal"
    " WHERE number >= ? ORDER BY number LIMIT ?"
)
_REPORTED = (
    "SELECT r.number, s.batch_id, s.position, s.sender, s.purpose, s.stored_index, s.receipt, r.when_ms, r.log_index"
    " FROM reported_outcome AS r JOIN received_signal AS s"
    " ON s.header_hash = r.header_hash AND s.position = r.position WHERE r.number >= ? ORDER BY r.number"
)


@dataclass(frozen=True, slots=True)
class Maker:
    """What makes the records of one organisation."""

    settings: LdvSettings
    subjects: Subjects
    organisation: Organisation

    @property
    def oin(self) -> str:
        """Whose records these are."""
        return self.organisation.oin

    def resource(self) -> Mapping[str, Value]:
        """Return what says which application processed."""
        own: dict[str, Value] = {f"{EXTENSION}oin": self.oin} if self.settings.extension else {}
        return {"service.name": "regie-agency", **own}

    def record(
        self,
        activity: Activity,
        ids: tuple[bytes, bytes, bytes],
        time_ms: int,
        subject: tuple[str, bytes] | None,
        told: Mapping[str, Value],
    ) -> Record:
        """Return a record; ``ids``: trace, span, and span above; ``subject``: a kind of name, and the name."""
        attributes: dict[str, Value] = {ACTIVITY: self.settings.uri(activity)}
        if subject:
            attributes |= {SUBJECT: self.subjects.encrypt(*subject), SUBJECT_TYPE: subject[0]}
        if self.settings.extension:
            attributes |= {f"{EXTENSION}{name}": value for name, value in told.items()}
        trace, span, above = ids
        # Of a row that was offered again since, this book no longer knows which one it was.
        name = activity.id if subject else f"{activity.id} (betrokkene niet meer bekend)"
        return Record(trace, span, "Ok", name, time_ms, time_ms, above, attributes)


class _AgencyBook:
    """What these books share: a file that is read, and rows that are ready or not."""

    def __init__(self, maker: Maker, name: str, file: str) -> None:
        self._maker, self.name, self._path = maker, name, maker.organisation.data / file
        self.label = f"{maker.oin}/{name}"
        self.resource = maker.resource()

    def _read(self, *questions: tuple[str, tuple[Any, ...]]) -> list[list[Any]]:
        connection = _open(self._path)
        try:
            connection.execute("BEGIN")
            return [connection.execute(sql, values).fetchall() for sql, values in questions]
        finally:
            connection.close()

    def _check(self, standing: Standing, table: str) -> None:
        ((row,),) = self._read((f"SELECT coalesce(max(number), 0) FROM {table}", ()))  # noqa: S608  (our own names)
        if standing.next > row[0] + 1:
            raise LdvError(
                f"the processing log says that {standing.next - 1} rows of {self.name} were exported, and the book has "
                f"{row[0]}: it or ldv.db was restored; nothing is exported until this is cleared up (docs/ldv.md)"
            )

    def _span(self, place: int) -> bytes:
        return span_id(self.label.encode(), place)


class SentBook(_AgencyBook):
    """Every signal that the sender offered and has a signed answer about: one record each."""

    def __init__(self, maker: Maker) -> None:
        """Read the sender's outbox."""
        super().__init__(maker, "sent", "outbox.db")
        # An outbox that was made before there were traces gets the column when somebody sends again.
        (((traced,),),) = self._read((_TRACED, ()))
        self._sent = _SENT.format(trace="traceparent" if traced else "''")

    def read(self, standing: Standing) -> Portion:
        """Return the records of the next batches with an answer; one that has none yet does not hold up the others."""
        self._check(standing, "sent_batch")
        (batches,) = self._read((self._sent, (standing.next,)))
        ready = [row for row in batches if row[5] and row[0] not in standing.beyond]
        chosen = ready[:_BATCHES]
        items = self._items(chosen) if chosen else []
        done = {row[0] for row in chosen} | standing.beyond
        left = [row[0] for row in batches if row[0] not in done]
        end = left[0] if left else max([standing.next - 1, *(row[0] for row in batches)]) + 1
        return Portion(tuple(items), end, tuple(row[0] for row in chosen), left=len(ready) - len(chosen))

    def pending(self, standing: Standing) -> int:
        """Count the rows of batches with an answer."""
        (batches,) = self._read((self._sent, (standing.next,)))
        return sum(len(row[5]) for row in batches if row[0] not in standing.beyond)

    def _items(self, batches: Sequence[Any]) -> list[Placed]:
        (rows,) = self._read((_ROWS_SENT, (batches[0][0], batches[-1][0])))
        references = {(batch, place): reference for batch, place, reference in rows}
        items = []
        for number, batch_id, recipient, purpose, header, outcomes, traceparent in batches:
            trace, above = _parsed(traceparent)
            made_ms = batch_pb2.BatchHeader.FromString(header).created_ms
            for place, outcome in enumerate(outcomes):
                reference = references.get((number, place))
                at = number * _PLACES + place
                told = {
                    "batch_id": batch_id.hex(),
                    "recipient": recipient,
                    "purpose": purpose,
                    "outcome": events_pb2.Outcome.Name(outcome).removeprefix("OUTCOME_").lower(),
                }
                subject = (SENT_KIND, reference) if reference else None
                ids = (trace_id(trace, batch_id), self._span(at), above)
                items.append(Placed(at, self._maker.record(OFFER, ids, made_ms, subject, told), subject is None))
        return items


class ReceivedBook(_AgencyBook):
    """Every signal that was collected, verified and stored: one record each."""

    def __init__(self, maker: Maker) -> None:
        """Read the recipient's inbox."""
        super().__init__(maker, "received", "inbox.db")

    def read(self, standing: Standing) -> Portion:
        """Return the records of the next signals, in the order in which they came."""
        self._check(standing, "received_signal")
        (rows,) = self._read((_RECEIVED, (standing.next, _ROWS)))
        items = [_received(self._maker, RECEIVE, self._span(row[0]), row) for row in rows]
        return Portion(tuple(items), rows[-1][0] + 1 if rows else standing.next, left=int(len(rows) == _ROWS))

    def pending(self, standing: Standing) -> int:
        """Count the signals."""
        ((row,),) = self._read(("SELECT count(*) FROM received_signal WHERE number >= ?", (standing.next,)))
        return int(row[0])


class ReportedBook(_AgencyBook):
    """Every report of what was done that the ledger recorded: one record each."""

    def __init__(self, maker: Maker) -> None:
        """Read the recipient's inbox."""
        super().__init__(maker, "reported", "inbox.db")

    def read(self, standing: Standing) -> Portion:
        """Return the records of the next reports; one without an answer does not hold up the others."""
        self._check(standing, "reported_outcome")
        (rows,) = self._read((_REPORTED, (standing.next,)))
        ready = [row for row in rows if row[8] and row[0] not in standing.beyond]
        chosen = ready[:_ROWS]
        done = {row[0] for row in chosen} | standing.beyond
        left = [row[0] for row in rows if row[0] not in done]
        end = left[0] if left else max([standing.next - 1, *(row[0] for row in rows)]) + 1
        items = tuple(_received(self._maker, REPORT, self._span(row[0]), row) for row in chosen)
        return Portion(items, end, tuple(row[0] for row in chosen), left=len(ready) - len(chosen))

    def pending(self, standing: Standing) -> int:
        """Count the reports."""
        (rows,) = self._read((_REPORTED, (standing.next,)))
        return sum(1 for row in rows if row[8] and row[0] not in standing.beyond)


def _received(maker: Maker, activity: Activity, span: bytes, row: Any) -> Placed:
    number, batch_id, position, sender, purpose, stored_index, receipt, time_ms = row[:8]
    trace, above = _released(maker, receipt)
    told = {"batch_id": batch_id.hex(), "position": position, "sender": sender, "purpose": purpose}
    ids = (trace_id(trace, batch_id), span, above)
    return Placed(number, maker.record(activity, ids, time_ms, (RECEIVED_KIND, stored_index), told))


def _parsed(traceparent: str) -> tuple[bytes, bytes]:
    """Return the trace id of the submission, and its span; neither when it had no trace."""
    parts = traceparent.split("-")
    return (bytes.fromhex(parts[1]), bytes.fromhex(parts[2])) if len(parts) == 4 else (b"", b"")


def _released(maker: Maker, text: str) -> tuple[bytes, bytes]:
    """Return the trace of a release, and the ledger's record of it as the span above, from its receipt.

    The receipt was verified when the signal came; a signal without one has neither.
    """
    try:
        receipt = Receipt.parse(text)
    except FormatError:
        return b"", b""
    event = events_pb2.Event.FromString(receipt.extra[SALT_BYTES:])
    return event.exchange_released.trace_id, span_id(maker.settings.origin.encode(), receipt.index)


def _open(path: Path) -> sqlite.Connection:
    """Open a book for reading, whoever writes it meanwhile."""
    return sqlite.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)


AgencyBook = SentBook | ReceivedBook | ReportedBook
_BOOKS: tuple[tuple[str, str, Callable[[Maker], AgencyBook]], ...] = (
    ("outbox.db", "sent_batch", SentBook),
    ("inbox.db", "received_signal", ReceivedBook),
    ("inbox.db", "reported_outcome", ReportedBook),
)


def agency_books(maker: Maker) -> list[AgencyBook]:
    """Return the books that this organisation has: who never sent has no outbox."""
    found = []
    for file, table, make in _BOOKS:
        path = maker.organisation.data / file
        if path.exists():
            connection = _open(path)
            try:
                sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
                there = connection.execute(sql, (table,)).fetchone()
            finally:
                connection.close()
            if there:
                found.append(make(maker))
    return found
