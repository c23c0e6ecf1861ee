"""What waits for the ledger's writer: a bounded queue, taken from in groups."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from typing import Any, TypeVar

from consent_ledger.errors import RegieError
from consent_ledger.writing.work import Work

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the queue and of one group."""

    waiting: int = 2_048  # requests; more are refused with OVERLOADED
    group_requests: int = 512
    group_leaves: int = 8_192


@dataclass(frozen=True, slots=True)
class Request:
    """A piece of work, and who waits for its answer."""

    work: Work[Any]
    future: Future[Any]


class Waiting:
    """Requests in the order they came. Any thread adds; one takes."""

    def __init__(self, limits: Limits) -> None:
        """Begin empty."""
        self._limits = limits
        self._queue: queue.Queue[Request | None] = queue.Queue(limits.waiting)
        self._gate = threading.Lock()  # between ``put`` and the end: nothing is queued behind it
        self.ended = threading.Event()
        self.failure: BaseException | None = None  # what ended it, unless it was asked to

    def __len__(self) -> int:
        """Return about how many wait."""
        return self._queue.qsize()

    def put(self, work: Work[Answer]) -> Future[Answer] | None:
        """Queue a request; None when the end has come. Raises RegieError OVERLOADED when too many wait."""
        future: Future[Answer] = Future()
        with self._gate:
            if self.ended.is_set():
                return None
            try:
                self._queue.put_nowait(Request(work, future))
            except queue.Full:
                raise RegieError("OVERLOADED", "too many requests wait at the ledger: try again later") from None
        return future

    def end(self, why: BaseException | None = None) -> bool:
        """Let nobody in any more; tell whether this is the first to say so, whose ``why`` then counts."""
        with self._gate:
            first = not self.ended.is_set()
            if first:
                self.failure = why
            self.ended.set()
        return first

    def fail(self, error: BaseException) -> None:
        """Let nobody in any more, for this reason, whatever was said before."""
        with self._gate:
            self.failure = error
            self.ended.set()

    def wake(self, *, wait: bool) -> None:
        """Tell the one who takes that the end has come, behind all that waits; without ``wait``, if there is room."""
        with contextlib.suppress(queue.Full):  # a full queue is being worked on: it is seen at the next group
            self._queue.put(None, block=wait)

    def first(self, timeout: float | None = None) -> Request | None:
        """Wait for a request; None at the end. Raises TimeoutError after so many seconds."""
        try:
            return self._queue.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError from None

    def take(self, request: Request | None, group: list[Request]) -> bool:
        """Put a request and whatever else waits into ``group``, within the limits; False at the end."""
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

    def drain(self) -> list[Request]:
        """Take all that waits."""
        waiting = []
        with contextlib.suppress(queue.Empty):
            while True:
                request = self._queue.get_nowait()
                if request is not None:  # the end is known by ``ended`` too
                    waiting.append(request)
        return waiting


def refuse(requests: Iterable[Request], why: Callable[[], RegieError]) -> None:
    """Answer requests that nothing is known of; the same bytes again get the one answer there is."""
    for request in requests:
        with contextlib.suppress(InvalidStateError):  # answered, or given up by its caller
            request.future.set_exception(why())
