"""What A6 and A9 to A12 read of the index: rows as they were put there, and the fishing sender among them."""

import pytest
from sqlalchemy import Connection

from consent_ledger.clock import DAY_MS
from consent_ledger.v1 import events_pb2 as pb
from gateway.auditor import reading
from gateway.auditor.anomalies import HOUR_MS, Kind, worst
from gateway.auditor.index import states, tables
from gateway.auditor.index.states import day_of
from gateway.auditor.unusual import unusual
from gateway.database import Database

NOW = 1_767_225_600_000 // HOUR_MS * HOUR_MS
ENERGY, TAX, CITY = "00000099000000000011", "00000099000000000013", "00000099000000000021"


@pytest.fixture
async def index(tmp_path):
    database = Database(tmp_path / "audit.db", tables.TABLES)
    yield database
    database.close()


def put(connection: Connection, table: type, *rows: dict[str, object]) -> None:
    for row in rows:
        connection.execute(table.__table__.insert().values(**row))


def hours(connection, who, counts, first_ms):
    rows = [
        {"hour": first_ms // HOUR_MS + number, "sender": who, "signals": count, "residents": count}
        for number, count in enumerate(counts)
    ]
    put(connection, tables.Hour, *rows)


def cells(connection, *rows):
    """(id, day, route, reason, state, count) each."""
    names = ("id", "day", "route", "reason", "state", "count")
    put(connection, tables.Cell, *({**dict(zip(names, row, strict=True)), "erased": 0} for row in rows))
    put(
        connection,
        tables.Route,
        *(
            {"id": number, "sender": sender, "recipient": CITY, "purpose": "p", "version": 1, "items": "i"}
            for number, sender in ((1, ENERGY), (2, TAX))
        ),
    )


async def test_every_rule_is_fed_from_the_index(index):
    today, old = day_of(NOW), day_of(NOW) - 20
    desk = {"kind": "consent_granted", "via": pb.CAPTURED_VIA_DESK, "resident": b"r" * 16}

    def fill(connection):
        hours(connection, TAX, [6] * 20, NOW - 10 * DAY_MS)
        hours(connection, ENERGY, [5] * 20, NOW - 10 * DAY_MS)
        hours(connection, ENERGY, [120], NOW)
        cells(
            connection,
            (1, today, 1, pb.REASON_NO_CONSENT, states.REFUSED, 20),
            (2, today, 1, pb.REASON_AWAITING_RESIDENT, states.REFUSED, 10),
            (3, old, 1, pb.REASON_ALLOWED, states.ACKNOWLEDGED, 30),
            (4, old, 2, pb.REASON_ALLOWED, states.REPORTED, 100),
        )
        put(connection, tables.Act, *({**desk, "idx": n, "time_ms": NOW, "by": "a1"} for n in range(20)))

    await index.run(fill)
    found = (await index.run(lambda connection: unusual(connection, NOW - DAY_MS, NOW))).findings
    fires = {one.kind: one for one in worst(found) if one.fires}
    assert (fires[Kind.RESIDENTS].who, fires[Kind.RESIDENTS].value, fires[Kind.RESIDENTS].usual) == (ENERGY, 120, 5)
    assert (fires[Kind.REFUSALS].value, fires[Kind.REFUSALS].count) == (100 * 20 / 30, 20), "not yet is no refusal"
    assert (fires[Kind.OUTCOMES].who, fires[Kind.OUTCOMES].count) == (CITY, 30)
    assert (fires[Kind.DESK].who, fires[Kind.DESK].value) == ("a1", 20)
    assert Kind.OFF_HOURS in fires, "1 January, one o'clock at night"


async def test_what_staff_recorded(index):
    act = {"time_ms": NOW, "kind": "consent_granted", "resident": b"r" * 16}
    rows = [
        {**act, "idx": 1, "via": pb.CAPTURED_VIA_DESK, "by": "a1", "proven": True, "confirmed_idx": 9},
        {**act, "idx": 2, "via": pb.CAPTURED_VIA_PAPER, "by": "a1"},
        {**act, "idx": 3, "via": pb.CAPTURED_VIA_WEB, "by": ""},
        {**act, "idx": 4, "via": pb.CAPTURED_VIA_DESK, "by": "b2", "refused": "PRESENCE_REQUIRED"},
    ]
    await index.run(lambda connection: put(connection, tables.Act, *rows))
    assert [one.idx for one in await index.run(reading.acts)] == [4, 2, 1]
    assert [one.idx for one in await index.run(lambda c: reading.acts(c, "a1", before=2))] == [1]
    assert [
        (one.by, one.recorded, one.proven, one.confirmed, one.refused) for one in await index.run(reading.employees)
    ] == [
        ("a1", 2, 1, 1, 0),
        ("b2", 0, 0, 0, 1),
    ]


async def test_questions_and_notices_by_how_they_stand(index):
    task = {"time_ms": 1, "organisation": CITY, "purpose": "p", "resident": b"r" * 16}
    rows = [
        {**task, "idx": 1, "kind": "question", "due_ms": NOW - 1},
        {**task, "idx": 2, "kind": "question", "due_ms": NOW + 1},
        {**task, "idx": 3, "kind": "question", "due_ms": NOW - 9, "done_idx": 8, "done_ms": NOW - 2},
        {**task, "idx": 4, "kind": "stop_use", "due_ms": NOW + 1},
    ]
    await index.run(lambda connection: put(connection, tables.Task, *rows))
    for only, expected in (("overdue", [1]), ("open", [2, 1]), ("", [3, 2, 1])):
        found = await index.run(lambda c, only=only: reading.tasks(c, "question", NOW, only=only))
        assert [one.idx for one in found] == expected
    assert [one.is_overdue(NOW) for one in found] == [True, False, True]
    assert await index.run(lambda c: reading.task_counts(c, NOW)) == [
        (CITY, "question", 3, 1, 2, 1),
        (CITY, "stop_use", 1, 0, 1, 0),
    ]


async def test_a_number_that_is_missing_in_a_chain_is_counted(index):
    chain = [{"resident": b"a" * 16, "seq": seq, "idx": seq} for seq in (1, 2, 5)]
    chain += [{"resident": b"b" * 16, "seq": seq, "idx": 10 + seq} for seq in (1, 2)]
    await index.run(lambda connection: put(connection, tables.About, *chain))
    assert await index.run(reading.chains) == (2, 1, 2, 0)
