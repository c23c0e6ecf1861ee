"""The ledger's housekeeping: erasing what is over by age, and announcing what was erased."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from consent_ledger.clock import DAY_MS
from consent_ledger.sequencer import Sequencer
from consent_ledger.writing.announce import Announcing
from consent_ledger.writing.retention import Sweep, SweepWork
from gateway.settings import Means, Settings

_BREATH_SECONDS = 0.05
_MOST_STEPS = 2_000


def announcing_of(settings: Settings) -> Announcing:
    """Return with how many others, and for how long, an erasure waits to be announced."""
    return Announcing(settings.erasure_people, int(settings.erasure_days * DAY_MS))


def erasing_by_age(sequencer: Sequencer, means: Means) -> Callable[[], Awaitable[None]]:
    """Return a job that goes on with the sweep, in steps between which everybody else has their turn."""
    sweep, announcing = Sweep(), announcing_of(means.settings)

    async def run() -> None:
        for _ in range(_MOST_STEPS):
            swept = await asyncio.wrap_future(sequencer.submit(SweepWork(sweep, announcing)))
            if sequencer.clean and not swept.more:
                return
            await asyncio.sleep(_BREATH_SECONDS)

    return run
