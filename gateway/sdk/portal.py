"""The portal's side of the ledger: residents' choices, said to be done only on the ledger's signed receipt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Column, Connection, delete, select
from sqlmodel import Field

from consent_ledger.clock import DAY_MS
from consent_ledger.errors import STATUS_OF, RegieError
from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2, events_pb2
from gateway.crypto.identifiers import ADDRESS, BSN
from gateway.database import NUMBER, Database, Stored, insert_into, table_of
from gateway.sdk.agency import Agency
from gateway.sdk.choices import Wish
from gateway.sdk.evaluation import CHUNK, PATIENCE_SECONDS, PinnedKey, RowEvaluator
from gateway.sdk.local import KeyedHash, local_database
from gateway.sdk.receipts import read_recorded
from gateway.sdk.remote import patiently
from gateway.sdk.rows import Resident

Progress = Callable[[int], None]
"""Called with how many more wishes are dealt with."""


class ChoiceMade(Stored, table=True):
    """The last choice recorded through this portal about one thing, with its day; keyed hashes only."""

    __tablename__ = "choice_made"
    about: bytes = Field(primary_key=True)
    content: bytes


class WrittenAt(Stored, table=True):
    """When this portal last wrote about a resident (keyed): the next write must be later, also in one millisecond."""

    __tablename__ = "written_at"
    person: bytes = Field(primary_key=True)
    created_ms: int = Field(sa_column=Column(NUMBER, nullable=False))


TABLES: tuple[type[Stored], ...] = (ChoiceMade, WrittenAt, PinnedKey)
_CHOICES, _WRITTEN = table_of(ChoiceMade), table_of(WrittenAt)


@dataclass(slots=True)
class Recorded:
    """What became of wishes: per wish its log index, None when unchanged, or the ledger's refusal."""

    results: list[int | RegieError | None] = field(default_factory=list)
    checkpoint: str = ""

    @property
    def recorded(self) -> int:
        """How many were recorded."""
        return sum(isinstance(result, int) for result in self.results)

    @property
    def unchanged(self) -> int:
        """How many equal the last choice recorded."""
        return sum(result is None for result in self.results)


@contextmanager
def portal_database(agency: Agency) -> Iterator[Database]:
    """Open what this portal remembers: in a file, or beside the sessions where several viewers share a database."""
    shared = agency.home.databases.get("viewer")
    if shared is None:
        with local_database(agency.organisation, "portal", TABLES) as database:
            yield database
        return
    database = Database(shared, TABLES, owner="viewer")
    try:
        yield database
    finally:
        database.close()


class Portal:
    """Records what residents choose. It knows an identifier during a call and stores keyed hashes of it only."""

    def __init__(self, agency: Agency) -> None:
        """Act for this agency, whose kind must be viewer."""
        self._agency = agency
        self._hash = KeyedHash(agency.organisation, "portal")

    async def record(
        self,
        wishes: Sequence[Wish],
        *,
        via: events_pb2.CapturedVia.ValueType = events_pb2.CAPTURED_VIA_WEB,
        language: str = "nl",
        again: bool = False,
        progress: Progress = lambda _: None,
    ) -> Recorded:
        """Record wishes in order; one the ledger refuses is answered with its error and the others go through.

        A choice equal to the last one recorded here today is skipped, unless ``again``. Raises RegieError when the
        ledger cannot be reached, or its receipt does not verify: then nothing of that part counts as done.
        """
        done = Recorded()
        with portal_database(self._agency) as database:
            evaluator = RowEvaluator(self._agency, database, "ledger")
            elements: dict[tuple[str, bytes], bytes] = {}
            for at in range(0, len(wishes), CHUNK):
                chunk = wishes[at : at + CHUNK]
                known = {} if again else await self._known(database, chunk)
                results: dict[int, int | RegieError | None] = {}
                todo: list[int] = []
                twins: list[tuple[int, int]] = []
                first: dict[bytes, int] = {}
                for number, wish in enumerate(chunk):
                    if wish.about and known.get(self._about(wish)) == self._content(wish):
                        results[number] = None
                        twins.append((number, first.get(self._about(wish), number)))
                    else:
                        todo.append(number)
                        if wish.about:  # a later row of this chunk is compared with this one
                            known[self._about(wish)] = self._content(wish)
                            first[self._about(wish)] = number
                recorded = await self._record_chunk(
                    database, evaluator, [chunk[number] for number in todo], elements, done, via=via, language=language
                )
                results.update(zip(todo, recorded, strict=True))
                # Nothing counts as unchanged beside an equal wish that was refused.
                results.update((twin, results[number]) for twin, number in twins if _refused(results[number]))
                done.results += [results[number] for number in range(len(chunk))]
                progress(len(chunk))
        return done

    async def look_up(self, resident: Resident, *, limit: int = 100) -> consents_pb2.GetRecordResponse:
        """Return what the ledger holds about a resident, over all purposes: blocked prohibited attempts too (R19)."""
        agency = self._agency
        registry = await agency.registry()
        with portal_database(agency) as database:
            evaluator = RowEvaluator(agency, database, "ledger")
            elements: dict[tuple[str, bytes], bytes] = {}
            wanted = [(purpose.id, resident) for purpose in registry.purposes]
            await self.evaluate(evaluator, registry, wanted, elements)
        rows = [rows_for(registry, purpose, resident, elements) for purpose, _ in wanted]
        request = consents_pb2.GetRecordRequest(rows=[row for row in rows if row.elements], limit=limit)
        return await patiently(lambda: agency.remote.get_record(request), PATIENCE_SECONDS, agency.pause)

    async def _record_chunk(
        self,
        database: Database,
        evaluator: RowEvaluator,
        wishes: Sequence[Wish],
        elements: dict[tuple[str, bytes], bytes],
        done: Recorded,
        *,
        via: events_pb2.CapturedVia.ValueType,
        language: str,
    ) -> list[int | RegieError]:
        if not wishes:
            return []
        agency = self._agency
        registry = await agency.registry()
        wanted = [(purpose, wish.resident) for wish in wishes for purpose in wish.purposes]
        await self.evaluate(evaluator, registry, wanted, elements)
        times = await database.run(lambda connection: self.times(connection, [wish.resident for wish in wishes]))
        request = consents_pb2.RecordRequest()
        for wish, created_ms in zip(wishes, times, strict=True):
            change = request.changes.add(change_id=agency.rng(16), created_ms=created_ms)
            change.capture.CopyFrom(events_pb2.Capture(via=via, by=agency.oin, language=language))
            rows = (rows_for(registry, purpose, wish.resident, elements) for purpose in wish.purposes)
            change.rows.extend(row for row in rows if row.elements)
            wish.fill(change)
        answer = await patiently(lambda: agency.remote.record(request), PATIENCE_SECONDS, agency.pause)
        receipt = read_recorded(answer, request, registry, agency.log_verifiers)
        done.checkpoint = receipt.checkpoint
        results = [_result(result) for result in receipt.results]
        made = [
            {"about": self._about(wish), "content": self._content(wish)}
            for wish, result in zip(wishes, results, strict=True)
            if wish.about and isinstance(result, int)
        ]
        if made:
            await database.run(lambda connection: _choose(connection, made))
        return results

    async def evaluate(
        self,
        evaluator: RowEvaluator,
        registry: Registry,
        wanted: Iterable[tuple[str, Resident]],
        elements: dict[tuple[str, bytes], bytes],
    ) -> None:
        """Fill ``elements`` with what is not known yet; one resident costs one row per purpose and scheme."""
        missing: dict[str, dict[bytes, None]] = {}
        for purpose, resident in wanted:
            for message in _messages(registry, purpose, resident):
                if (purpose, message) not in elements:
                    missing.setdefault(purpose, {})[message] = None
        for purpose, found in missing.items():
            messages = list(found)
            for at in range(0, len(messages), CHUNK):
                part = messages[at : at + CHUNK]
                evaluated = await evaluator.evaluate(purpose, part)
                elements.update(((purpose, message), element) for message, element in zip(part, evaluated, strict=True))

    async def _known(self, database: Database, wishes: Sequence[Wish]) -> dict[bytes, bytes]:
        keys = [self._about(wish) for wish in wishes if wish.about]
        query = select(_CHOICES).where(_CHOICES.c.about.in_(keys))
        return await database.run(lambda connection: {row.about: row.content for row in connection.execute(query)})

    def forget(self, connection: Connection, resident: Resident, scopes: Iterable[events_pb2.Scope]) -> None:
        """Remember no longer what was chosen last for these: the same choice is then a new one."""
        keys = [self._key(resident, (scope.sender, scope.recipient, scope.purpose)) for scope in scopes]
        connection.execute(delete(_CHOICES).where(_CHOICES.c.about.in_(keys)))

    def _about(self, wish: Wish) -> bytes:
        return self._key(wish.resident, wish.about)

    def _key(self, resident: Resident, about: Sequence[str]) -> bytes:
        return self._hash(*self._people(resident), *(part.encode() for part in about))

    def _content(self, wish: Wish) -> bytes:
        """Return what a wish says, today: the same yes on another day is a new one, with a new period (R6)."""
        return self._hash(wish.content.encode(), str(self._agency.clock() // DAY_MS).encode())

    def _people(self, resident: Resident) -> tuple[bytes, ...]:
        return tuple(resident.message(scheme) or b"" for scheme in (BSN, ADDRESS))

    def times(self, connection: Connection, residents: Sequence[Resident]) -> list[int]:
        """Return when each is written about: now, but always later than this portal's last write about them."""
        now = self._agency.clock()
        people = [[self._hash(part) for part in self._people(resident) if part] for resident in residents]
        query = select(_WRITTEN).where(_WRITTEN.c.person.in_({person for group in people for person in group}))
        last: dict[bytes, int] = {row.person: row.created_ms for row in connection.execute(query)}
        times = []
        for group in people:
            created = max([now, *(last.get(person, 0) + 1 for person in group)])
            last.update(dict.fromkeys(group, created))
            times.append(created)
        remember_written(connection, last)
        return times


def remember_written(connection: Connection, last: Mapping[bytes, int]) -> None:
    """Keep when each (keyed) was written about last, unless another process of this portal knows a later time.

    Two that take a time at once may take the same: the ledger refuses one of them as stale, and it is dated again.
    """
    row = insert_into(connection, _WRITTEN)
    later = row.excluded.created_ms > _WRITTEN.c.created_ms
    row = row.on_conflict_do_update(
        index_elements=["person"], set_={"created_ms": row.excluded.created_ms}, where=later
    )
    connection.execute(row, [{"person": person, "created_ms": last[person]} for person in sorted(last)])


def _choose(connection: Connection, made: Sequence[Mapping[str, bytes]]) -> None:
    row = insert_into(connection, _CHOICES)
    row = row.on_conflict_do_update(index_elements=["about"], set_={"content": row.excluded.content})
    connection.execute(row, sorted(made, key=lambda each: each["about"]))


def _refused(result: int | RegieError | None) -> bool:
    return isinstance(result, RegieError)


def _messages(registry: Registry, purpose: str, resident: Resident) -> list[bytes]:
    found = (resident.message(scheme) for scheme in registry.purpose(purpose).schemes)
    return [message for message in found if message is not None]


def rows_for(
    registry: Registry, purpose: str, resident: Resident, elements: Mapping[tuple[str, bytes], bytes]
) -> consents_pb2.Rows:
    """Return a resident's rows in one purpose, from elements by (purpose, message); without any when none fits."""
    messages = _messages(registry, purpose, resident)
    return consents_pb2.Rows(purpose=purpose, elements=[elements[purpose, message] for message in messages])


def _result(result: consents_pb2.ChangeResult) -> int | RegieError:
    if result.HasField("log_index"):
        return int(result.log_index)
    reason = result.error.reason if result.error.reason in STATUS_OF else "INTERNAL"
    return RegieError(reason, result.error.description, result.error.field)
