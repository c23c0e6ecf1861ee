"""How far each book is exported: orgs/<OIN>/data/ldv.db. It holds no record and nothing about a person.

The cursor moves after the collector has said that it has the records, never before. A crash in between sends them
again, under the same ids. It moves only from where it was read: of two exporters at once one finds that it moved, and
what they both sent is the same records twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlmodel import Field

from gateway.database import Database, Stored, table_of
from gateway.home import Organisation
from gateway.ldv.book import Book, LdvError, Portion, Seen, Standing
from gateway.sdk.local import local_database

T = TypeVar("T")
LEDGER = "ledger"
"""The book of the ledger's log: the one whose entries may be erased before they are exported."""
_SEEN_AHEAD = 512  # at least what a book reads for one portion (ledgerbook.ENTRIES)


class LdvBook(Stored, table=True):
    """A book: every row below ``next`` is exported."""

    __tablename__ = "ldv_book"
    name: str = Field(primary_key=True)
    label: str
    next: int = 0
    turn: int = 0
    exported: int = 0  # records that were taken, and of them those without a data subject
    anonymous: int = 0


class LdvBeyond(Stored, table=True):
    """A row that is exported although one below it is not: that one has no answer yet."""

    __tablename__ = "ldv_beyond"
    __table_args__: ClassVar[Any] = {"sqlite_with_rowid": False}
    book: str = Field(primary_key=True)
    number: int = Field(primary_key=True)


class LdvSeen(Stored, table=True):
    """What is remembered of an entry that was erased while it waited (book.Seen)."""

    __tablename__ = "ldv_seen"
    place: int = Field(primary_key=True)
    kind: str
    time_ms: int
    trace_id: bytes


class LdvSetAside(Stored, table=True):
    """A record that the collector refuses for what it is; the others went on without it."""

    __tablename__ = "ldv_set_aside"
    __table_args__: ClassVar[Any] = {"sqlite_with_rowid": False}
    book: str = Field(primary_key=True)
    place: int = Field(primary_key=True)
    why: str
    at_ms: int


class LdvTrouble(Stored, table=True):
    """One row: why the last attempt to export failed; none after one that went well."""

    __tablename__ = "ldv_trouble"
    id: int = Field(primary_key=True)
    why: str
    at_ms: int


TABLES: tuple[type[Stored], ...] = (LdvBook, LdvBeyond, LdvSeen, LdvSetAside, LdvTrouble)
_BOOKS, _BEYOND, _SEEN, _ASIDE, _TROUBLE = map(table_of, TABLES)


class Refused(NamedTuple):
    """A record to set aside: its place in the book, and what the collector said."""

    place: int
    why: str


@dataclass(frozen=True, slots=True)
class Count:
    """The account of a book: records taken (``anonymous`` of them without a data subject), and those set aside.

    ``remembered``: erased entries from ``next`` on by kind.
    """

    next: int
    exported: int
    anonymous: int
    remembered: Mapping[str, int]
    set_aside: tuple[Refused, ...]


class State:
    """The cursors of one organisation."""

    def __init__(self, database: Database) -> None:
        """Work on an open database."""
        self._database = database

    @classmethod
    @contextmanager
    def open(cls, organisation: Organisation) -> Iterator[State]:
        """Open the organisation's cursors; also while another process exports."""
        with local_database(organisation, "ldv", TABLES) as database:
            yield cls(database)

    async def standing(self, book: Book) -> Standing:
        """Return how far a book is; raises LdvError when the cursor is of another book."""
        return await self._run(lambda connection: _standing(connection, book))

    async def advance(self, book: Book, before: Standing, portion: Portion, refused: Sequence[Refused]) -> bool:
        """Note that a portion was taken, but for what is refused; False, and nothing, when another exporter moved it.

        The time of what is set aside is that of the record itself: no clock is needed to say which one it is.
        """
        return await self._run(lambda connection: _advance(connection, book, before, portion, refused))

    def remember(self, book: Book, seen: Sequence[Seen]) -> None:
        """Remember entries of the ledger's log that are erased and not exported yet; returns once that is durable."""
        self._database.run_now(lambda connection: _remember(connection, book, seen))

    async def count(self, book: Book) -> Count:
        """Return the account of a book."""
        return await self._run(lambda connection: _count(connection, book))

    async def trouble(self) -> tuple[str, int] | None:
        """Return why the last attempt failed, and when (Unix milliseconds)."""
        row = await self._run(lambda connection: connection.execute(select(_TROUBLE.c.why, _TROUBLE.c.at_ms)).first())
        return (row.why, row.at_ms) if row else None

    async def note(self, why: str | None, now_ms: int) -> None:
        """Note why an attempt failed, or (None) that it went well."""
        fresh = insert(_TROUBLE).prefix_with("OR REPLACE").values(id=1, why=why, at_ms=now_ms)
        statement = delete(_TROUBLE) if why is None else fresh
        await self._run(lambda connection: connection.execute(statement))

    async def _run(self, work: Callable[[Connection], T]) -> T:
        return await self._database.run(work)


def _standing(connection: Connection, book: Book) -> Standing:
    row = connection.execute(select(_BOOKS).where(_BOOKS.c.name == book.name)).first()
    if row is None:
        return Standing()
    if row.label != book.label:
        raise LdvError(
            f"ldv.db belongs to the book {row.label}, and this one is {book.label}: nothing is exported until this is "
            "cleared up (docs/ldv.md)"
        )
    beyond = connection.execute(select(_BEYOND.c.number).where(_BEYOND.c.book == book.name)).scalars()
    ahead = (_SEEN.c.place >= row.next) & (_SEEN.c.place < row.next + _SEEN_AHEAD)
    seen = {found.place: Seen(*found) for found in connection.execute(select(_SEEN).where(ahead))}
    return Standing(row.next, frozenset(beyond), seen if book.name == LEDGER else {}, row.turn)


def _advance(
    connection: Connection, book: Book, before: Standing, portion: Portion, refused: Sequence[Refused]
) -> bool:
    _add(connection, book)
    moved = {
        "next": portion.next,
        "turn": _BOOKS.c.turn + 1,
        "exported": _BOOKS.c.exported + len(portion.items) - len(refused),
        "anonymous": _BOOKS.c.anonymous + _anonymous(portion, refused),
    }
    mine = (_BOOKS.c.name == book.name) & (_BOOKS.c.turn == before.turn)
    if connection.execute(update(_BOOKS).where(mine).values(moved)).rowcount != 1:
        return False
    if refused:
        times = {item.place: item.record.end_ms for item in portion.items}
        rows = [{"book": book.name, "place": one.place, "why": one.why, "at_ms": times[one.place]} for one in refused]
        connection.execute(insert(_ASIDE).on_conflict_do_nothing(), rows)
    if marks := [number for number in portion.marks if number >= portion.next]:
        connection.execute(insert(_BEYOND).on_conflict_do_nothing(), [{"book": book.name, "number": n} for n in marks])
    if before.beyond:
        connection.execute(delete(_BEYOND).where((_BEYOND.c.book == book.name) & (_BEYOND.c.number < portion.next)))
    if book.name == LEDGER:
        connection.execute(delete(_SEEN).where(_SEEN.c.place < portion.next))
    return True


def _add(connection: Connection, book: Book) -> None:
    connection.execute(insert(_BOOKS).values(name=book.name, label=book.label).on_conflict_do_nothing())


def _anonymous(portion: Portion, refused: Sequence[Refused]) -> int:
    gone = {one.place for one in refused}
    return sum(item.anonymous for item in portion.items if item.place not in gone)


def _remember(connection: Connection, book: Book, seen: Sequence[Seen]) -> None:
    _add(connection, book)
    exported = connection.execute(select(_BOOKS.c.next).where(_BOOKS.c.name == book.name)).scalar_one()
    if waiting := [one._asdict() for one in seen if one.place >= exported]:
        connection.execute(insert(_SEEN).on_conflict_do_nothing(), waiting)


def _count(connection: Connection, book: Book) -> Count:
    row = connection.execute(select(_BOOKS).where(_BOOKS.c.name == book.name)).first()
    query = select(_ASIDE.c.place, _ASIDE.c.why).where(_ASIDE.c.book == book.name).order_by(_ASIDE.c.place)
    aside = tuple(Refused(*found) for found in connection.execute(query))
    if row is None:
        return Count(0, 0, 0, {}, aside)
    waiting = select(_SEEN.c.kind, func.count()).where(_SEEN.c.place >= row.next).group_by(_SEEN.c.kind)
    found = connection.execute(waiting) if book.name == LEDGER else ()
    remembered = {str(kind): int(number) for kind, number in found}
    return Count(row.next, row.exported, row.anonymous, remembered, aside)
