"""A ledger with exchanges to export, what of it arrived at a collector, and a follower at work."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from gateway.ldv.collector import open_collector
from gateway.ldv.follow import Follower
from gateway.ldv.record import span_id
from gateway.ldv.state import State
from tests.support.ldv import acknowledge, book_of, held, report
from tests.support.ledger import NOW, SIGNER, Ledger, change, grant, record_work
from tests.support.otlp import OtlpReceiver


def play(ledger: Ledger, batches: int, size: int) -> None:
    """So many exchanges: half of them permitted, delivered and acknowledged, one of each batch reported on."""
    for batch in range(batches):
        people = [f"{batch}-{n}" for n in range(size)]
        agreed = [change(batch * size + n + 1, person, NOW, grant=grant()) for n, person in enumerate(people[::2])]
        ledger.sequencer.submit(record_work(*agreed)).result(30)
        hh, _ = ledger.decide(people, batch + 1)
        ledger.release(hh)
        acknowledge(ledger, hh)
        report(ledger, hh, 0)


def ids(ledger: Ledger) -> list[bytes]:
    """Ids of all records there must be, in order."""
    return [span_id(SIGNER.name.encode(), index) for index, _ in held(ledger)]


def arrived(collector: OtlpReceiver) -> list[bytes]:
    """Ids that arrived, each once, in the order in which they first did."""
    return list(dict.fromkeys(span.span_id for span in collector.spans))


class Pauses:
    """Notes how long was waited, and lets the others run instead."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waited.append(seconds)
        await asyncio.sleep(0.01)


@asynccontextmanager
async def following(ledger: Ledger, state: State, endpoint: str | None):
    """A follower at work; gives it, its task, and how it waited."""
    pauses = Pauses()
    async with AsyncExitStack() as stack:
        target = await stack.enter_async_context(open_collector(endpoint, ledger.clock)) if endpoint else None
        follower = Follower(book_of(ledger), state, target, ledger.clock, pauses)
        task = asyncio.create_task(follower.run())
        yield follower, task, pauses
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        follower.close()


async def until(condition, task: asyncio.Task) -> None:
    async with asyncio.timeout(60):
        while not condition():
            assert not task.done(), "the follower ended"
            await asyncio.sleep(0.01)
