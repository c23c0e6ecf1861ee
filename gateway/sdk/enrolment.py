"""Enrolment: a municipality learns the pseudonyms of its own residents, so that it can resolve what it receives."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlmodel import Field

from consent_ledger.errors import RegieError
from gateway.crypto import rows
from gateway.crypto.identifiers import ADDRESS, BSN
from gateway.database import Database, Stored, table_of
from gateway.home import Organisation
from gateway.sdk.agency import Agency
from gateway.sdk.csvfile import FieldError
from gateway.sdk.evaluation import CHUNK, PinnedKey, RowEvaluator
from gateway.sdk.local import KeyedHash, local_database
from gateway.sdk.rows import ResidentRow

Progress = Callable[[int, int], None]
"""Called with (identifiers dealt with, identifiers in all)."""

_AMBIGUOUS = {
    BSN: FieldError("bsn", "stands in two rows: neither is matched by it"),
    ADDRESS: FieldError("birth_date", "two residents have this address and birth date: neither is matched by them"),
}


class Enrolled(Stored, table=True):
    """One identifier of a resident in one domain. ``person`` is keyed; no ``resident_ref``: cannot be told apart."""

    __tablename__ = "enrolled"
    person: bytes = Field(primary_key=True)
    stored_index: bytes = Field(index=True)
    resident_ref: str | None = None


TABLES: tuple[type[Stored], ...] = (Enrolled, PinnedKey)
_ROWS = table_of(Enrolled)


@dataclass(slots=True)
class EnrolmentSummary:
    """``enrolled`` and ``unchanged`` count residents; ``ambiguous`` says by which field one cannot be told apart."""

    enrolled: int = 0
    unchanged: int = 0
    purposes: tuple[str, ...] = ()
    ambiguous: dict[str, list[FieldError]] = field(default_factory=dict)


@contextmanager
def enrolment_database(organisation: Organisation, *, write: bool = False) -> Iterator[Database]:
    """Open the enrolment table; raises Busy when ``write`` and another process enrols."""
    with local_database(organisation, "enrolment", TABLES, "enrolling" if write else "") as database:
        yield database


async def resolve(database: Database, indices: Sequence[bytes]) -> dict[bytes, str]:
    """Return the resident reference of each stored index that is enrolled and can be told apart."""
    query = select(_ROWS.c.stored_index, _ROWS.c.resident_ref)
    query = query.where(_ROWS.c.stored_index.in_(indices) & _ROWS.c.resident_ref.is_not(None))
    return await database.run(lambda c: {row.stored_index: row.resident_ref for row in c.execute(query)})


async def known(database: Database, indices: Sequence[bytes]) -> set[bytes]:
    """Return which of at most 1000 stored indices are enrolled, also those that cannot be told apart."""
    query = select(_ROWS.c.stored_index).where(_ROWS.c.stored_index.in_(indices))
    return await database.run(lambda c: set(c.execute(query).scalars()))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One identifier of one resident that is to be enrolled for one purpose."""

    person: bytes
    message: bytes
    resident_ref: str
    scheme: str


class Enrolment:
    """Enrols residents of one recipient, in the domains of the purposes it may receive."""

    def __init__(self, agency: Agency) -> None:
        """Enrol for this agency."""
        self._agency = agency
        self._hash = KeyedHash(agency.organisation, "enrolment")

    async def enrol(
        self,
        residents: Sequence[ResidentRow],
        *,
        full: bool = False,
        progress: Progress = lambda _done, _all: None,
    ) -> EnrolmentSummary:
        """Enrol residents; those enrolled before cost nothing. Can be stopped and begun again at any point.

        Two residents with one address and birth date cannot be told apart: neither is matched, and ``ambiguous`` names
        them; also when one of them was enrolled before, unless these residents are the ``full`` register. Raises
        RegieError PARTY_UNKNOWN when the agency receives nothing, and as ``RowEvaluator.evaluate``.
        """
        agency = self._agency
        registry, me = await agency.registry(), await agency.me()
        purposes = [p for p in registry.purposes if not (p.prohibited or p.retired) and me.kind in p.recipient_kinds]
        if not purposes:
            raise RegieError("PARTY_UNKNOWN", f"a {me.kind} receives no signals, so it enrols no residents")
        summary = EnrolmentSummary(purposes=tuple(purpose.id for purpose in purposes))
        changed: set[str] = set()
        with enrolment_database(agency.organisation, write=True) as database:
            work = []
            for purpose in purposes:
                wanted = [found for scheme in purpose.schemes for found in self._wanted(purpose.id, scheme, residents)]
                missing = await self._plan(database, wanted, summary, changed, full=full)
                work.append((purpose.id, missing))
            total, done = sum(len(missing) for _, missing in work), 0
            progress(0, total)
            evaluator = RowEvaluator(agency, database, "recipient")
            for purpose_id, missing in work:
                for at in range(0, len(missing), CHUNK):
                    chunk = missing[at : at + CHUNK]
                    await self._enrol_chunk(evaluator, database, purpose_id, chunk)
                    changed.update(found.resident_ref for found in chunk)
                    done += len(chunk)
                    progress(done, total)
        summary.enrolled = len(changed)
        summary.unchanged = sum(row.resident_ref not in changed for row in residents)
        return summary

    def _wanted(self, purpose: str, scheme: str, residents: Iterable[ResidentRow]) -> Iterator[_Wanted]:
        for row in residents:
            message = row.resident.message(scheme)
            if message is not None:
                yield _Wanted(self._hash(purpose.encode(), message), message, row.resident_ref, scheme)

    async def _plan(
        self, database: Database, wanted: Sequence[_Wanted], summary: EnrolmentSummary, changed: set[str], *, full: bool
    ) -> list[_Wanted]:
        """Return what is to be evaluated; references of what was evaluated before are corrected on the way."""
        counts = Counter(found.person for found in wanted)
        known: dict[bytes, str | None] = {}
        for at in range(0, len(wanted), CHUNK):
            known |= await database.run(_reader([found.person for found in wanted[at : at + CHUNK]]))
        here = {found.resident_ref for found in wanted}
        updates: dict[bytes, str | None] = {}
        missing: list[_Wanted] = []
        for found in wanted:
            holder = known.get(found.person, found.resident_ref)
            # An earlier holder that stands in this file has another identifier now: it moved, or was corrected.
            clash = not full and holder != found.resident_ref and holder not in here
            if counts[found.person] > 1 or clash:
                self._ambiguous(summary, found)
                if found.person in known:
                    updates[found.person] = None
            elif found.person not in known:
                missing.append(found)
            elif holder != found.resident_ref:
                updates[found.person] = found.resident_ref
                changed.add(found.resident_ref)
        await database.run(lambda connection: _correct(connection, updates))
        return missing

    def _ambiguous(self, summary: EnrolmentSummary, found: _Wanted) -> None:
        error = _AMBIGUOUS[found.scheme]
        errors = summary.ambiguous.setdefault(found.resident_ref, [])
        if error not in errors:
            errors.append(error)

    async def _enrol_chunk(
        self, evaluator: RowEvaluator, database: Database, purpose: str, chunk: Sequence[_Wanted]
    ) -> None:
        """Evaluate and store one chunk; a crash loses at most this one."""
        agency = self._agency
        elements = await evaluator.evaluate(purpose, [found.message for found in chunk])
        closing = int.from_bytes(agency.organisation.key("closing"), "big")
        domain = await evaluator.domain(purpose)
        indices = await asyncio.to_thread(rows.close, closing, domain, elements, agency.workers)
        values = [
            {"person": found.person, "stored_index": index, "resident_ref": found.resident_ref}
            for found, index in zip(chunk, indices, strict=True)
        ]
        row = insert(_ROWS)
        row = row.on_conflict_do_update(index_elements=["person"], set_={"resident_ref": row.excluded.resident_ref})
        await database.run(lambda connection: connection.execute(row, values))


def _reader(people: Sequence[bytes]) -> Callable[[Connection], dict[bytes, str | None]]:
    query = select(_ROWS.c.person, _ROWS.c.resident_ref).where(_ROWS.c.person.in_(people))
    return lambda connection: {row.person: row.resident_ref for row in connection.execute(query)}


def _correct(connection: Connection, updates: Mapping[bytes, str | None]) -> None:
    for person, reference in updates.items():
        connection.execute(update(_ROWS).where(_ROWS.c.person == person).values(resident_ref=reference))
