"""The process under attack: it opens a ledger, goes through the plan, and writes down every answer it gives.

Forked from a server that has everything imported, so that one case costs a fork and not a start of Python.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import sys
import traceback
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from threading import get_native_id
from typing import NamedTuple

from consent_ledger.errors import RegieError
from consent_ledger.sequencer import Sequencer, create_ledger, open_ledger
from tests.ledger_faults.callers import call
from tests.ledger_faults.erasing import erase
from tests.ledger_faults.plan import WAIT, ask, steps
from tests.support.ledger import NOW, SIGNER, Time, first_events

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.ledger_faults.child"])
_PR_SET_PTRACER = 0x59616D61
_ANY = ctypes.c_ulong(-1)

PHASES = ("creating", "opening", "writing", "erasing")
"""Which part of a ledger's life a child shows its tracer: its own thread makes or opens it, the writer's writes it."""


class Told(NamedTuple):
    """One answer a caller heard, in order."""

    name: str
    answer: bytes


@dataclass(frozen=True, slots=True)
class Order:
    """What a child does, in a folder of its own (in phase "calling", what the callers of this seed ask); ``largest`` limits the size of its files (bytes, 0: no limit).

    ``reads``: another connection of the process reads, as in production. Then SQLite leaves the -wal file when the
    writer closes; otherwise the writer's last act is to move it into the file.
    """

    folder: Path
    phase: str = "writing"
    largest: int = 0
    reads: bool = False
    now_ms: int = NOW
    seed: int = 0

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.folder / "ledger" / "ledger.db"

    @property
    def told(self) -> Path:
        """What callers were told: it outlives the process."""
        return self.folder / "told"

    @property
    def said(self) -> Path:
        """What the process wrote to its standard output and error."""
        return self.folder / "said"


@dataclass(slots=True)
class Child:
    """A running child that waits to be let go. ``task`` is the thread to trace."""

    order: Order
    task: int = 0
    pid: int = 0
    _pipe: Connection = field(init=False)
    _process: multiprocessing.process.BaseProcess = field(init=False)

    def start(self) -> Child:
        """Fork it; returns when it waits."""
        self._pipe, theirs = _FORKS.Pipe()
        self._process = _FORKS.Process(target=_main, args=(self.order, theirs), daemon=True)
        self._process.start()
        theirs.close()
        assert self._pipe.poll(WAIT), self.order.said.read_text()
        self.task, self.pid = self._pipe.recv()
        return self

    def go(self) -> None:
        """Let it begin."""
        self._pipe.send("go")

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        self._process.kill()

    def end(self) -> int:
        """Wait for its end and return its exit code, negative for a signal."""
        self._process.join(WAIT)
        code = self._process.exitcode
        assert code is not None, f"hangs; it said {self.order.said.read_text()}"
        self._pipe.close()
        self._process.close()
        return code


def told(order: Order) -> list[Told]:
    """Read what callers were told; the last line may be torn by the process's end."""
    if not order.told.exists():
        return []
    lines = order.told.read_bytes().split(b"\n")[:-1]
    return [Told(name.decode(), bytes.fromhex(data.decode())) for name, data in (line.split(b" ") for line in lines)]


def open_notes(order: Order) -> int:
    """Open the file of answers for another process to go on with.

    A process that is killed while it writes leaves a piece of a line. Nobody heard that answer; were it left there, the
    next process's first line would be joined to it.
    """
    notes = os.open(order.told, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    os.ftruncate(notes, order.told.read_bytes().rfind(b"\n") + 1)
    return notes


def _main(order: Order, pipe: Connection) -> None:
    """Run in the child."""
    # The tracer is its sister, not its parent: where only descendants may be traced, this lets it.
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANY, 0, 0, 0)
    said = os.open(order.said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(said, 1)
    os.dup2(said, 2)
    try:
        _work(order, pipe)
    except RegieError as error:
        print(f"refused: {error}", flush=True)
    except BaseException:  # noqa: BLE001  (said, and shown by the exit code)
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(3)
    os._exit(0)


def _work(order: Order, pipe: Connection) -> None:
    if order.phase == "creating":
        _wait(pipe, get_native_id(), order)
        create_ledger(order.ledger, SIGNER, first_events(), Time(order.now_ms))
    elif order.phase == "calling":
        _wait(pipe, get_native_id(), order)
        _call(open_ledger(order.ledger, SIGNER, Time(order.now_ms)), order)
    elif order.phase == "opening":
        _wait(pipe, get_native_id(), order)
        _go_through(open_ledger(order.ledger, SIGNER, Time(order.now_ms)), order)
    else:
        ledger = open_ledger(order.ledger, SIGNER, Time(order.now_ms))
        _wait(pipe, ledger._thread.native_id or 0, order)
        _erase(ledger, order) if order.phase == "erasing" else _go_through(ledger, order)


def _go_through(ledger: Sequencer, order: Order) -> None:
    """Ask everything, and write down what callers hear."""
    if order.reads:
        with ledger.reader.snapshot() as snapshot:
            snapshot.head()
    notes = open_notes(order)
    try:
        for step in steps():
            if not ask(ledger, step, lambda name, answer: _note(notes, name, answer)):
                break
    finally:
        ledger.close()
    if ledger.failure is not None:
        print(f"stopped: {type(ledger.failure).__name__}", flush=True)


def _erase(ledger: Sequencer, order: Order) -> None:
    notes = open_notes(order)
    with ledger:
        erase(ledger, lambda name, answer: _note(notes, name, answer))


def _call(ledger: Sequencer, order: Order) -> None:
    """Ask what many callers ask, until the end of the process; each goes on behind its last answer."""
    answered = Counter(int(each.name.split("/")[0]) for each in told(order))
    notes = open_notes(order)
    call(ledger, order.seed, answered, lambda name, answer: _note(notes, name, answer))


def _wait(pipe: Connection, task: int, order: Order) -> None:
    pipe.send((task, os.getpid()))
    assert pipe.recv() == "go"
    if order.largest:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.largest, order.largest))


def _note(file: int, name: str, answer: bytes) -> None:
    line = f"{name} {answer.hex()}\n".encode()
    assert os.write(file, line) == len(line)
