"""Sealed sessions in the viewer's database: every viewer process over it shares them."""

from __future__ import annotations

from sqlalchemy import Column, Connection, delete, select
from sqlmodel import Field

from consent_ledger.clock import Clock
from gateway.database import NUMBER, Database, Stored, insert_into, table_of


class SealedSession(Stored, table=True):
    """One visitor's session under a key that is not here (consent_ledger/viewer/session.py)."""

    __tablename__ = "session"
    key: bytes = Field(primary_key=True)
    sealed: bytes
    expires_ms: int = Field(sa_column=Column(NUMBER, nullable=False, index=True))


TABLES: tuple[type[Stored], ...] = (SealedSession,)
_SESSIONS = table_of(SealedSession)


class StoredSessions:
    """A SessionStore; whatever is over goes with the next write."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Keep them in ``database``."""
        self._database, self._clock = database, clock

    async def read(self, key: bytes) -> bytes | None:
        """Return the sealed session, or None."""
        query = select(_SESSIONS.c.sealed).where(_SESSIONS.c.key == key)
        return await self._database.run(lambda connection: connection.execute(query).scalar_one_or_none())

    async def write(self, key: bytes, sealed: bytes, expires_ms: int) -> None:
        """Store it, over what was there."""
        now = self._clock()

        def work(connection: Connection) -> None:
            connection.execute(delete(_SESSIONS).where(_SESSIONS.c.expires_ms <= now))
            row = insert_into(connection, _SESSIONS).values(key=key, sealed=sealed, expires_ms=expires_ms)
            kept = {"sealed": row.excluded.sealed, "expires_ms": row.excluded.expires_ms}
            connection.execute(row.on_conflict_do_update(index_elements=["key"], set_=kept))

        await self._database.run(work)

    async def delete(self, key: bytes) -> None:
        """Forget it."""
        await self._database.run(lambda connection: connection.execute(delete(_SESSIONS).where(_SESSIONS.c.key == key)))
