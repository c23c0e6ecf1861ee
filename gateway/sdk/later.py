"""What a sender was told to report again later (LATER_OPNIEUW), until it is answered otherwise or no longer true.

Of such a signal nothing is kept (R3): only the sender's own reference, and a keyed hash of it with whom it is about.
Whether a row is still true stands in no database here. The sender's own file of the moment says so: the row stands in
it under its reference, about the same person, with the facts of now. A row that the file does not hold any more was
solved: it is forgotten, never sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, delete
from sqlalchemy.dialects.sqlite import insert
from sqlmodel import Field

from consent_ledger.clock import DAY_MS
from consent_ledger.purpose import Purpose
from consent_ledger.v1 import events_pb2
from gateway.database import Stored, table_of
from gateway.sdk.local import KeyedHash
from gateway.sdk.rows import Prepared

LATER = events_pb2.OUTCOME_LATER_OPNIEUW
_UNDECIDED = frozenset({events_pb2.OUTCOME_PROBEER_LATER, 0})
"""Answers that say nothing about what the resident chose."""


class ToldLater(Stored, table=True):
    """One row that is waited with; ``terms`` is a keyed hash of what it was sent for."""

    __tablename__ = "told_later"
    terms: bytes = Field(primary_key=True)
    reference: str = Field(primary_key=True)
    person: bytes  # keyed hash of the reference and the identifier: a reference given to another person is another row
    told_ms: int  # the first time
    until_ms: int


_LATER = table_of(ToldLater)
# Asked for at each send, be it of one signal: building a statement would cost more than running it.
_DROP = "DELETE FROM told_later WHERE until_ms <= ?"
_LOAD = "SELECT reference, person FROM told_later WHERE terms = ?"


@dataclass(frozen=True, slots=True)
class Changes:
    """What answers change in the list; both may be empty."""

    terms: bytes
    told: tuple[tuple[str, bytes], ...] = ()  # reference and person
    settled: tuple[str, ...] = ()
    now_ms: int = 0
    until_ms: int = 0

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.told or self.settled)

    def write(self, connection: Connection) -> None:
        """Write it; a row that was told before keeps the time of the first time."""
        if self.settled:
            forget(connection, self.terms, self.settled)
        if self.told:
            values = [
                {
                    "terms": self.terms,
                    "reference": reference,
                    "person": person,
                    "told_ms": self.now_ms,
                    "until_ms": self.until_ms,
                }
                for reference, person in self.told
            ]
            fresh = insert(_LATER)
            # Of another person, or after its time, it is a new wait; else the first answer's time stands.
            renewed = (_LATER.c.person != fresh.excluded.person) | (_LATER.c.until_ms <= self.now_ms)
            renewal = {name: fresh.excluded[name] for name in ("person", "told_ms", "until_ms")}
            connection.execute(fresh.on_conflict_do_update(set_=renewal, where=renewed), values)


def load(connection: Connection, terms: bytes, now_ms: int) -> dict[str, bytes]:
    """Return the persons of what is waited with by reference, and drop what nobody waits for any more."""
    connection.exec_driver_sql(_DROP, (now_ms,))
    return {row.reference: row.person for row in connection.exec_driver_sql(_LOAD, (terms,))}


def forget(connection: Connection, terms: bytes, references: Iterable[str]) -> None:
    """Forget rows."""
    gone = [{"of": terms, "named": reference} for reference in references]
    if gone:
        where = (_LATER.c.terms == bindparam("of")) & (_LATER.c.reference == bindparam("named"))
        connection.execute(delete(_LATER).where(where), gone)


def waiting_ms(purpose: Purpose) -> int:
    """Return how long it makes sense to report again: days to answer or to try alone, and as many to report in (R3).

    Afterwards the same report would put a new question: that is a new report, and not this one again.
    """
    return 2 * max(purpose.ask_days, purpose.self_first_days) * DAY_MS


@dataclass(slots=True)
class Waiting:
    """The list under the terms of one send, in memory while it runs."""

    terms: bytes
    persons: dict[str, bytes]
    lasts_ms: int
    keyed: KeyedHash
    passed_over: int = 0
    _reported: set[str] = field(default_factory=set)

    def still_reported(self, rows: Iterable[Prepared]) -> Iterator[Prepared]:
        """Yield the rows of the sender's file that are waited with; the others are passed over."""
        for row in rows:
            if self.persons.get(row.reference) == self._person(row):
                self._reported.add(row.reference)
                yield row
            else:
                self.passed_over += 1

    def no_longer_reported(self) -> list[str]:
        """Return what the file did not hold any more; to be asked when all of it was read."""
        return [reference for reference in self.persons if reference not in self._reported]

    def answered(self, rows: Iterable[tuple[Prepared, int]], now_ms: int) -> Changes:
        """Return what the answers to rows change. A row with a reference of its own making is no row of the sender."""
        told, settled = [], []
        for row, outcome in rows:
            if row.signal_ref:
                continue
            if outcome == LATER:
                told.append((row.reference, self._person(row)))
            elif row.reference in self.persons and outcome not in _UNDECIDED:
                settled.append(row.reference)
        return Changes(self.terms, tuple(told), tuple(settled), now_ms, now_ms + self.lasts_ms)

    def _person(self, row: Prepared) -> bytes:
        return self.keyed(b"later", row.reference.encode(), row.message)
