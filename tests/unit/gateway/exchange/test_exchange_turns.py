"""Very many batches at once: they take turns, those that do not fit come again, and nothing is lost or done twice."""

import asyncio

import pytest

from consent_ledger.errors import RegieError
from gateway.exchange.turns import Turns
from gateway.sdk.remote import patiently
from tests.support.crypto import valid_bsns
from tests.support.exchange import Town


class Work:
    """Batches that end when they are told to; ``most`` is how many signals ever were worked on at once."""

    def __init__(self, turns):
        self.turns, self.begun, self.ends, self.now, self.most = turns, [], {}, 0, 0

    async def do(self, name, signals):
        async with self.turns.turn(signals):
            self.begun.append(name)
            self.now += signals
            self.most = max(self.most, self.now)
            self.ends[name] = asyncio.Event()
            await self.ends[name].wait()
            self.now -= signals


async def settled():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_came_first_works_first_and_no_more_at_once_than_fit():
    work = Work(Turns(10))
    tasks = [asyncio.create_task(work.do(name, signals)) for name, signals in zip("abcd", (6, 4, 5, 1), strict=True)]
    await settled()
    assert work.begun == ["a", "b"], "d would fit, but c came before"
    work.ends["b"].set()
    await settled()
    assert work.begun == ["a", "b"]
    work.ends["a"].set()
    await settled()
    assert work.begun == ["a", "b", "c", "d"]
    for end in work.ends.values():
        end.set()
    await asyncio.gather(*tasks)
    assert work.most == 10


async def test_what_is_larger_than_fits_works_alone():
    work = Work(Turns(3))
    tasks = [asyncio.create_task(work.do(name, signals)) for name, signals in (("small", 1), ("large", 9), ("last", 1))]
    await settled()
    assert work.begun == ["small"]
    work.ends["small"].set()
    await settled()
    assert work.begun == ["small", "large"]
    work.ends["large"].set()
    await settled()
    work.ends["last"].set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("when", ["waiting", "called", "working"])
async def test_who_gives_up_leaves_the_turn_to_others(when):
    work = Work(Turns(1))
    first, second, third = (asyncio.create_task(work.do(name, 1)) for name in "abc")
    await settled()
    if when == "waiting":
        second.cancel()
    work.ends["a"].set()
    if when == "called":
        await asyncio.sleep(0)  # a ends, and b is called but does not work yet
        second.cancel()
    await settled()
    if when == "working":
        second.cancel()
        await settled()
    assert "c" in work.begun
    work.ends["c"].set()
    assert isinstance((await asyncio.gather(first, second, third, return_exceptions=True))[1], asyncio.CancelledError)


async def test_a_failure_ends_a_turn():
    turns = Turns(1)
    with pytest.raises(ZeroDivisionError):
        async with turns.turn(1):
            raise ZeroDivisionError
    async with asyncio.timeout(1), turns.turn(1):
        pass


async def test_sixty_four_senders_at_once(tmp_path):
    """All are answered, each once, though few fit; the gateway holds no more than it may."""
    town = Town(tmp_path, batches_in_flight=8, signals_at_once=12, sender_signals_per_day=10**6)
    numbers, at_second, most = valid_bsns(5), [0], [0]
    inner = town.second.EvaluateSignals

    async def watched(request, context):
        at_second[0] += 1
        most[0] = max(most[0], at_second[0])
        try:
            return await inner(request, context)
        finally:
            at_second[0] -= 1

    town.to_second.servicer.EvaluateSignals = watched
    batches = [town.world.seal(numbers).batch for _ in range(64)]
    held, refused = [], []

    async def send(batch):
        async def once():
            try:
                return await town.submit(batch)
            except RegieError as error:
                refused.append(error.reason)
                raise
            finally:
                held.append(len(town.submitter._flights))

        return await patiently(once, 3_000, lambda seconds: asyncio.sleep(seconds / 100))

    answers = await asyncio.gather(*map(send, batches))
    assert [list(answer.outcomes) for answer in answers] == [[1] * 5] * 64
    assert (set(refused), len(town.ledger.answers), len(town.to_second.requests)) == ({"OVERLOADED"}, 64, 64)
    assert (max(held), most[0]) == (8, 2), "two batches of five are worked on at once, eight are held"
    town.close()


async def test_one_signal_waits_for_no_turn(tmp_path):
    town = Town(tmp_path, signals_at_once=1)
    async with town.submitter._turns.turn(1):
        assert list((await town.submit(town.world.seal(valid_bsns(1)).batch)).outcomes) == [1]
    town.close()
