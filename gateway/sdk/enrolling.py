"""Identifiers on their way through both evaluators: several chunks at once, and none charged twice.

A recipient may ask for few more rows than it has residents. So what was asked for when a run was killed is asked again
as the same bytes, which the operators know and do not charge: a request is kept before it is sent. Its blinding
scalars are not kept. They come of a random seed and a key of the organisation, so that the file alone answers no
guesses about who is in it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, delete, select
from sqlmodel import Field

from consent_ledger.errors import RegieError
from gateway.crypto import oprf
from gateway.crypto.group import Rng
from gateway.database import Database, Stored, insert_into, table_of
from gateway.sdk.agency import Agency
from gateway.sdk.evaluation import CHUNK, Question, RowEvaluator
from gateway.sdk.local import KeyedHash
from gateway.sdk.remote import UNREACHABLE

IN_FLIGHT = 3
"""Chunks on their way: one is blinded or checked here while the operators work on the others."""

_UNKNOWN = UNREACHABLE | {"INTERNAL"}
"""The operators may or may not have evaluated it."""

_TUNING = ("PRAGMA cache_size = -32768", "PRAGMA wal_autocheckpoint = 16384")
"""Keys are hashes, so each chunk touches pages all over the file: they are written back once in many chunks."""


class Enrolled(Stored, table=True):
    """One identifier of a resident in one domain. ``person`` is keyed; no ``resident_ref``: cannot be told apart."""

    __tablename__ = "enrolled"
    person: bytes = Field(primary_key=True)
    stored_index: bytes = Field(index=True)
    resident_ref: str | None = None


class AskedRows(Stored, table=True):
    """A chunk that was asked for and is not stored yet; ``people`` are the keys of its rows, 32 bytes each."""

    __tablename__ = "asked_rows"
    seed: bytes = Field(primary_key=True)
    purpose: str
    request: bytes
    people: bytes


_ASKED = table_of(AskedRows)
_STORE = (
    "INSERT INTO enrolled (person, stored_index, resident_ref) VALUES (?, ?, ?)"
    " ON CONFLICT (person) DO UPDATE SET resident_ref = excluded.resident_ref"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One identifier of one resident that is to be enrolled for one purpose."""

    person: bytes
    message: bytes = field(repr=False)
    resident_ref: str
    scheme: str


@dataclass(frozen=True, slots=True)
class _Chunk:
    purpose: str
    rows: Sequence[Wanted]
    seed: bytes
    request: bytes = b""  # set: this chunk was asked for before


class Enrolling:
    """Has identifiers evaluated and stores their indices; whoever holds the database open is alone with it."""

    def __init__(self, agency: Agency, database: Database) -> None:
        """Enrol for this agency into this database."""
        self._agency, self._database = agency, database
        self._evaluator = RowEvaluator(agency, database, "recipient")
        self._closing = int.from_bytes(agency.organisation.key("closing"), "big")
        self._blinding = KeyedHash(agency.organisation, "enrolment/blinding")

    async def enrol(self, work: Mapping[str, Sequence[Wanted]], stored: Callable[[Sequence[Wanted]], None]) -> None:
        """Evaluate and store what is wanted, by purpose; ``stored`` is told of every chunk that is on the disk.

        Raises RegieError as ``RowEvaluator.evaluate``; what is in flight then costs nothing when it is asked again.
        """
        await self._database.run(lambda connection: [connection.exec_driver_sql(each) for each in _TUNING])
        waiting = iter(await self._chunks(work))

        async def drain() -> None:
            for chunk in waiting:
                await self._enrol(chunk)
                stored(chunk.rows)

        flights = [asyncio.create_task(drain()) for _ in range(IN_FLIGHT)]
        try:
            await asyncio.gather(*flights)
        finally:
            for flight in flights:
                flight.cancel()
            await asyncio.gather(*flights, return_exceptions=True)

    async def _chunks(self, work: Mapping[str, Sequence[Wanted]]) -> list[_Chunk]:
        """Return what is to be asked: first what a broken-off run asked for already."""
        before = await self._database.run(lambda connection: connection.execute(select(_ASKED)).all())
        missing = {purpose: {row.person: row for row in wanted} for purpose, wanted in work.items()}
        chunks = []
        for seed, purpose, request, people in before:
            rows = _taken(missing.get(purpose, {}), people)
            if rows:
                chunks.append(_Chunk(purpose, rows, seed, request))
            else:  # not of these residents: they are asked for anew when they come again
                await self._database.run(_forgetting(seed))
        rest = ((purpose, list(found.values())) for purpose, found in missing.items())
        return chunks + [
            _Chunk(purpose, rows[at : at + CHUNK], self._agency.rng(32))
            for purpose, rows in rest
            for at in range(0, len(rows), CHUNK)
        ]

    async def _enrol(self, chunk: _Chunk) -> None:
        try:
            await self._ask(chunk, chunk.request or await self._keep(chunk))
        except RegieError as error:
            if error.reason not in _UNKNOWN:
                await self._database.run(_forgetting(chunk.seed))
            if error.reason != "NOT_FRESH" or not chunk.request:
                raise
            await self._enrol(replace(chunk, seed=self._agency.rng(32), request=b""))

    async def _keep(self, chunk: _Chunk) -> bytes:
        """Make a request and keep it; only then may it be sent."""
        request = await self._evaluator.request(chunk.purpose)
        row = {
            "seed": chunk.seed,
            "purpose": chunk.purpose,
            "request": request,
            "people": b"".join(row.person for row in chunk.rows),
        }
        await self._database.run(lambda connection: connection.execute(insert_into(connection, _ASKED), row))
        return request

    async def _ask(self, chunk: _Chunk, request: bytes) -> None:
        question = Question(request, self._scalars(chunk))
        messages = [row.message for row in chunk.rows]
        pseudonyms = await self._evaluator.evaluate(chunk.purpose, messages, question, closing_scalar=self._closing)
        indices = oprf.stored_indices(await self._evaluator.domain(chunk.purpose), pseudonyms)
        rows = [(row.person, index, row.resident_ref) for row, index in zip(chunk.rows, indices, strict=True)]
        forget = _forgetting(chunk.seed)

        def store(connection: Connection) -> None:
            connection.exec_driver_sql(_STORE, rows)
            forget(connection)

        await self._database.run(store)

    def _scalars(self, chunk: _Chunk) -> Rng:
        """Return the source of this chunk's blinding scalars: the same for the same rows, and for no others."""
        people = hashlib.sha256(b"".join(row.person for row in chunk.rows)).digest()
        stream = hashlib.shake_256(self._blinding(chunk.seed, people))
        drawn = _pieces(stream.digest(64 * (len(chunk.rows) + 1)))
        return lambda size: next(drawn)[:size]


def _pieces(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 64] for at in range(0, len(data), 64))


def _taken(missing: dict[bytes, Wanted], people: bytes) -> list[Wanted]:
    """Take these rows out of what is missing; none when one of them is not wanted: the bytes would be others."""
    keys = [people[at : at + 32] for at in range(0, len(people), 32)]
    if not all(key in missing for key in keys):
        return []
    return [missing.pop(key) for key in keys]


def _forgetting(seed: bytes) -> Callable[[Connection], object]:
    return lambda connection: connection.execute(delete(_ASKED).where(_ASKED.c.seed == seed))
