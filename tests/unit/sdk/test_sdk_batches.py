"""Receiving whole batches, several under way at once: each signal once, whenever the caller or the process stops."""

from contextlib import aclosing

import pysqlite3.dbapi2 as sqlite

from gateway.sdk.pulling import IN_FLIGHT
from gateway.server import serving
from tests.support.sdk import CITY
from tests.support.sdk_served import ROLES, Lying, choose, city, enrol, receive, row, send, yes

MANY = 2 * IN_FLIGHT + 1


async def sent(home, count=MANY, per_batch=2):
    """So many batches of signals about different people, all of them allowed."""
    numbers = range(count * per_batch)
    await enrol(home, *numbers)
    await choose(home, *(yes(number) for number in numbers))
    for first in range(0, len(numbers), per_batch):
        await send(home, *(row(number) for number in numbers[first : first + per_batch]))
    return {f"R{number}" for number in numbers}


async def drained(agency, *, batches=None, done=True, refused=lambda _batch, _error: None):
    """The residents of the next batches, each batch a list."""
    found = []
    async with aclosing(agency.recipient().batches(refused=refused)) as stream:
        async for batch in stream:
            found.append([delivery.resident_ref for delivery in batch.deliveries])
            if done:
                await batch.done()
            if len(found) == batches:
                break
    return found


def states(home):
    """How many received signals are in which state of handing over."""
    with sqlite.connect(home.organisation(CITY).data / "inbox.db") as connection:
        return dict(connection.execute("SELECT handed_over, count(*) FROM received_signal GROUP BY 1").fetchall())


async def test_every_batch_comes_whole_and_once(home):
    async with serving(home, ROLES):
        people = await sent(home)
        async with city(home) as agency:
            found = await drained(agency)
            assert await drained(agency) == []
    assert [len(batch) for batch in found] == [2] * MANY
    assert {one for batch in found for one in batch} == people
    assert states(home) == {2: 2 * MANY}


async def test_what_the_caller_was_not_done_with_comes_again_and_nothing_else(home):
    async with serving(home, ROLES):
        people = await sent(home)
        async with city(home) as agency:
            first = await drained(agency, batches=2)
            unfinished = await drained(agency, batches=1, done=False)
        async with city(home) as agency:
            rest = await drained(agency)
    assert unfinished[0] in rest
    assert sorted(one for batch in (*first, *rest) for one in batch) == sorted(people)


class Counted(Lying):
    """Counts how many pulls of ciphertexts wait for their answer at the same time."""

    now = most = 0

    async def pull(self, request):
        self.now += bool(request.pulls)
        self.most = max(self.most, self.now)
        try:
            return await super().pull(request)
        finally:
            self.now -= bool(request.pulls)


async def test_the_next_batches_are_fetched_meanwhile_but_not_all_of_them(home):
    async with serving(home, ROLES):
        await sent(home)
        remote = Counted(home, CITY, lambda _delivery: None)
        async with city(home, remote) as agency:
            assert len(await drained(agency)) == MANY
    assert 1 < remote.most <= IN_FLIGHT


async def test_signals_of_a_batch_can_be_done_one_by_one(home):
    async with serving(home, ROLES):
        people = await sent(home, 1, 3)
        async with city(home) as agency:
            async for batch in agency.recipient().batches():
                await batch.deliveries[1].done()
                kept = batch.deliveries[1].resident_ref
            again = await receive(agency)
    assert {delivery.resident_ref for delivery in again} == people - {kept}


async def test_one_that_does_not_verify_leaves_those_under_way_alone(home):
    async with serving(home, ROLES):
        people = await sent(home)
        lies = [lambda delivery: delivery.release.ClearField("signature")]
        remote = Lying(home, CITY, lambda delivery: lies.pop()(delivery) if lies else None)
        refused = []
        async with city(home, remote) as agency:
            found = await drained(agency, refused=lambda batch, error: refused.append((batch, error.reason)))
    assert [reason for _, reason in refused] == ["SIGNATURE_INVALID"]
    assert len(found) == MANY - 1
    assert len({one for batch in found for one in batch} & people) == 2 * (MANY - 1)
    assert remote.acknowledged == MANY - 1


async def test_whoever_was_not_enrolled_comes_again_with_a_resident(home):
    async with serving(home, ROLES):
        await enrol(home, 0)
        await choose(home, yes(0), yes(1))
        await send(home, row(0), row(1))
        async with city(home) as agency:
            (first,) = await drained(agency)
            assert await drained(agency) == []
        await enrol(home, 1)
        async with city(home) as agency:
            assert await drained(agency) == [["R1"]]
            assert await drained(agency) == []
    assert sorted(map(str, first)) == ["None", "R0"]
    assert states(home) == {2: 2}
