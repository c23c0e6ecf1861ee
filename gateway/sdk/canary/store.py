"""What an organisation keeps of canaries: those it holds, and at a sender what became of those it sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlmodel import Field

from gateway.database import Database, Stored, table_of
from gateway.home import Organisation
from gateway.sdk.canary.cards import HeldCanary
from gateway.sdk.local import local_database

PENDING = 0
"""Outcome of a canary that has no answer yet."""


class Held(Stored, table=True):
    """One canary; the fields are those of HeldCanary."""

    __tablename__ = "held"
    id: bytes = Field(primary_key=True)
    secret: bytes
    sender: str
    recipient: str
    purpose: str
    purpose_version: int
    created_ms: int
    expires_ms: int
    stored_index: bytes | None = None
    log_index: int | None = None


class Sent(Stored, table=True):
    """The signal of a canary of one UTC day, and the coarse answer to it (Outcome; PENDING: none yet)."""

    __tablename__ = "sent"
    canary: bytes = Field(primary_key=True)
    day: int = Field(primary_key=True)
    outcome: int = PENDING
    sent_ms: int


TABLES: tuple[type[Stored], ...] = (Held, Sent)
_HELD, _SENT = table_of(Held), table_of(Sent)


@dataclass(frozen=True, slots=True)
class SentCanary:
    """One signal of a canary; the fields are those of the table."""

    canary: bytes
    day: int
    outcome: int
    sent_ms: int


class CanaryStore:
    """The canaries of one organisation."""

    def __init__(self, database: Database) -> None:
        """Work on an open database."""
        self._database = database

    @classmethod
    @contextmanager
    def open(cls, organisation: Organisation) -> Iterator[CanaryStore]:
        """Open the organisation's canaries."""
        with local_database(organisation, "canary", TABLES) as database:
            yield cls(database)

    @staticmethod
    def exists(organisation: Organisation) -> bool:
        """Tell whether this organisation ever held a canary: most sends and deliveries need not look further."""
        return (organisation.data / "canary.db").exists()

    async def hold(self, canaries: Sequence[HeldCanary]) -> None:
        """Keep canaries; the same again changes nothing but what is learned about them."""
        values = [{"id": canary.id, **asdict(canary)} for canary in canaries]
        row = insert(_HELD)
        learned = {"stored_index": row.excluded.stored_index, "log_index": row.excluded.log_index}
        await self._database.run(
            lambda c: c.execute(row.on_conflict_do_update(index_elements=["id"], set_=learned), values)
        )

    async def all(self) -> list[HeldCanary]:
        """Return all canaries, newest first."""
        query = select(*(_HELD.c[name] for name in HeldCanary.__dataclass_fields__)).order_by(_HELD.c.created_ms.desc())
        return await self._database.run(lambda c: [HeldCanary(*row) for row in c.execute(query)])

    async def current(self, now_ms: int) -> dict[tuple[str, str, str], list[HeldCanary]]:
        """Return the canaries of the newest card by (sender, recipient, purpose); [] when that one has expired."""
        found: dict[tuple[str, str, str], list[HeldCanary]] = {}
        for canary in await self.all():
            of_card = found.setdefault((canary.sender, canary.recipient, canary.purpose), [])
            if not of_card or of_card[0].created_ms == canary.created_ms:
                of_card.append(canary)
        return {party: [c for c in canaries if now_ms < c.expires_ms] for party, canaries in found.items()}

    async def sent(self, canaries: Sequence[HeldCanary]) -> list[SentCanary]:
        """Return what was sent of these canaries, newest first."""
        query = select(*(_SENT.c[name] for name in SentCanary.__dataclass_fields__))
        query = query.where(_SENT.c.canary.in_([canary.id for canary in canaries]))
        query = query.order_by(_SENT.c.sent_ms.desc())
        return await self._database.run(lambda c: [SentCanary(*row) for row in c.execute(query)])

    async def send(self, canary: bytes, day: int, now_ms: int) -> None:
        """Note that a canary is on its way, before it is."""
        row = insert(_SENT).values(canary=canary, day=day, outcome=PENDING, sent_ms=now_ms)
        await self._database.run(lambda c: c.execute(row.on_conflict_do_nothing()))

    async def answered(self, canary: bytes, day: int, outcome: int) -> None:
        """Keep the answer to a canary."""
        this = (_SENT.c.canary == canary) & (_SENT.c.day == day)
        done = update(_SENT).where(this).values(outcome=outcome)
        await self._database.run(lambda c: c.execute(done))

    async def give_up(self, before_ms: int) -> None:
        """Forget canaries that have had no answer since long: their batches have expired."""
        await self._database.run(lambda c: _give_up(c, before_ms))


def _give_up(connection: Connection, before_ms: int) -> None:
    connection.execute(delete(_SENT).where((_SENT.c.outcome == PENDING) & (_SENT.c.sent_ms < before_ms)))
