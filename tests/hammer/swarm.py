"""Callers of two replicas that are killed at random, and what must hold of every answer they got.

An answer is remembered with its indices and its checkpoint. A request without an answer is asked again, at either
replica, with the same bytes, until there is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

from consent_ledger.clock import system_clock
from consent_ledger.log.checkpoint import open_checkpoint
from consent_ledger.log.merkle import verify_consistency
from consent_ledger.log.tiles import consistency_path, root
from consent_ledger.sequencer import create_ledger
from consent_ledger.storage.engines import open_for_reading
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify import verify_database
from tests.hammer.replica import UNREACHABLE
from tests.support.ledger import SIGNER, first_events
from tests.support.postgres import READER, Server

ROOT = Path(__file__).resolve().parents[2]
_ANSWER_SECONDS = 20.0
_SIGNALS = (1, 1, 1, 2, 5, 40)
AGAIN = 0.05
"""How many of the answered requests are asked once more, anywhere."""


class Database(Protocol):
    """Where the ledger is."""

    def uri(self, database: str, role: str = ...) -> str:
        """Return the address of a database as one of its roles."""
        ...

    def execute(self, sql: str) -> list[tuple[object, ...]]:
        """Run one statement as superuser."""
        ...


class NoAnswerError(Exception):
    """The replica went away or refused for now: ask again."""


@dataclass
class Replica:
    """A process, killed and started again, and the one connection to it."""

    location: str
    socket: Path
    process: asyncio.subprocess.Process | None = None
    starts: int = 0
    _writer: asyncio.StreamWriter | None = None
    _waiting: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=itertools.count)
    _killed: bool = False

    async def live(self) -> None:
        """Keep it running; raises RuntimeError when it ends and nobody killed it."""
        while True:
            self.socket.unlink(missing_ok=True)
            self.starts += 1
            self._killed = False
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "tests.hammer.replica", self.location, str(self.socket)),
                cwd=ROOT,
                stderr=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
            )
            talk = asyncio.create_task(self._talk())
            _, said = await self.process.communicate()
            talk.cancel()
            self._lose()
            if not self._killed and self.process.returncode != UNREACHABLE:
                raise RuntimeError(f"a replica ended with {self.process.returncode}: {said.decode()[-2000:]}")

    def kill(self) -> None:
        """SIGKILL, as a machine that loses power."""
        if self.process is not None and self.process.returncode is None:
            self._killed = True
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP or SIGCONT."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return its answer; raises NoAnswerError."""
        if self._writer is None or self._writer.is_closing():
            raise NoAnswerError
        number = next(self._ids)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._writer.write(json.dumps({**request, "id": number}).encode() + b"\n")
        try:
            said = await asyncio.wait_for(future, _ANSWER_SECONDS)
        except TimeoutError:
            raise NoAnswerError from None
        finally:
            self._waiting.pop(number, None)
        if said.get("refused") in {"LEDGER_UNAVAILABLE", "OVERLOADED"}:
            raise NoAnswerError
        return said

    async def _talk(self) -> None:
        while not self.socket.exists():  # noqa: ASYNC110  (another process makes it)
            await asyncio.sleep(0.02)
        with contextlib.suppress(ConnectionError, FileNotFoundError):
            reader, self._writer = await asyncio.open_unix_connection(str(self.socket), limit=1 << 20)
            while line := await reader.readline():
                said = json.loads(line)
                future = self._waiting.get(said["id"])
                if future is not None and not future.done():
                    future.set_result(said)
        self._lose()

    def _lose(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(NoAnswerError())


@dataclass
class Hammer:
    """A run: what was answered, and what was done to the replicas meanwhile."""

    server: Database
    name: str
    rng: random.Random
    replicas: list[Replica]
    answers: dict[int, list[int]] = field(default_factory=dict)
    checkpoints: dict[int, str] = field(default_factory=dict)  # by size
    done: Counter[str] = field(default_factory=Counter)
    longest_ms: int = 0
    verified: int = 0
    until: float = math.inf  # monotonic; then callers finish what they began
    reader: str = READER
    newest: float = -math.inf  # when the newest of the answered requests was made
    _batches: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def caller(self) -> None:
        """Ask batch after batch; each until it is answered."""
        while monotonic() < self.until:
            request = {
                "batch": next(self._batches),
                "created_ms": system_clock(),
                "signals": self.rng.choice(_SIGNALS),
            }
            begun = monotonic()
            self._remember(request, await self._insist(request))
            self.newest = max(self.newest, begun)
            self.longest_ms = max(self.longest_ms, int(1_000 * (monotonic() - begun)))
            if self.rng.random() < AGAIN:
                self._remember(request, await self._insist(request))
                self.done["asked again"] += 1

    async def _insist(self, request: dict[str, Any]) -> dict[str, Any]:
        while True:
            try:
                return await self.rng.choice(self.replicas).ask(request)
            except NoAnswerError:
                self.done["without answer"] += 1
                await asyncio.sleep(0.02 + 0.1 * self.rng.random())

    def _remember(self, request: dict[str, Any], said: dict[str, Any]) -> None:
        assert "indices" in said, said
        before = self.answers.setdefault(request["batch"], said["indices"])
        assert before == said["indices"], f"batch {request['batch']} was answered {before}, then {said['indices']}"
        assert len(before) == request["signals"]
        signed = open_checkpoint(said["checkpoint"], [SIGNER.verifier])
        known = self.checkpoints.setdefault(signed.size, said["checkpoint"])
        assert open_checkpoint(known, [SIGNER.verifier]) == signed, f"two roots were signed for size {signed.size}"
        assert signed.size > max(before), "an answer before its checkpoint"

    async def torment(self, server: Server, *, crashes: bool) -> None:
        """Kill, stop and cut at random, with pauses in which something gets done."""
        while monotonic() < self.until:
            await asyncio.sleep(self.rng.uniform(0.3, 2.5))
            victim = self.rng.choice(self.replicas)
            what = self.rng.choices(["killed", "cut", "frozen", "crashed"], [6, 3, 2, 1 if crashes else 0])[0]
            self.done[what] += 1
            if what == "killed":
                victim.kill()
            elif what == "cut":
                await asyncio.to_thread(self._cut)
            elif what == "frozen":
                victim.signal(signal.SIGSTOP)
                await asyncio.sleep(self.rng.uniform(0.1, 1.0))
                victim.signal(signal.SIGCONT)
            else:
                await asyncio.to_thread(server.stop, signal.SIGQUIT)
                await asyncio.to_thread(server.start)

    def _cut(self) -> None:
        self.server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'regie-ledger' "
            f"AND datname = '{self.name}' AND random() < 0.7"
        )

    async def watch(self) -> None:
        """Read like a stranger: every head that is seen goes on from the one that was seen before."""
        while monotonic() < self.until:
            await asyncio.to_thread(self._look, [*self.checkpoints.values()][-3:])
            await asyncio.sleep(0.1)

    def _look(self, seen: list[str]) -> None:
        reader = open_for_reading(self.server.uri(self.name, self.reader))
        try:
            with reader.snapshot() as snapshot:
                signed = open_checkpoint(snapshot.head().checkpoint, [SIGNER.verifier])
                for old in [open_checkpoint(note, [SIGNER.verifier]) for note in seen]:
                    assert old.size <= signed.size, "what was answered is not durable"
                    path = consistency_path(old.size, signed.size, snapshot.tile)
                    verify_consistency(old.size, signed.size, old.root, signed.root, path)
                    self.verified += 1
        except Exception as error:  # the database may be away just now
            if getattr(error, "reason", "") != "LEDGER_UNAVAILABLE":
                raise
        finally:
            reader.close()

    def check(self) -> int:
        """Check the whole log against everything that was answered; returns its size."""
        location = self.server.uri(self.name, self.reader)
        report = verify_database(location, SIGNER.verifier.format())
        given = [index for indices in self.answers.values() for index in indices]
        assert len(given) == len(set(given)), "an index was given twice"
        reader = open_for_reading(location)
        with reader.snapshot() as snapshot:
            head = snapshot.head()
            assert snapshot.last_index() + 1 == snapshot.count("leaf") == head.size == report.log.size
            for size, note in self.checkpoints.items():
                signed = open_checkpoint(note, [SIGNER.verifier])
                assert size <= head.size, f"size {size} was signed and is gone"
                assert root(size, snapshot.tile) == signed.root, f"the log forked before size {size}"
            for batch, indices in self.answers.items():
                for row in snapshot.payloads(indices).values():
                    event = pb.Event.FromString(row.event).exchange_decided
                    assert event.batch_id == batch.to_bytes(16, "big"), f"leaf {row.idx} is of another batch"
            # Everything in the log was answered: every caller asked until it was.
            assert sorted(given) == list(range(len(first_events()), head.size))
        reader.close()
        return head.size


async def hammer(server: Server, seconds: float, callers: int, seed: int, *, crashes: bool = False) -> Hammer:
    """Run callers against two replicas for some seconds and check everything; raises what does not hold."""
    name = server.database()
    location = server.uri(name)
    create_ledger(location, SIGNER, first_events(), system_clock)
    replicas = [Replica(location, server.folder / f"replica-{name}-{number}") for number in range(2)]
    run = Hammer(server, name, random.Random(seed), replicas)
    run.until = monotonic() + seconds
    async with traffic(run, callers) as work:
        await run.torment(server, crashes=crashes)
        await asyncio.wait(work)
    await asyncio.to_thread(run.check)
    return run


@contextlib.asynccontextmanager
async def traffic(run: Hammer, callers: int) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run replicas, callers and a watcher, of which the last two end by ``run.until``; whatever fails ends all."""
    try:
        async with asyncio.TaskGroup() as tasks:
            lives = [tasks.create_task(replica.live()) for replica in run.replicas]
            yield [*(tasks.create_task(run.caller()) for _ in range(callers)), tasks.create_task(run.watch())]
            for life in lives:
                life.cancel()
    finally:
        for replica in run.replicas:
            replica.signal(signal.SIGCONT)
            replica.kill()
            if replica.process is not None:
                await replica.process.wait()
