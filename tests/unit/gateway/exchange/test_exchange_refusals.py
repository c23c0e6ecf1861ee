"""Very many refusals of one sender: it waits for the next hour, and the operator hears of it once (AS10)."""

import asyncio
import io
import json

import pytest
import structlog

from consent_ledger.errors import RegieError
from gateway.exchange import refusals
from gateway.exchange.refusals import HOUR_MS, HourCount, hour_counts
from gateway.home import HomeError
from gateway.telemetry import logs
from tests.support.crypto import NOW, SENDER, valid_bsns
from tests.support.exchange import Town

BSNS = valid_bsns(5)
HOUR = NOW // HOUR_MS


class Everybody:
    """All positions."""

    def __contains__(self, _position):
        return True


@pytest.fixture
def town(tmp_path):
    """Ten refusals are many here, and nobody chose anything."""
    made = Town(tmp_path, sender_refusals_per_hour=10)
    made.ledger.refused = Everybody()
    yield made
    made.close()


@pytest.fixture
def alarms():
    stream = io.StringIO()
    logs.configure(stream)
    yield lambda: [line for line in map(json.loads, stream.getvalue().splitlines()) if "ALARM" in line["event"]]
    structlog.reset_defaults()


async def submit(town, *, count=5):
    return await town.submit(town.world.seal(BSNS[:count]).batch)


async def reason(town, **options):
    with pytest.raises(RegieError) as caught:
        await submit(town, **options)
    return caught.value.reason


def counts(town):
    return hour_counts(town.folder / "gateway.db", 0)


async def test_beyond_the_number_it_waits_for_the_next_hour(town, alarms):
    await submit(town)
    assert alarms() == []
    await submit(town)
    (alarm,) = alarms()
    assert (alarm["oin"], alarm["count"], alarm["reason"]) == (SENDER, 10, "QUOTA_EXCEEDED")
    asked = len(town.to_ledger.requests)
    assert await reason(town) == "QUOTA_EXCEEDED"
    assert await reason(town, count=3) == "QUOTA_EXCEEDED"
    assert len(town.to_ledger.requests) == asked  # nobody else heard of what was turned away
    assert counts(town) == [HourCount(SENDER, HOUR, 10, 10, 8)]
    assert len(alarms()) == 1
    town.now = (HOUR + 1) * HOUR_MS
    await submit(town)
    assert counts(town) == [HourCount(SENDER, HOUR + 1, 5, 5, 0), HourCount(SENDER, HOUR, 10, 10, 8)]


async def test_what_was_turned_away_may_come_again_as_it_is(town):
    await submit(town)
    await submit(town)
    sealing = town.world.seal(BSNS)
    with pytest.raises(RegieError):
        await town.submit(sealing.batch)
    town.now = (HOUR + 1) * HOUR_MS
    assert len((await town.submit(sealing.batch)).outcomes) == 5


async def test_who_is_allowed_is_never_slowed_down(town, alarms):
    town.ledger.refused = set()
    for _ in range(4):
        await submit(town)
    assert counts(town) == [HourCount(SENDER, HOUR, 20, 0, 0)]
    assert alarms() == []


async def test_the_same_bytes_again_count_once(town):
    batch = town.world.seal(BSNS).batch
    await town.submit(batch)
    await town.submit(batch)
    assert counts(town)[0].asked == counts(town)[0].refused == 5
    town.restart()
    town.ledger.refused = Everybody()
    await town.submit(batch)
    assert counts(town)[0].refused == 5


async def test_a_batch_whose_answer_was_lost_may_finish(town):
    """The ledger was away in the middle: the same bytes go on, also when the hour is full by then."""
    town.ledger.down = True
    sealing = town.world.seal(BSNS)
    with pytest.raises(RegieError):
        await town.submit(sealing.batch)
    town.ledger.down = False
    await submit(town)
    assert await reason(town) == "OVERLOADED"  # five refused and five that may be
    await town.submit(sealing.batch)
    assert await reason(town) == "QUOTA_EXCEEDED"


async def test_asking_in_parallel_asks_about_no_more(town):
    answers = await asyncio.gather(*(submit(town) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(answer, RegieError) for answer in answers) == 4
    assert {answer.reason for answer in answers if isinstance(answer, RegieError)} <= {"OVERLOADED", "QUOTA_EXCEEDED"}
    assert counts(town)[0].refused == 10


async def test_hours_long_past_are_forgotten(town):
    await submit(town)
    later = NOW + (refusals.KEPT_DAYS + 1) * 24 * HOUR_MS
    await town.gateway_db.run(lambda connection: refusals.forget_old(connection, later))
    assert counts(town) == []


def test_a_gateway_that_never_ran(tmp_path):
    with pytest.raises(HomeError, match="operator of the gateway"):
        hour_counts(tmp_path / "gateway.db", 0)
