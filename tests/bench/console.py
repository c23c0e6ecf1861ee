"""A1 and A2 at a million exchanges, and how fast the console follows a log."""

from __future__ import annotations

import os
import random
from pathlib import Path
from time import perf_counter

from sqlalchemy import Connection

from consent_ledger.v1 import events_pb2 as pb
from gateway.auditor.filters import Filter
from gateway.auditor.index import fold, states, tables
from gateway.auditor.index.follow import Follower
from gateway.auditor.index.writer import Writer
from gateway.auditor.pages import exchanges, overview
from gateway.database import Database
from tests.bench.section import Bench, Figures
from tests.support.auditlog import DAY, SIGNER, FakeLog

EXCHANGES = 1_000_000
FOLLOWED = 20_000
_STEP = 20_000
_DAYS = 90
ROUTES = [
    (f"{sender:020d}", f"{100 + recipient:020d}", f"doel-{sender % 3}", 1, "betalingsachterstand")
    for sender in range(8)
    for recipient in range(5)
]


def fill(connection: Connection, number: int, seed: int = 5) -> None:
    """Write so many exchanges over 90 days through the writer itself: skewed as a town is, one reason very rare."""
    rng, writer = random.Random(seed), Writer(connection)
    step_ms = _DAYS * 86_400_000 // number
    for start in range(0, number, _STEP):
        changes: list[fold.Change] = []
        for index in range(start, min(start + _STEP, number)):
            refused = rng.random() < 0.4
            reason = rng.choice((5, 5, 5, 6, 7, 13)) if refused else int(pb.REASON_ALLOWED)
            reason = int(pb.REASON_PURPOSE_PROHIBITED) if index % 99_991 == 7 else reason
            state = states.REFUSED if reason != pb.REASON_ALLOWED else states.WAITING
            changes.append(
                fold.Decided(
                    idx=index,
                    time_ms=DAY + index * step_ms,
                    route=ROUTES[min(int(rng.expovariate(0.12)), len(ROUTES) - 1)],
                    reason=reason,
                    state=state,
                    resident=rng.randrange(number // 8).to_bytes(16, "big"),
                    outcome=1,
                    trace_id=index.to_bytes(16, "big"),
                    decided_by="",
                )
            )
        writer.write(connection, changes)


async def measure(bench: Bench) -> Figures:
    """Return milliseconds of the slower questions, of three tries the median, and entries followed a second."""
    number = bench.pick(EXCHANGES, EXCHANGES // 100)
    database = Database(bench.folder / "audit.db", tables.TABLES)
    try:
        began = perf_counter()
        await database.run(lambda connection: fill(connection, number))
        filled = perf_counter() - began
        figures = {
            "exchanges": number,
            "fill_per_s": round(number / filled),
            "a1_ms": await _median(database, lambda connection: overview._read(connection, Filter(), DAY)),
            "a2_ms": await _slowest(database, number),
            "follow_per_s": await _followed(bench.folder),
        }
    finally:
        database.close()
    return {"console": figures}


async def _slowest(database: Database, number: int) -> float:
    """A2 in the ways that could be slow: nothing chosen, a rare reason, one resident, a page far back."""
    asked = [
        (Filter(), None),
        (Filter(), number // 2),
        (Filter(reden=int(pb.REASON_PURPOSE_PROHIBITED)), None),
        (Filter(van=ROUTES[0][0], stand="refused"), number // 3),
        (Filter(bewoner=number // 2), None),
    ]
    return max([await _median(database, lambda c, a=a: exchanges._read(c, *a)) for a in asked])


async def _median(database: Database, work) -> float:
    times = []
    for _ in range(3):
        began = perf_counter()
        await database.run(work)
        times.append(perf_counter() - began)
    return round(sorted(times)[1] * 1000, 1)


async def _followed(folder: Path) -> int:
    """Entries a second that are proven, opened and folded; the log answers from memory."""
    log = FakeLog()
    for person in range(FOLLOWED // 2):
        log.release(log.decide(person), person)
    (folder / "followed").mkdir()
    database = Database(folder / "followed" / "audit.db", tables.TABLES)
    try:
        follower = Follower(log, database, os.urandom(32), lambda: [SIGNER.verifier], lambda: log.now_ms)
        began = perf_counter()
        assert await follower.round() == FOLLOWED
        return round(FOLLOWED / (perf_counter() - began))
    finally:
        database.close()
