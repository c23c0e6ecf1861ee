"""One replica of the ledger in a process of its own: answers lines of JSON on a socket, until it is killed.

`python -m tests.hammer.replica ADDRESS SOCKET`. A request names a batch; a batch of that name always has the same bytes.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from consent_ledger.clock import system_clock
from consent_ledger.errors import RegieError
from consent_ledger.sequencer import Sequencer, open_ledger
from consent_ledger.storage.ports import UnreachableError
from consent_ledger.writing.decision import DecideWork
from tests.support.ledger import SIGNER, decide_work, header, listed

UNREACHABLE, FAILED = 3, 4


def work_of(batch: int, created_ms: int, signals: int) -> DecideWork:
    """The request of a batch: so many people, always the same bytes."""
    people = [f"{batch}-{number}" for number in range(signals)]
    return decide_work(people, header(batch, now_ms=created_ms, count=signals))


async def answer(sequencer: Sequencer, request: dict[str, Any]) -> dict[str, Any]:
    """What the ledger says to one request."""
    try:
        work = work_of(request["batch"], request["created_ms"], request["signals"])
        said = listed(await asyncio.wrap_future(sequencer.submit(work)))
    except RegieError as error:
        return {"id": request["id"], "refused": error.reason}
    return {"id": request["id"], "indices": list(said.log_indices), "checkpoint": said.checkpoint}


async def serve(sequencer: Sequencer, socket: str) -> int:
    """Answer until the writer fails; returns the exit code."""
    tasks: set[asyncio.Task[None]] = set()

    async def one(line: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps(await answer(sequencer, json.loads(line))).encode() + b"\n")

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            task = asyncio.create_task(one(line, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    await asyncio.start_unix_server(connected, socket, limit=1 << 20)
    while sequencer.failure is None:  # noqa: ASYNC110  (the writer's thread sets it)
        await asyncio.sleep(0.05)
    print(repr(sequencer.failure), file=sys.stderr, flush=True)
    return FAILED


def main(location: str, socket: str) -> int:
    """Open the ledger, which is there, and serve it."""
    try:
        sequencer = open_ledger(location, SIGNER, system_clock)
    except UnreachableError:
        return UNREACHABLE
    return asyncio.run(serve(sequencer, socket))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
