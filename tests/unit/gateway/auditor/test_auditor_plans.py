"""Pages ask by index: no question of A1, A2, A5 or A14 reads all exchanges, however many there are."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from gateway.auditor.filters import Filter
from gateway.auditor.index import tables, views
from gateway.auditor.pages import exchanges, overview, refusals
from gateway.database import Database
from tests.bench.console import ROUTES, fill

FILTERS = [
    Filter(),
    Filter(van=ROUTES[0][0], stand="refused"),
    Filter(reden=1),
    Filter(doel="doel-1", vanaf=20_010, tot=20_020),
    Filter(bewoner=500),
]
GROWING = ("exchange", "about", "followed", "seen")
"""Tables with a row for each exchange or more."""


@pytest.fixture
async def database(tmp_path):
    found = Database(tmp_path / "audit.db", tables.TABLES)
    await found.run(lambda connection: fill(connection, 2_000))
    yield found
    found.close()


def plans(connection, work) -> dict[str, list[str]]:
    """Each question that ``work`` asks, with how SQLite answers it."""
    asked: dict[str, tuple] = {}

    def note(_connection, _cursor, statement, parameters, _context, _many):
        asked.setdefault(statement, parameters)

    event.listen(connection, "before_cursor_execute", note)
    try:
        work(connection)
    finally:
        event.remove(connection, "before_cursor_execute", note)
    return {
        statement: [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
        for statement, parameters in asked.items()
        if statement.startswith("SELECT")
    }


@pytest.mark.parametrize("chosen", FILTERS, ids=str)
async def test_no_page_scans_what_grows_with_the_exchanges(database, chosen):
    works = [
        lambda connection: exchanges._read(connection, chosen, None),
        lambda connection: exchanges._read(connection, chosen, 1_000),
        lambda connection: overview._read(connection, Filter(vanaf=chosen.vanaf), 0),
        lambda connection: refusals._read(connection, Filter(vanaf=chosen.vanaf)),
        views.views,
    ]
    for work in works:
        found = await database.run(lambda connection, work=work: plans(connection, work))
        assert found
        for statement, steps in found.items():
            scanned = [step for step in steps if any(step.split()[:2] == ["SCAN", table] for table in GROWING)]
            assert not scanned, (statement, steps)


async def test_rows_of_a_cell_come_from_its_index(database):
    found = await database.run(lambda connection: plans(connection, lambda c: exchanges._read(c, Filter(), None)))
    (plan,) = [
        steps for statement, steps in found.items() if statement.startswith("SELECT idx FROM exchange WHERE cell")
    ]
    assert plan == ["SEARCH exchange USING COVERING INDEX exchange_by_cell (cell=? AND idx<?)"]


async def test_a_plan_that_scans_is_noticed(database):
    found = await database.run(
        lambda connection: plans(connection, lambda c: c.exec_driver_sql("SELECT count(trace_id) FROM exchange"))
    )
    assert list(found.values()) == [["SCAN exchange"]]
