"""Sealed sessions in the viewer's database."""

from __future__ import annotations

from pathlib import Path

from gateway.database import Database
from gateway.viewer.sessions import TABLES, StoredSessions
from tests.support.ledger import Time


async def test_sessions_are_shared_replaced_and_gone_when_over(tmp_path: Path):
    clock = Time()
    database, other = (Database(tmp_path / "sessions.db", TABLES) for _ in range(2))
    try:
        here, there = StoredSessions(database, clock), StoredSessions(other, clock)
        await here.write(b"one", b"sealed", clock() + 1000)
        assert await there.read(b"one") == b"sealed"
        await there.write(b"one", b"again", clock() + 2000)
        assert await here.read(b"one") == b"again"
        clock.forward(ms=2000)
        await here.write(b"two", b"sealed", clock() + 1000)
        assert await there.read(b"one") is None, "what is over goes with the next write"
        await there.delete(b"two")
        assert await here.read(b"two") is None
    finally:
        database.close()
        other.close()
    assert (tmp_path / "sessions.db").stat().st_mode & 0o077 == 0
