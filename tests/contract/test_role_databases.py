"""What gateway, pseudonym service and viewer keep, in a file and in PostgreSQL: by two processes at once too."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from consent_ledger.errors import RegieError
from gateway.database import Database, looking
from gateway.evaluator import stores
from gateway.evaluator.stores import Charge, Request
from gateway.exchange import inbox, refusals, tables
from gateway.exchange.delivery import Doorbell
from gateway.exchange.inbox import Answered, Kept
from gateway.exchange.refusals import HourCount
from gateway.sdk import portal
from gateway.viewer.sessions import TABLES as SESSIONS
from gateway.viewer.sessions import StoredSessions
from tests.support.ledger import Time
from tests.support.postgres import OWNER

ENGINES = ["sqlite", "postgres18", pytest.param("postgres15", marks=pytest.mark.needs("postgres15"))]
NOW = 1_795_000_000_000
WORKERS = 8
NUMBERS = ("permitted", "ciphertext_size", "expires_ms", "retain_until_ms")


@pytest.fixture(params=ENGINES)
def place(request, tmp_path):
    """Where a new database is: a path, or an address."""
    if request.param == "sqlite":
        return tmp_path / "x.db"
    server = request.getfixturevalue(request.param)
    return server.uri(server.database(migrated=False), OWNER)


@pytest.fixture
def opened(place):
    """Opens the database as another process of its role would."""
    made = []

    def one(models=tables.TABLES, owner="gateway"):
        made.append(Database(place, models, owner=owner))
        return made[-1]

    yield one
    for database in made:
        database.close()


def at_once(databases, works):
    """Run every work, spread over the databases, from threads that start together; results and refusals in order."""
    start = threading.Barrier(WORKERS)

    def worker(number):
        start.wait()
        mine = works[number::WORKERS]
        return [outcome(databases[(number + at) % len(databases)], work) for at, work in enumerate(mine)]

    with ThreadPoolExecutor(WORKERS) as pool:
        return [result for results in pool.map(worker, range(WORKERS)) for result in results]


def outcome(database, work):
    try:
        return database.run_now(work)
    except RegieError as refusal:
        return refusal.reason


def request(number=1, digest=b"h"):
    return Request("signals", "party", number.to_bytes(16, "big"), digest, NOW + 1000)


def kept(number, recipient="r"):
    values = dict.fromkeys(Kept.__dataclass_fields__, b"x")
    values |= {"header_hash": number.to_bytes(32, "big"), "header": b"%d" % number, "recipient": recipient}
    values |= dict.fromkeys(NUMBERS, 1) | {"expires_ms": NOW + 1000, "retain_until_ms": NOW + 5000, "traceparent": ""}
    return Kept(**values)


def stored(number):
    answer = Answered(b"list %d" % number, b"signature")
    return lambda connection: inbox.store(connection, request(number), answer, kept(number))


def test_a_request_counts_once_however_many_replicas_see_it(opened):
    databases = opened(), opened()
    works = [lambda c: stores.claim(c, request(1))] * 16 + [lambda c: stores.claim(c, request(2, b"other"))] * 16
    assert Counter(at_once(databases, works)) == {True: 2, False: 30}
    assert outcome(databases[0], lambda c: stores.claim(c, request(1, b"changed"))) == "BATCH_ID_REUSED"


def test_a_quota_is_used_up_and_never_overshot(opened):
    databases = opened(), opened()
    works = [lambda c: stores.charge(c, Charge("a", 1, 3, 20))] * 24
    assert Counter(at_once(databases, works)) == {None: 6, "QUOTA_EXCEEDED": 18}
    assert databases[0].run_now(lambda c: c.execute(select(tables.table_of(stores.Quota))).all()) == [("a", 1, 18)]
    assert outcome(databases[1], lambda c: stores.charge(c, Charge("b", 1, 21, 20))) == "QUOTA_EXCEEDED"


def test_what_fits_the_free_account_is_charged_there(opened):
    databases = opened(), opened()
    charge = Charge("paid", 1, 1, 100, free=Charge("free", 1, 1, 5))
    at_once(databases, [lambda c: stores.charge(c, charge)] * 16)
    rows = databases[0].run_now(lambda c: c.execute(select(tables.table_of(stores.Quota))).all())
    assert sorted(rows) == [("free", 1, 5), ("paid", 1, 11)]


def test_a_request_is_charged_once_or_not_claimed(opened):
    databases = opened(), opened()
    cost = Charge("a", 1, 4, 10)
    works = [lambda c, n=number % 4: stores.claim_and_charge(c, request(n), cost) for number in range(32)]
    found = Counter(at_once(databases, works))
    assert found[None] + found["QUOTA_EXCEEDED"] == 32
    rows = databases[0].run_now(lambda c: c.execute(select(tables.table_of(stores.Quota).c.used)).scalar_one())
    once = databases[0].run_now(lambda c: len(c.execute(select(tables.table_of(stores.Once))).all()))
    assert (rows, once) == (8, 2)


def test_the_first_public_value_is_held_to(opened):
    databases = [opened(stores.TABLES, "pseudonyms") for _ in range(2)]
    works = [lambda c, n=number: stores.pin(c, b"domain", b"%d" % n) for number in range(16)]
    assert Counter(at_once(databases, works)) == {None: 1, "PROOF_INVALID": 15}


def test_each_batch_is_offered_to_one_of_those_who_ask_at_once(opened):
    databases = opened(), opened()
    at_once(databases, [stored(number) for number in range(40)])
    offers = at_once(databases, [lambda c: inbox.lease(c, "r", 3, NOW, 500)] * 16)
    headers = [offer.header for found in offers for offer in found]
    assert len(headers) == len(set(headers))
    rest = databases[0].run_now(lambda c: inbox.lease(c, "r", 40, NOW, 500))
    assert sorted(headers + [offer.header for offer in rest]) == sorted(b"%d" % number for number in range(40))
    again = databases[1].run_now(lambda c: inbox.lease(c, "r", 40, NOW + 500, 500))
    assert len(again) == 40
    assert databases[0].run_now(lambda c: inbox.next_lease_end(c, "r", NOW + 500)) == NOW + 1000


def test_an_answer_is_stored_once_with_what_was_permitted(opened):
    databases = opened(), opened()
    assert Counter(at_once(databases, [stored(number % 2) for number in range(24)])) == {True: 2, False: 22}
    assert databases[0].run_now(lambda c: inbox.count_waiting(c, NOW)) == 2
    assert databases[0].run_now(lambda c: inbox.first_expiry(c, NOW)) == NOW + 1000
    assert databases[1].run_now(lambda c: inbox.find_answer(c, request(1))) == Answered(b"list 1", b"signature")


def test_a_batch_goes_from_waiting_to_acknowledged_to_gone(opened):
    here, there = opened(), opened()
    here.run_now(stored(7))
    name = (7).to_bytes(32, "big")
    assert there.run_now(lambda c: inbox.read(c, "r", name, NOW)) == kept(7)
    here.run_now(lambda c: inbox.mark_delivered(c, name, NOW, 100))
    for database in (here, there):
        database.run_now(lambda c: inbox.mark_acknowledged(c, name, NOW))
    assert there.run_now(lambda c: inbox.is_acknowledged(c, "r", name))
    assert outcome(here, lambda c: inbox.read(c, "r", name, NOW)) == "BATCH_UNKNOWN"
    assert there.run_now(lambda c: inbox.sweep(c, NOW + 5001)) == 1
    assert outcome(here, lambda c: inbox.is_acknowledged(c, "r", name)) == "BATCH_UNKNOWN"


def test_refusals_are_counted_together_and_the_alarm_is_raised_once(opened, place):
    databases = opened(), opened()
    works = [lambda c: refusals.admit(c, "s", 5, NOW, 20)] * 16
    assert Counter(at_once(databases, works)) == {None: 4, "OVERLOADED": 12}
    answers = [lambda c: refusals.settle(c, "s", 5, refused=5, now_ms=NOW, most=20)] * 4
    assert Counter(at_once(databases, answers)) == {True: 1, False: 3}
    assert outcome(databases[0], lambda c: refusals.admit(c, "s", 5, NOW, 20)) == "QUOTA_EXCEEDED"
    databases[1].run_now(lambda c: refusals.turned_away(c, "s", 5, NOW))
    assert refusals.hour_counts(place, 0) == [HourCount("s", NOW // refusals.HOUR_MS, 20, 20, 5)]


async def test_sessions_are_those_of_every_viewer(opened):
    clock = Time()
    here, there = (StoredSessions(opened(SESSIONS, "viewer"), clock) for _ in range(2))
    await asyncio.gather(*(each.write(b"one", b"sealed", clock() + 1000) for each in (here, there) * 8))
    await there.write(b"one", b"again", clock() + 2000)
    assert await here.read(b"one") == b"again"
    clock.forward(ms=2000)
    await here.write(b"two", b"sealed", clock() + 1000)
    assert await there.read(b"one") is None
    await there.delete(b"two")
    assert await here.read(b"two") is None


def test_the_time_of_the_last_write_about_somebody_never_goes_back(opened):
    databases = [opened(portal.TABLES, "viewer") for _ in range(2)]
    works = [lambda c, at=at: portal.remember_written(c, {b"a": NOW + at, b"b": NOW - at}) for at in range(32)]
    at_once(databases, works)
    written = tables.table_of(portal.WrittenAt)
    assert sorted(databases[0].run_now(lambda c: c.execute(select(written)).all())) == [(b"a", NOW + 31), (b"b", NOW)]


async def test_a_function_that_raises_leaves_nothing(opened):
    database = opened()

    def claim_then_fail(connection):
        stores.claim(connection, request())
        raise KeyError

    with pytest.raises(KeyError):
        await database.run(claim_then_fail)
    assert await database.run(lambda connection: stores.claim(connection, request()))


def test_looking_changes_nothing(opened, place):
    opened().run_now(lambda c: stores.charge(c, Charge("a", 1, 1, 2)))
    quota = tables.table_of(stores.Quota)
    with looking(place, "gateway") as connection:
        assert connection.execute(select(quota.c.used)).scalar_one() == 1
    with pytest.raises(Exception, match=r"cannot be read.*read-?only"), looking(place, "gateway") as connection:
        connection.execute(quota.update().values(used=0))


async def test_who_waits_hears_of_what_another_replica_stored(opened, place):
    here, there = opened(), opened()
    bell, loop = Doorbell(), asyncio.get_running_loop()
    connected, heard = asyncio.Event(), []

    def hear(recipient):
        heard.append(recipient)
        bell.ring(recipient)
        connected.set()

    here.listen(lambda recipient: loop.call_soon_threadsafe(hear, recipient))
    if not isinstance(place, str):
        there.run_now(stored(1))
        assert heard == []
        return
    await connected.wait()
    waits, other = bell.listen("r"), bell.listen("somebody else")
    await there.run(stored(1))
    async with asyncio.timeout(20):
        await waits.wait()
    assert heard[-1] == "r"
    assert not other.is_set()
