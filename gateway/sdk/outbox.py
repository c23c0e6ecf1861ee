"""The sender's outbox: what was asked about which row, and the exact bytes of every batch without an answer.

A batch is stored before its first byte is sent, and its answer before any row counts as answered. So after a crash at
any point the same bytes go out again (pseudonyms.md, rule 2), and a row is never asked about twice at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from gateway.database import Database
from gateway.home import Organisation
from gateway.sdk import later, sent
from gateway.sdk.local import KeptDatabase, local_database
from gateway.sdk.sent import TABLES, TRY_LATER, UNANSWERED, Answer, OpenBatch, Run, Standing

__all__ = ["TABLES", "TRY_LATER", "UNANSWERED", "Answer", "Beginning", "OpenBatch", "Outbox", "Run", "Standing"]

_ONLY = "sending"  # what one process does at a time


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a send begins with; ``known`` has what was looked up ahead, by key: None for rows never asked about."""

    run: Run
    told_later: dict[str, bytes]
    open: list[OpenBatch]
    known: dict[bytes, Standing | None]


class Outbox:
    """The outbox in its database."""

    def __init__(self, database: Database) -> None:
        """Work on an open database."""
        self._database = database

    @classmethod
    @contextmanager
    def open(cls, organisation: Organisation) -> Iterator[Outbox]:
        """Open the organisation's outbox; raises Busy when another process sends for it."""
        with local_database(organisation, "outbox", TABLES, _ONLY) as database:
            yield cls(database)

    @staticmethod
    def kept(organisation: Organisation) -> KeptDatabase:
        """Return the organisation's outbox as a file that stays open between sends."""
        return KeptDatabase(organisation, "outbox", TABLES, _ONLY)

    @classmethod
    @contextmanager
    def turn(cls, kept: KeptDatabase) -> Iterator[Outbox]:
        """Send once from a kept outbox; raises Busy while another process, or another send of this one, does."""
        with kept.turn() as database:
            yield cls(database)

    async def start(
        self, digest: bytes, recipient: str, purpose: str, *, terms: bytes, ahead: Sequence[bytes], now_ms: int
    ) -> Beginning:
        """Read in one go what a send begins with; ``ahead``: at most 1000 rows to look up already."""

        def read(connection: Connection) -> Beginning:
            run = sent.begin(connection, digest, now_ms)
            found = sent.look_up(connection, run, ahead)
            return Beginning(
                run,
                later.load(connection, terms, now_ms),
                sent.open_batches(connection, recipient, purpose),
                {key: found.get(key) for key in ahead},
            )

        return await self._database.run(read)

    async def begin(self, digest: bytes, now_ms: int) -> Run:
        """Start a run of a file, or go on with its last one when that was interrupted."""
        return await self._database.run(lambda connection: sent.begin(connection, digest, now_ms))

    async def finish(self, run: Run) -> None:
        """Close a run: every row has its answer, and the next run of this file asks again about refused ones."""
        await self._database.run(lambda connection: sent.finish(connection, run))

    async def open_batches(self, recipient: str, purpose: str) -> list[OpenBatch]:
        """Return the batches for one recipient and purpose that have no answer yet."""
        return await self._database.run(lambda connection: sent.open_batches(connection, recipient, purpose))

    async def look_up(self, run: Run, keys: Sequence[bytes]) -> dict[bytes, Standing]:
        """Return what is known of at most 1000 rows; a row that was never asked about is absent."""
        return await self._database.run(lambda connection: sent.look_up(connection, run, keys))

    async def store(self, run: Run, batch: OpenBatch, references: Sequence[bytes]) -> None:
        """Store a batch with the signal references (16 bytes) of its rows, before it is sent."""
        await self._database.run(lambda connection: sent.store(connection, run, batch, references))

    async def answer(
        self, run: Run, batch: OpenBatch, answer: Answer, changes: later.Changes, *, last: bool = False
    ) -> None:
        """Store the verified answer of a batch, with what it changes in the list of what is reported again later.

        Only then do its rows count as answered. The ``last`` one closes its run, as ``finish`` does.
        """

        def write(connection: Connection) -> None:
            sent.answer(connection, run, batch, answer)
            changes.write(connection)
            if last:
                sent.finish(connection, run)

        await self._database.run(write)
        if changes.settled:
            await self._database.scrub()

    async def told_later(self, terms: bytes, now_ms: int) -> dict[str, bytes]:
        """Return what is to be reported again later under these terms: persons by reference."""
        return await self._database.run(lambda connection: later.load(connection, terms, now_ms))

    async def note(self, changes: later.Changes) -> None:
        """Store what answers that were given before change in the list."""
        if changes:
            await self._database.run(changes.write)
        if changes.settled:
            await self._database.scrub()

    async def forget_later(self, terms: bytes, references: Sequence[str]) -> None:
        """Forget what is no longer to be reported."""
        if references:
            await self._database.run(lambda connection: later.forget(connection, terms, references))
            await self._database.scrub()

    async def abandon(self, batch: OpenBatch) -> None:
        """Forget a batch that expired or was refused as a whole; its rows may go into a new one."""
        await self._database.run(lambda connection: sent.abandon(connection, batch))
