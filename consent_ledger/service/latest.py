"""The newest durable head as the checkpoint to publish, where no witness has to see it first."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor

from consent_ledger.clock import Clock
from consent_ledger.events import Rng
from consent_ledger.log.publication import publish_note
from consent_ledger.sequencer import Sequencer

FRESH_MS = 1_000
"""A head is signed with ML-DSA-44 (0.7 ms) at most this often, however often it moves and is asked for."""


class LatestHead:
    """Makes the published checkpoint when it is asked for; one note serves everybody for a second."""

    def __init__(self, sequencer: Sequencer, clock: Clock, rng: Rng, pool: Executor) -> None:
        """Publish the heads of this ledger; signing runs in ``pool``."""
        self._sequencer, self._clock, self._rng, self._pool = sequencer, clock, rng, pool
        self._turn = asyncio.Lock()
        self._size, self._note, self._made_ms = -1, "", 0

    async def __call__(self) -> str:
        """Return the note; ``CurrentNote`` of the public log."""
        async with self._turn:
            now_ms = self._clock()
            head = self._sequencer.head
            if head.size != self._size and not 0 <= now_ms - self._made_ms < FRESH_MS:
                keys = self._sequencer.keys
                self._note = await asyncio.get_running_loop().run_in_executor(
                    self._pool, publish_note, head.checkpoint, keys, now_ms // 1_000, self._rng
                )
                self._size, self._made_ms = head.size, now_ms
        return self._note
