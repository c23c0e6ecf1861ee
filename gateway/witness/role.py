"""`regie serve witness`: the witness of a home, over HTTP."""

from __future__ import annotations

import asyncio

from consent_ledger.errors import RegieError
from consent_ledger.log.errors import NoteError
from consent_ledger.witness.memory import Memory, WitnessMemoryError
from consent_ledger.witness.server import witness_app
from consent_ledger.witness.witness import Witness
from gateway.home import HomeError
from gateway.server import Parts
from gateway.web import HttpServer
from gateway.witness.home import WitnessFolder


class WitnessWatch:
    """Ready at once; fails when its memory did: what is on the disk then is known only after a new start."""

    def __init__(self) -> None:
        self.ready, self.failed = asyncio.Event(), asyncio.Event()
        self.fatal: RegieError | None = None
        self.ready.set()

    def fail(self) -> None:
        """Say that the memory failed."""
        self.fatal = RegieError("INTERNAL", "the witness cannot write its memory: start it again when the disk is well")
        self.failed.set()


async def build_witness(parts: Parts, server: HttpServer) -> WitnessWatch:
    """Serve the witness of this home; raises HomeError when it is not whole."""
    folder, watch = WitnessFolder.of(parts.home.folder), WitnessWatch()
    try:
        memory = Memory(folder.memory)
        parts.stack.callback(memory.close)
        witness = Witness(folder.signers(), folder.logs(), memory, parts.means.clock)
    except (WitnessMemoryError, NoteError) as error:
        raise HomeError(str(error)) from None
    await server.start(witness_app(witness, parts.means.pool, watch.fail))
    parts.stack.push_async_callback(server.stop)
    return watch
