"""Enrolment: a municipality learns the pseudonyms of its own residents, so that it can resolve what it receives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, select, update

from consent_ledger.errors import RegieError
from gateway.crypto.identifiers import ADDRESS, BSN
from gateway.database import Database, Stored, table_of
from gateway.home import Organisation
from gateway.sdk.agency import Agency
from gateway.sdk.csvfile import FieldError
from gateway.sdk.enrolling import AskedRows, Enrolled, Enrolling, Wanted
from gateway.sdk.evaluation import CHUNK, PinnedKey
from gateway.sdk.local import KeyedHash, local_database
from gateway.sdk.rows import ResidentRow

Progress = Callable[[int, int], None]
"""Called with (identifiers dealt with, identifiers in all)."""

_AMBIGUOUS = {
    BSN: FieldError("bsn", "stands in two rows: neither is matched by it"),
    ADDRESS: FieldError("birth_date", "two residents have this address and birth date: neither is matched by them"),
}

TABLES: tuple[type[Stored], ...] = (Enrolled, PinnedKey, AskedRows)
_ROWS = table_of(Enrolled)


@dataclass(slots=True)
class EnrolmentSummary:
    """``enrolled`` and ``unchanged`` count residents, ``evaluated`` identifiers in the domains of ``purposes``.

    ``ambiguous`` says by which field a resident cannot be told apart.
    """

    enrolled: int = 0
    unchanged: int = 0
    evaluated: int = 0
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
            work, wanted = {}, 0
            for purpose in purposes:
                found = [row for scheme in purpose.schemes for row in self._wanted(purpose.id, scheme, residents)]
                wanted += len(found)
                work[purpose.id] = await self._plan(database, found, summary, changed, full=full)
            missing = sum(map(len, work.values()))

            def stored(rows: Sequence[Wanted]) -> None:
                summary.evaluated += len(rows)
                changed.update(row.resident_ref for row in rows)
                progress(wanted - missing + summary.evaluated, wanted)

            progress(wanted - missing, wanted)
            await Enrolling(agency, database).enrol(work, stored)
        summary.enrolled = len(changed)
        summary.unchanged = sum(row.resident_ref not in changed for row in residents)
        return summary

    def _wanted(self, purpose: str, scheme: str, residents: Iterable[ResidentRow]) -> Iterator[Wanted]:
        for row in residents:
            message = row.resident.message(scheme)
            if message is not None:
                yield Wanted(self._hash(purpose.encode(), message), message, row.resident_ref, scheme)

    async def _plan(
        self, database: Database, wanted: Sequence[Wanted], summary: EnrolmentSummary, changed: set[str], *, full: bool
    ) -> list[Wanted]:
        """Return what is to be evaluated; references of what was evaluated before are corrected on the way."""
        counts = Counter(found.person for found in wanted)
        known: dict[bytes, str | None] = {}
        for at in range(0, len(wanted), CHUNK):
            known |= await database.run(_reader([found.person for found in wanted[at : at + CHUNK]]))
        here = {found.resident_ref for found in wanted}
        updates: dict[bytes, str | None] = {}
        missing: list[Wanted] = []
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

    def _ambiguous(self, summary: EnrolmentSummary, found: Wanted) -> None:
        error = _AMBIGUOUS[found.scheme]
        errors = summary.ambiguous.setdefault(found.resident_ref, [])
        if error not in errors:
            errors.append(error)


def _reader(people: Sequence[bytes]) -> Callable[[Connection], dict[bytes, str | None]]:
    query = select(_ROWS.c.person, _ROWS.c.resident_ref).where(_ROWS.c.person.in_(people))
    return lambda connection: {row.person: row.resident_ref for row in connection.execute(query)}


def _correct(connection: Connection, updates: Mapping[bytes, str | None]) -> None:
    for person, reference in updates.items():
        connection.execute(update(_ROWS).where(_ROWS.c.person == person).values(resident_ref=reference))
