"""A resident about whom very much was asked, in a real ledger on disk; and what one page costs that ledger.

with long_record(folder, 10_000) as portal, counted(portal) as cost:
    client.get("/nl/mijn")
cost.statements, cost.work, cost.plans()
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.support.ledger import Ledger, Time
from tests.support.portal import ANNA, BY_WEB, MemoryPortal, grant

IN_A_BATCH = 100
STEP = 10
"""Instructions of SQLite's virtual machine that count as one."""


@contextmanager
def long_record(folder: Path, entries: int) -> Iterator[MemoryPortal]:
    """Anna's portal over a SQLite ledger, with a consent of hers and so many exchanges about her."""
    portal = MemoryPortal(ledger=Ledger(folder / f"ledger-{entries}.db", Time()))
    try:
        asyncio.run(_agree(portal))
        batches = max(1, entries // IN_A_BATCH)
        for number in range(batches):
            people = [ANNA.bsn] * min(entries, IN_A_BATCH)
            portal.ledger.decide(people, 1_000 + number, severities=[3] * len(people))
            portal.ledger.clock.forward(days=30 / batches)
        yield portal
    finally:
        portal.ledger.sequencer.reader.close()
        portal.close()


async def _agree(portal: MemoryPortal) -> None:
    await portal.change(await portal.rows(ANNA), BY_WEB, grant())


@dataclass
class Cost:
    """What was asked of the reading side since it was last cleared."""

    engine: sa.Engine
    asked: list[tuple[str, Any]] = field(default_factory=list)
    work: int = 0

    @property
    def statements(self) -> int:
        return len(self.asked)

    def clear(self) -> None:
        self.asked.clear()
        self.work = 0

    def plans(self) -> dict[str, list[str]]:
        """How SQLite finds the rows of each statement that was asked."""
        found = {}
        asked = {sql: parameters for sql, parameters in self.asked if sql.startswith(("SELECT", "WITH"))}
        with self.engine.connect() as connection:
            for sql, parameters in asked.items():
                rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters).all()
                found[sql] = [row[3] for row in rows]
        return found


@contextmanager
def counted(portal: MemoryPortal) -> Iterator[Cost]:
    """Count statements, and the work of SQLite in units of ``STEP`` instructions, which no clock disturbs."""
    engine = portal.ledger.sequencer.reader._engine
    cost = Cost(engine)

    def work() -> int:
        cost.work += 1
        return 0

    def connected(connection: Any, _record: object) -> None:
        connection.set_progress_handler(work, STEP)

    def asked(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        cost.asked.append((statement, parameters))

    engine.dispose()  # connections made before do not count
    sa.event.listen(engine, "connect", connected)
    sa.event.listen(engine, "before_cursor_execute", asked)
    try:
        yield cost
    finally:
        sa.event.remove(engine, "connect", connected)
        sa.event.remove(engine, "before_cursor_execute", asked)
        engine.dispose()
