"""Exporting: portion after portion, in order, at least once; whatever ends in between is gone on with.

Durable order of one portion, and what a crash at each step means:

1. Read the cursor, then the next rows of the book. Crash: nothing happened.
2. Send them. Crash: the collector may have them and the cursor does not say so; they come again under the same ids.
3. The collector says that it has them. Crash: as 2.
4. Move the cursor. Crash: they are exported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from consent_ledger.clock import Clock
from consent_ledger.errors import RegieError
from gateway.interceptors import incident
from gateway.ldv.book import Book, LdvError, Placed, Portion, Standing
from gateway.ldv.collector import CollectorDown
from gateway.ldv.ledgerbook import LedgerBook
from gateway.ldv.record import Value
from gateway.ldv.state import Refused, State
from gateway.telemetry.logs import get_logger

LOOK_SECONDS = 1.0
"""How often new entries are looked for."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Between attempts at a collector that is down and does not say when to come back."""
Pause = Callable[[float], Awaitable[None]]


class Target(Protocol):
    """Where records go."""

    async def take(self, resource: Mapping[str, Value], items: Sequence[Placed]) -> list[Refused]:
        """Return once records are safe there, naming those it refuses; raises CollectorDown."""
        ...


class Cursor(Protocol):
    """What remembers how far a book is exported: ``State``, or nobody (``Again``)."""

    async def standing(self, book: Book) -> Standing:
        """Return how far it is."""
        ...

    async def advance(self, book: Book, before: Standing, portion: Portion, refused: Sequence[Refused]) -> bool:
        """Note that a portion was taken."""
        ...


class Again:
    """A cursor that begins at the beginning and leaves nothing behind: for all that can still be read, once more.

    What was erased is left out: it was exported when it could be read, and its record must not become another one.
    """

    def __init__(self) -> None:
        """Begin."""
        self._now = Standing(seen=None)

    async def standing(self, _book: Book) -> Standing:
        """Return how far this export is."""
        return self._now

    async def advance(self, _book: Book, before: Standing, portion: Portion, _refused: Sequence[Refused]) -> bool:
        """Go on."""
        self._now = Standing(portion.next, before.beyond | set(portion.marks), seen=None)
        return True


class Exporter:
    """Exports one book; its reading runs in ``thread``."""

    def __init__(self, book: Book, state: Cursor, thread: ThreadPoolExecutor) -> None:
        """Export a book of the organisation whose cursors these are."""
        self._book, self._state, self._thread = book, state, thread

    async def step(self, target: Target) -> tuple[int, int]:
        """Export the next portion; returns how many records went, and how many rows may still hold some.

        Raises CollectorDown, and LdvError when a person has to look first.
        """
        before = await self._state.standing(self._book)
        portion = await asyncio.get_running_loop().run_in_executor(self._thread, self._book.read, before)
        refused = await target.take(self._book.resource, portion.items) if portion.items else []
        if portion.items or portion.next != before.next:
            await self._state.advance(self._book, before, portion, refused)
        if refused:  # which ones, `regie ldv status` names
            get_logger().warning("ldv_records_set_aside", count=len(refused), reason=refused[0].why)
        return len(portion.items) - len(refused), portion.left


async def export_all(exporter: Exporter, target: Target, on_step: Callable[[int], None] = lambda _count: None) -> int:
    """Export everything that waits; returns how many records went. Raises as ``Exporter.step``."""
    total, left = 0, 1
    while left:
        count, left = await exporter.step(target)
        total += count
        on_step(total)
    return total


class Follower:
    """The ledger's background task: exports when there is a target, and remembers what is erased before that."""

    def __init__(
        self, book: LedgerBook, state: State, target: Target | None, clock: Clock, pause: Pause = asyncio.sleep
    ) -> None:
        """Follow a ledger's book; without a target its records wait."""
        self._book, self._state, self._target, self._clock, self._pause = book, state, target, clock, pause
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ldv-read")
        self._exporter = Exporter(book, state, self._thread)
        self._troubled = True  # perhaps, when the last process ended
        self.pending = 0
        """Entries of the log that waited for the target when it was last looked; some of them are no records."""

    async def run(self) -> None:
        """Go on until cancelled, or until a person has to look: then an error is logged, and the ledger goes on."""
        wait = FIRST_WAIT
        while True:
            try:
                more = await self._round()
                wait = FIRST_WAIT
            except CollectorDown as down:
                await self._note(down.why)
                await self._look()
                await self._pause(down.seconds if down.seconds is not None else wait)
                wait = min(2 * wait, LONGEST_WAIT)
            except LdvError as error:
                await self._note(str(error))
                get_logger().error("ldv_stopped", reason=str(error))
                return
            except RegieError as error:  # the ledger cannot be read now
                get_logger().warning("ldv_waits", reason=error.reason)
                await self._pause(LOOK_SECONDS)
            except Exception as error:  # noqa: BLE001 - the next round may succeed
                incident(error, role="ldv")
                await self._pause(LONGEST_WAIT)
            else:
                if not more:
                    await self._pause(LOOK_SECONDS)

    def close(self) -> None:
        """End its thread."""
        self._thread.shutdown()

    async def _round(self) -> bool:
        if self._target is None:
            return False  # how many wait is counted when somebody asks: `regie ldv status`
        _, self.pending = await self._exporter.step(self._target)
        await self._note(None)
        return self.pending > 0

    async def _note(self, why: str | None) -> None:
        if why is not None or self._troubled:
            await self._state.note(why, self._clock())
        self._troubled = why is not None

    async def _look(self) -> None:
        standing = await self._state.standing(self._book)
        self.pending = await asyncio.get_running_loop().run_in_executor(self._thread, self._book.left, standing)

    def remember(self, indices: Sequence[int]) -> None:
        """Remember entries that the ledger erases now, as far as they wait; the ledger's writer waits for it.

        Without it they are exported as of unknown kind: so what goes wrong here is logged, and stops no erasure.
        """
        try:
            self._state.remember(self._book, self._book.see(indices))
        except Exception as error:  # noqa: BLE001 - see above
            incident(error, role="ldv")
