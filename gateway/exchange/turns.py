"""Turns: batches are worked on in the order they came, as many at once as keep every processor at work.

Were all of them evaluated at the same pace, all would end together: later than their callers and the next operators
wait, who then ask again for work that was nearly done.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Lets batches of together at most ``most`` signals work; a batch larger than that works alone."""

    def __init__(self, most: int) -> None:
        """Nobody works yet."""
        self._most, self._working = most, 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def turn(self, signals: int) -> AsyncIterator[None]:
        """Wait for a turn, first come first served, and work in it."""
        await self._wait(signals)
        try:
            yield
        finally:
            self._working -= signals
            self._call()

    async def _wait(self, signals: int) -> None:
        called = asyncio.get_running_loop().create_future()
        self._waiting.append((signals, called))
        self._call()
        try:
            await called
        except asyncio.CancelledError:
            if not called.cancelled():  # called at the moment it gave up: the turn goes on
                self._working -= signals
            self._call()
            raise

    def _call(self) -> None:
        """Call those who are next and fit."""
        while self._waiting:
            signals, called = self._waiting[0]
            if not called.cancelled():
                if self._working and self._working + signals > self._most:
                    return
                self._working += signals
                called.set_result(None)
            self._waiting.popleft()
