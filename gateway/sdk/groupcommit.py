"""Writes that are asked for at the same time share one durable transaction, so one wait for the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sqlalchemy import Connection

from gateway.database import Database

Write = Callable[[Connection], object]


class GroupCommit:
    """Collects writes while a transaction is under way; the next one holds all that came in between, in their order."""

    def __init__(self, database: Database) -> None:
        """Write to an open database."""
        self._database = database
        self._waiting: list[tuple[Write, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def run(self, write: Write) -> None:
        """Return when ``write`` is durable. What goes wrong with one of a group leaves nothing of it: all raise it."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((write, future))
        if self._task is None or self._task.done():
            # A task of its own: a caller that is cancelled leaves the others of its group alone.
            self._task = asyncio.create_task(self._write())
        await future

    async def _write(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            error = await self._commit([write for write, _ in group])
            for _, future in group:
                if future.done():
                    continue  # its caller was cancelled
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)

    async def _commit(self, writes: list[Write]) -> Exception | None:
        def apply(connection: Connection) -> None:
            for write in writes:
                write(connection)

        try:
            await self._database.run(apply)
        except Exception as error:  # noqa: BLE001  (it is raised to everybody who waits for this group)
            return error
        return None
