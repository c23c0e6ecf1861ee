"""The only write path: one thread that orders everything the ledger is asked, in group commits.

Durable order of one group, and what a crash at each step means:

1. Take what waits (bounded queue), begin the transaction, read the clock. Crash: nothing happened.
2. Apply each request to its own overlay. A RegieError is that request's answer and leaves nothing. Crash: as 1.
3. Append leaves and tile hashes, sign the new checkpoint. Crash: the signature was shown to nobody; as 1.
4. Finish: make the answers, and store those that must be given again for the same request. Crash: as 1.
5. Advance the head (compare-and-swap on size and root), commit. Every ten minutes what may no longer be given out is
   deleted with it. Crash during commit: the group is either durable or not; nobody was answered, and a caller that asks
   again with the same bytes gets the one answer either way.
6. Overwrite what was deleted or erased, then publish the new head, then answer. Crash: durable but unanswered; as 5.

Two classes of failure. A RegieError concerns its request. Anything else is fatal: the state is unknown, so the thread
stops, every waiting and later call gets LEDGER_UNAVAILABLE, and only a new start through ``load`` goes on.

On PostgreSQL several replicas order one log: a transaction begins under the lock on the head, with whatever others
appended (``catch_up``, which recomputes their root). A database that went away is no mistake of ours, but the state is
as unknown: nothing in memory counts, what waits is refused, and ``load`` runs again over a new connection, with the
last head that was answered as the checkpoint that must be in it.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Self, TypeVar

import structlog

from consent_ledger.clock import Clock
from consent_ledger.errors import RegieError
from consent_ledger.events import Rng
from consent_ledger.log.keys import LogKeys
from consent_ledger.log.note import Signer
from consent_ledger.opening import Loaded, catch_up, create_ledger, open_loaded, seal_group
from consent_ledger.registry import Registry
from consent_ledger.storage.ports import Location, Store, StoreLostError, UnreachableError
from consent_ledger.storage.rows import HeadRow
from consent_ledger.storage.sqlite import unavailable
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.publish import PublishWork
from consent_ledger.writing.transaction import Group, Transaction
from consent_ledger.writing.waiting import Limits, Request, Waiting, refuse
from consent_ledger.writing.work import Sealed, Work, read_ahead

__all__ = ["Limits", "Sequencer", "create_ledger", "open_ledger"]

Answer = TypeVar("Answer")
_log = structlog.get_logger()
_CLOCK_SLACK_MS = 1_000  # a clock that was set back by less is waited for; by more, signing stops (I6)
_FOLLOW_SECONDS = 0.5
_RETRY_SECONDS = 0.5
_FORGET_EVERY_MS = 600_000
_OVERWRITE_BYTES = 16 << 20  # of the file between two groups: some tens of milliseconds
_PULL_MEMORY_MS = 600_000  # twice the time a pull stays fresh


class Sequencer:
    """Orders and stores what the ledger is asked. Thread-safe; made by ``open_ledger``."""

    def __init__(
        self,
        store: Store,
        loaded: Loaded,
        keys: LogKeys,
        clock: Clock,
        *,
        rng: Rng,
        limits: Limits,
        again: Callable[[str], tuple[Store, Loaded]],
    ) -> None:
        """Take over an opened store and start the writer's thread; ``again`` opens it once more, given a checkpoint."""
        self._store = store
        self._again = again
        self._head = loaded.head
        self._frontier = loaded.frontier  # of the durable head; a group works on a copy
        self._registry = loaded.registry
        self._keys = keys
        self._clock = clock
        self._rng = rng
        # Nothing that was deleted can still be read in the files. Whoever wrote before us may have died in between.
        self.clean = False
        self._forgotten_ms = 0  # openings of batches that expired until then are gone
        self._waiting = Waiting(limits)
        # Called by the writer with the entries that it is about to erase, while a reader still sees them; never raises.
        self.before_erasing: Callable[[Sequence[int]], None] | None = None
        self.reader = store.reader()
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
        return self._keys.name

    @property
    def keys(self) -> LogKeys:
        """The keys that sign the log at the last published head: those that are not retired."""
        return self._keys.without(self._registry.retired_log_keys)

    @property
    def failure(self) -> BaseException | None:
        """What stopped the writer, or None while it runs."""
        return self._waiting.failure

    def submit(self, work: Work[Answer]) -> Future[Answer]:
        """Queue a request; the future gets its answer once it is durable, or a RegieError.

        Raises RegieError OVERLOADED when too many wait, and LEDGER_UNAVAILABLE when the writer stopped.
        """
        future = self._waiting.put(work)
        if future is None:
            raise self._stopped()
        return future

    def publish(self, events: Sequence[pb.PublicEvent]) -> Future[list[int]]:
        """Publish public events (their time and sequence are given here); the answer is their log indices."""
        return self.submit(PublishWork(tuple(events), self._keys))

    def halt(self, why: RegieError) -> None:
        """Sign nothing more: who waits and who comes is refused with ``why``, and only a new start goes on."""
        if self._waiting.end(why):
            self._waiting.wake(wait=False)

    def close(self) -> None:
        """Answer what waits, stop, and let the next writer in. Idempotent."""
        if self._waiting.end():
            self._waiting.wake(wait=True)
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
        group: list[Request] = []
        try:
            while True:
                try:
                    if not self._waiting.take(self._next(), group):
                        break
                    self._check_halted()
                    self._commit(group)
                except StoreLostError as lost:
                    self._load_again(lost, group)
                group = []
            self._check_halted()
        except BaseException as error:  # noqa: BLE001  (fatal by definition: see the module's text)
            self._stop(error, group)
        finally:
            self._store.close()

    def _next(self) -> Request | None:
        """Wait for a request; of a shared ledger, look now and then whether other replicas moved it on."""
        while self._store.shared:
            with contextlib.suppress(TimeoutError):
                return self._waiting.first(_FOLLOW_SECONDS)
            if self._waiting.ended.is_set():
                return None
            self._follow()
        return self._waiting.first()

    def _follow(self) -> None:
        """Take over what other replicas appended, so that who asks this one hears of it."""
        try:
            with self.reader.snapshot() as snapshot:
                moved = snapshot.head() != self._head
        except RegieError:
            return  # the next group finds out
        if moved:
            self._begin()
            self._store.rollback()

    def _begin(self) -> None:
        """Begin a transaction at the newest head: of a shared ledger, the one that others left."""
        self._store.begin()
        if self._store.shared:
            now = Loaded(self._head, self._frontier, self._registry)
            self._take_over(catch_up(self._store, now, self._keys))

    def _take_over(self, loaded: Loaded) -> None:
        self._head, self._frontier, self._registry = loaded.head, loaded.frontier, loaded.registry

    def _commit(self, requests: Sequence[Request]) -> None:
        """Run one group; on return every future of it is resolved."""
        self._begin()
        group = Group(self._store, self._head, self._registry, self._now(), self._rng)
        finishes, refused = self._apply(group, requests)
        frontier = self._frontier.copy()
        head = seal_group(group, frontier, self._keys)
        sealed = Sealed(group, head.size, head.checkpoint)
        answers = [(request, finish(sealed)) for request, finish in finishes]
        if group.writes.any():
            if self.before_erasing and group.writes.erasures.entries:
                self.before_erasing(sorted(group.writes.erasures.entries))
            self._store.project(group.writes)
            if head is not self._head:
                self._store.advance(self._head, head)
            deleted = self._forget(group.now_ms) or bool(group.writes.erasures.entries)
            self._store.commit()
        else:
            deleted = False
            self._store.rollback()
        if deleted or not self.clean:
            # Crash here: the bytes stay until the next start, which comes here before it answers anything.
            self.clean = self._store.overwrite(anew=deleted, most_bytes=_OVERWRITE_BYTES)
        self._take_over(Loaded(head, frontier, group.registry))
        # Only now: what anybody hears is durable, refusals too, since they may rest on what the group wrote.
        for request, answer in answers:
            request.future.set_result(answer)
        for request, error in refused:
            request.future.set_exception(error)

    def _apply(
        self, group: Group, requests: Sequence[Request]
    ) -> tuple[list[tuple[Request, Callable[[Sealed], Any]]], list[tuple[Request, RegieError]]]:
        finishes, refused = [], []
        read_ahead(group, [request.work for request in requests])
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
        if now_ms < self._forgotten_ms + _FORGET_EVERY_MS:
            return False
        forgot = self._store.forget(self._forgotten_ms, now_ms, now_ms - _PULL_MEMORY_MS)
        self._forgotten_ms = now_ms
        return forgot

    def _check_halted(self) -> None:
        if self._waiting.failure is not None:
            raise self._waiting.failure

    def _load_again(self, lost: StoreLostError, group: Sequence[Request]) -> None:
        """Go on from durable state, through the same code as a start, and only if it holds what was answered.

        A standby that took over without the newest commits is an older copy: it is refused, and that is fatal.
        """
        _log.warning("ledger_lost", exception_type=str(lost))
        self._store.close()
        refuse(group, self._stopped)
        while not self._waiting.ended.is_set():
            refuse(self._waiting.drain(), self._stopped)
            try:
                self._store, loaded = self._again(self._head.checkpoint)
            except UnreachableError:
                self._waiting.ended.wait(_RETRY_SECONDS)
            else:
                self._take_over(loaded)
                _log.info("ledger_loaded_again", size=loaded.head.size)
                return

    # -- the end ----------------------------------------------------------------------------------------------------

    def _stop(self, error: BaseException, group: Sequence[Request]) -> None:
        """Fail everything that waits and will come; a text of the error could hold data, so only its type is logged."""
        self._waiting.fail(error)
        _log.critical("ledger_stopped", exception_type=type(error).__name__)
        refuse([*group, *self._waiting.drain()], self._stopped)

    def _stopped(self) -> RegieError:
        if self._waiting.failure is None:
            state = "is stopping" if self._waiting.ended.is_set() else "lost its database for a moment"
            return unavailable(f"the ledger {state}: ask again")
        if isinstance(self._waiting.failure, RegieError):
            return self._waiting.failure
        return unavailable("the ledger stopped after a failure and must be started again")


def open_ledger(
    location: Location,
    signer: Signer | LogKeys,
    clock: Clock,
    *,
    rng: Rng = os.urandom,
    limits: Limits | None = None,
    known_checkpoint: str | None = None,
) -> Sequencer:
    """Open an existing ledger for its one writer, or on PostgreSQL for one of its replicas.

    ``known_checkpoint`` is a signed checkpoint seen elsewhere that the ledger must contain. Raises RegieError
    LEDGER_UNAVAILABLE when there is no ledger, it has a writer, it does not verify, it is older than the known
    checkpoint, the clock is before its last checkpoint, or this SQLite can lose commits.
    """
    keys = LogKeys.of(signer)
    store, loaded = open_loaded(location, keys, known_checkpoint)
    if clock() + _CLOCK_SLACK_MS < loaded.head.time_ms:
        store.close()
        raise unavailable("the clock of this machine is before the last signed checkpoint: set it right first")
    again = partial(open_loaded, location, keys)
    return Sequencer(store, loaded, keys, clock, rng=rng, limits=limits or Limits(), again=again)
