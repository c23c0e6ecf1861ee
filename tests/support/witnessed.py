"""A ledger with witnesses, all of them real and in this process; only the network between them is not."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from consent_ledger.log.quorum import Quorum
from consent_ledger.publishing.publisher import Publisher
from tests.support.ledger import Ledger, Time, grant
from tests.support.witness import Network, RealWitness, asking


class Scene:
    """A ledger, its three witnesses, and publishers over both."""

    def __init__(self, folder: Path, pool: Executor, stack: AsyncExitStack) -> None:
        self.folder, self.pool, self.stack = folder, pool, stack
        self.clock = Time()
        self.ledger = Ledger(folder / "ledger.db", self.clock)
        self.witnesses = [
            RealWitness(folder / f"w{number}.db", f"witness.example/w{number}", self.clock) for number in (1, 2, 3)
        ]
        self.network: Network | None = None
        self.people = 0

    @property
    def hosts(self) -> list[str]:
        return [one.url.removeprefix("http://") for one in self.witnesses]

    async def publisher(
        self, needed: int = 2, ledger: Ledger | None = None, witnesses: Sequence[RealWitness] | None = None
    ) -> Publisher:
        chosen = self.witnesses if witnesses is None else witnesses
        self.network, http = await self.stack.enter_async_context(asking(self.pool, chosen))
        quorum = Quorum(needed, tuple(one.keys for one in chosen))
        addresses = [one.address for one in chosen]
        sequencer = (ledger or self.ledger).sequencer
        return Publisher(sequencer, quorum, addresses, http, self.clock, pool=self.pool, rng=os.urandom)

    def grow(self, ledger: Ledger | None = None, by: int = 1) -> int:
        """Append events, no two of which are equal, and return the size of the log."""
        grown = ledger or self.ledger
        for _ in range(by):
            self.people += 1
            grown.record(f"person {self.people}", grant=grant())
        return grown.sequencer.head.size

    def close(self) -> None:
        self.ledger.close()
        for one in self.witnesses:
            one.stop()


@asynccontextmanager
async def scene_in(folder: Path, pool: Executor) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        found = Scene(folder, pool, stack)
        try:
            yield found
        finally:
            found.close()
