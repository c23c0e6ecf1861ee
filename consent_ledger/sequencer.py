"""The only write path: one thread that orders everything the ledger is asked, in group commits.

Durable order of one group, and what a crash at each step means:

1. Take what waits (bounded queue), begin the transaction, read the clock. Crash: nothing happened.
2. Apply each request to its own overlay. A RegieError is that request's answer and leaves nothing. Crash: as 1.
3. Append leaves and tile hashes, sign the new checkpoint. Crash: the signature was shown to nobody; as 1.
4. Finish: make the answers, and store those that must be given again for the same request. Crash: as 1.
5. Advance the head (compare-and-swap on size and root), commit. Every ten minutes what may no longer be given out is
   deleted with it, and the -wal file emptied. Crash during commit: the group is either durable or
   not; nobody was answered, and a caller that asks again with the same bytes gets the one answer either way.
6. Publish the new head, then answer. Crash: durable but unanswered; as 5.

Two classes of failure. A RegieError concerns its request. Anything else is fatal: the state is unknown, so the thread
stops, every waiting and later call gets LEDGER_UNAVAILABLE, and only a new start through ``load`` goes on.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import structlog

from consent_ledger.clock import Clock
from consent_ledger.errors import RegieError
from consent_ledger.events import Rng
from consent_ledger.log.note import Signer
from consent_ledger.opening import Loaded, create_ledger, open_loaded, seal_group
from consent_ledger.registry import Registry
from consent_ledger.storage.reader import LedgerReader
from consent_ledger.storage.rows import HeadRow
from consent_ledger.storage.sqlite import unavailable
from consent_ledger.storage.store import LedgerStore
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.publish import PublishWork
from consent_ledger.writing.transaction import Group, Transaction
from consent_ledger.writing.work import Sealed, Work

__all__ = ["Limits", "Sequencer", "create_ledger", "open_ledger"]

Answer = TypeVar("Answer")
_log = structlog.get_logger()
_CLOCK_SLACK_MS = 1_000  # a clock that was set back by less is waited for; by more, signing stops (I6)
_FORGET_EVERY_MS = 600_000
_PULL_MEMORY_MS = 600_000  # twice the time a pull stays fresh


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the queue and of one group."""

    waiting: int = 2_048  # requests; more are refused with OVERLOADED
    group_requests: int = 512
    group_leaves: int = 8_192


@dataclass(frozen=True, slots=True)
class _Request:
    work: Work[Any]
    future: Future[Any]


class Sequencer:
    """Orders and stores what the ledger is asked. Thread-safe; made by ``open_ledger``."""

    def __init__(
        self, store: LedgerStore, loaded: Loaded, signer: Signer, clock: Clock, *, rng: Rng, limits: Limits
    ) -> None:
        """Take over an opened store and start the writer's thread."""
        self._store = store
        self._head = loaded.head
        self._frontier = loaded.frontier  # of the durable head; a group works on a copy
        self._registry = loaded.registry
        self._signer = signer
        self._clock = clock
        self._rng = rng
        self._limits = limits
        self._forgotten_ms = 0  # openings of batches that expired until then are gone
        self._queue: queue.Queue[_Request | None] = queue.Queue(limits.waiting)
        self._gate = threading.Lock()  # between submit and stop: nothing is queued behind the end
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self.reader = LedgerReader(store.path)
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    # -- for callers ------------------------------------------------------------------------------------------------

    @property
    def head(self) -> HeadRow:
        """The last published head."""
        return self._head

    @property
    def registry(self) -> Registry:
        """Participants and purposes at the last published head."""
        return self._registry

    @property
    def origin(self) -> str:
        """The log's origin, as in its checkpoints."""
        return self._signer.name

    @property
    def failure(self) -> BaseException | None:
        """What stopped the writer, or None while it runs."""
        return self._failure

    def submit(self, work: Work[Answer]) -> Future[Answer]:
        """Queue a request; the future gets its answer once it is durable, or a RegieError.

        Raises RegieError OVERLOADED when too many wait, and LEDGER_UNAVAILABLE when the writer stopped.
        """
        request: _Request = _Request(work, Future())
        with self._gate:
            if self._stopping.is_set():
                raise self._stopped()
            try:
                self._queue.put_nowait(request)
            except queue.Full:
                raise RegieError("OVERLOADED", "too many requests wait at the ledger: try again later") from None
        return request.future

    def publish(self, events: Sequence[pb.PublicEvent]) -> Future[list[int]]:
        """Publish public events (their time and sequence are given here); the answer is their log indices."""
        return self.submit(PublishWork(tuple(events)))

    def close(self) -> None:
        """Answer what waits, stop, and let the next writer in. Idempotent."""
        with self._gate:
            first = not self._stopping.is_set()
            self._stopping.set()
        if first:
            self._queue.put(None)
        self._thread.join()
        self.reader.close()

    def __enter__(self) -> Self:
        """Use it in a ``with`` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    # -- the writer's thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        group: list[_Request] = []
        try:
            while self._take(group):
                self._commit(group)
                group = []
        except BaseException as error:  # noqa: BLE001  (fatal by definition: see the module's text)
            self._stop(error, group)
        finally:
            self._store.close()

    def _take(self, group: list[_Request]) -> bool:
        """Wait for a request and add whatever else waits, within the limits; False at the end."""
        request = self._queue.get()
        weight = 0
        while request is not None:
            group.append(request)
            weight += request.work.weight
            if len(group) >= self._limits.group_requests or weight >= self._limits.group_leaves:
                return True
            try:
                request = self._queue.get_nowait()
            except queue.Empty:
                return True
        if group:
            self._queue.put(None)  # the end comes after this group
        return bool(group)

    def _commit(self, requests: Sequence[_Request]) -> None:
        """Run one group; on return every future of it is resolved."""
        self._store.begin()
        group = Group(self._store, self._head, self._registry, self._now(), self._rng)
        finishes, refused = self._apply(group, requests)
        frontier = self._frontier.copy()
        head = seal_group(group, frontier, self._signer)
        sealed = Sealed(group, head.size, head.checkpoint)
        answers = [(request, finish(sealed)) for request, finish in finishes]
        if group.writes.any():
            self._store.project(group.writes)
            if head is not self._head:
                self._store.advance(self._head, head)
            forgot = self._forget(group.now_ms)
            self._store.commit()
            if forgot:
                self._store.truncate_log()
        else:
            self._store.rollback()
        self._head, self._frontier, self._registry = head, frontier, group.registry
        # Only now: what anybody hears is durable, refusals too, since they may rest on what the group wrote.
        for request, answer in answers:
            request.future.set_result(answer)
        for request, error in refused:
            request.future.set_exception(error)

    def _apply(
        self, group: Group, requests: Sequence[_Request]
    ) -> tuple[list[tuple[_Request, Callable[[Sealed], Any]]], list[tuple[_Request, RegieError]]]:
        finishes, refused = [], []
        for request in requests:
            if not request.future.set_running_or_notify_cancel():
                continue
            transaction = Transaction(group)
            try:
                finish = request.work.apply(transaction)
            except RegieError as error:
                refused.append((request, error))
            else:
                group.merge(transaction)
                finishes.append((request, finish))
        return finishes, refused

    def _now(self) -> int:
        """Read the clock; a clock before the head's time is fatal to signing, never clamped (I6)."""
        now_ms = self._clock()
        behind = self._head.time_ms - now_ms
        if 0 < behind <= _CLOCK_SLACK_MS:
            threading.Event().wait(behind / 1_000)
            now_ms = self._clock()
        if now_ms < self._head.time_ms:
            raise RuntimeError(f"the clock is {self._head.time_ms - now_ms} ms before the last signed checkpoint")
        return now_ms

    def _forget(self, now_ms: int) -> bool:
        """Every ten minutes, in the transaction at hand: delete openings and answers past their time."""
        due = now_ms >= self._forgotten_ms + _FORGET_EVERY_MS
        if due:
            self._store.forget(self._forgotten_ms, now_ms, now_ms - _PULL_MEMORY_MS)
            self._forgotten_ms = now_ms
        return due

    # -- the end ----------------------------------------------------------------------------------------------------

    def _stop(self, error: BaseException, group: Sequence[_Request]) -> None:
        """Fail everything that waits and will come; a text of the error could hold data, so only its type is logged."""
        with self._gate:
            self._failure = error
            self._stopping.set()
        _log.critical("ledger_stopped", exception_type=type(error).__name__)
        waiting = list(group)
        while True:
            try:
                request = self._queue.get_nowait()
            except queue.Empty:
                break
            if request is not None:
                waiting.append(request)
        for request in waiting:
            with contextlib.suppress(InvalidStateError):  # answered, or given up by its caller
                request.future.set_exception(self._stopped())

    def _stopped(self) -> RegieError:
        if self._failure is None:
            return unavailable("the ledger is stopping")
        return unavailable("the ledger stopped after a failure and must be started again")


def open_ledger(
    path: Path,
    signer: Signer,
    clock: Clock,
    *,
    rng: Rng = os.urandom,
    limits: Limits | None = None,
    known_checkpoint: str | None = None,
) -> Sequencer:
    """Open an existing ledger for its one writer.

    ``known_checkpoint`` is a signed checkpoint seen elsewhere that the ledger must contain. Raises RegieError
    LEDGER_UNAVAILABLE when there is no ledger, it has a writer, it does not verify, it is older than the known
    checkpoint, the clock is before its last checkpoint, or this SQLite can lose commits.
    """
    store, loaded = open_loaded(path, signer, known_checkpoint)
    if clock() + _CLOCK_SLACK_MS < loaded.head.time_ms:
        store.close()
        raise unavailable("the clock of this machine is before the last signed checkpoint: set it right first")
    return Sequencer(store, loaded, signer, clock, rng=rng, limits=limits or Limits())
