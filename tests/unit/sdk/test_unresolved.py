"""Rule 9, counts: the gateway hears of unresolved pseudonyms once a closed day, in tens, and never of one signal."""

import pytest

from consent_ledger.clock import DAY_MS
from consent_ledger.errors import RegieError
from gateway.exchange.unresolved import day_counts
from gateway.home import HomeError
from gateway.sdk.remote import GrpcRemote
from gateway.sdk.unresolved import GRACE_MS, UnresolvedReporter
from tests.support.canaries import Flock
from tests.support.sdk import CITY, PURPOSE, SUPPLIER


@pytest.fixture
def flock(home, tmp_path):
    flock = Flock(home, tmp_path)
    flock.at(hour=12)
    return flock


def counts(flock):
    path = flock.home.operator("gateway").data / "gateway.db"
    return [(found.day, found.delivered, found.unresolved) for found in day_counts(path, 0)]


async def report(flock, remote=None):
    async with flock.agency(CITY, remote) as city:
        return await UnresolvedReporter(city).report()


async def test_a_closed_day_is_counted_once_and_told_in_tens(flock):
    async with flock.serving():
        await flock.enrol(*range(5))
        await flock.allow(*range(17))
        await flock.send(*range(17))
        found, _ = await flock.receive()
        assert sum(delivery.resident_ref is None for delivery in found) == 12
        today = flock.clock() // DAY_MS
        assert counts(flock) == [(today, 17, None)]  # nothing is told about a day that is not over
        flock.at(hour=24)
        assert await report(flock) == 0
        flock.later_ms += GRACE_MS
        await flock.receive()  # receiving tells, about the day before
        assert counts(flock) == [(today, 17, 10)]
        assert await report(flock) == 0


@pytest.mark.parametrize(("unknown", "told"), [(0, 0), (1, 0), (9, 0), (10, 10), (19, 10)])
async def test_a_count_says_nothing_about_one_signal(flock, unknown, told):
    numbers = range(unknown + 1)
    async with flock.serving():
        await flock.enrol(unknown)
        await flock.allow(*numbers)
        await flock.send(*numbers)
        await flock.receive()
        flock.at(hour=25)
        assert await report(flock) == 1
        assert [count for _, _, count in counts(flock)] == [told]


async def test_canaries_are_in_no_count_but_their_day_is_told(flock):
    """Else a day of canaries only would be known by having no count; here ten of them came, all under wrong indices."""
    async with flock.serving():
        await flock.set_up(count=12)
        async with flock.agency(SUPPLIER) as supplier:
            for _ in range(11):
                assert (await supplier.sender().send_canary(purpose=PURPOSE, recipient=CITY)).canary == "accepted"
        flock.break_closing_key(CITY)
        _, sightings = await flock.receive()
        assert [sighting.fits for sighting in sightings] == [False] * 11
        flock.at(hour=25)
        assert await report(flock) == 1
        assert [(delivered, unresolved) for _, delivered, unresolved in counts(flock)] == [(11, 0)]


class Away(GrpcRemote):
    """A gateway that cannot be reached, or whose answer is lost after it took the count."""

    takes = False

    async def report_unresolved(self, request):
        if self.takes:
            await super().report_unresolved(request)
        raise RegieError("GATEWAY_UNAVAILABLE", "away")


@pytest.mark.parametrize("takes", [False, True])
async def test_a_count_stays_what_it_was_until_the_gateway_has_it(flock, takes):
    async with flock.serving():
        await flock.allow(*range(12))
        await flock.send(*range(12))
        await flock.receive()
        flock.at(hour=25)
        remote = Away(flock.home, flock.home.organisation(CITY), flock.clock)
        remote.takes = takes
        assert await report(flock, remote) == 0
        # Whoever is enrolled in between changes no count: the difference would be about them.
        await flock.enrol(*range(12))
        assert await report(flock) == 1
        assert [count for _, _, count in counts(flock)] == [10]


async def test_each_day_and_only_days_with_deliveries(flock):
    async with flock.serving():
        await flock.allow(*range(24))
        first = flock.clock() // DAY_MS
        await flock.send(*range(12))
        await flock.receive()
        flock.at(hour=24 + 24 + 12)
        await flock.send(*range(12, 24))
        await flock.receive()
        assert counts(flock) == [(first + 2, 12, None), (first, 12, 10)]
        flock.at(hour=24 * 4)
        assert await report(flock) == 1
        assert counts(flock) == [(first + 2, 12, 10), (first, 12, 10)]


async def test_what_is_long_past_is_not_told_any_more(flock):
    async with flock.serving():
        await flock.allow(*range(12))
        await flock.send(*range(12))
        await flock.receive()
        flock.at(hour=24 * 40)
        assert await report(flock) == 0


def test_the_operators_view_needs_a_gateway(flock):
    with pytest.raises(HomeError, match="operator of the gateway"):
        counts(flock)
