"""The embedded span store: SQLite, so that traces can be followed with nothing else installed.

Spans may be lost, callers may never wait: a bounded queue, one thread that writes, and a count of what did not fit.
Whoever must not lose anything writes it into the ledger.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pysqlite3.dbapi2 as sqlite
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from consent_ledger.clock import DAY_MS, Clock
from gateway.home import Home, Organisation
from gateway.telemetry.logs import get_logger

FILE = "spans.db"
MOST_WAITING = 8_192
"""Spans in the queue: some hundred batches. More are dropped and counted."""

_GATHER_SECONDS = 0.2
_MOST_AT_ONCE = 2_048
_PRUNE_EVERY_MS = 3_600_000
_BUSY_SECONDS = 2.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS span (
    trace_id BLOB NOT NULL,
    span_id BLOB NOT NULL,
    parent_id BLOB,
    service TEXT NOT NULL,
    oin TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    status TEXT NOT NULL,
    attributes TEXT NOT NULL,
    PRIMARY KEY (trace_id, span_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS span_durations ON span (start_ns, service, name, sender, recipient, end_ns);
"""
_INSERT = f"INSERT OR IGNORE INTO span VALUES ({','.join('?' * 13)})"  # noqa: S608 - question marks only
_PRUNE = "DELETE FROM span WHERE start_ns < ?"


@dataclass(frozen=True, slots=True)
class _Flush:
    done: threading.Event


class SpanStore(SpanProcessor):
    """Takes spans that ended and writes them behind the callers' back; files are made on the first one."""

    def __init__(self, path: Path, days: int, clock: Clock, most_waiting: int = MOST_WAITING) -> None:
        """Keep spans in ``path`` for so many days."""
        self._path, self._days, self._clock = path, days, clock
        self._queue: queue.Queue[ReadableSpan | _Flush | None] = queue.Queue(most_waiting)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._connection: sqlite.Connection | None = None
        self._pruned_ms = 0
        self._failed = False
        self.dropped = 0

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Wait for its end."""

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span; never blocks: what does not fit is counted."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if self._thread is None:
            self._start()
        try:
            self._queue.put_nowait(span)
        except queue.Full:
            self._drop(1)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True once everything that was taken so far is written, False when that takes too long."""
        if self._thread is None:
            return True
        flush, seconds = _Flush(threading.Event()), timeout_millis / 1_000
        try:
            self._queue.put(flush, timeout=seconds)
        except queue.Full:
            return False
        return flush.done.wait(seconds)

    def shutdown(self) -> None:
        """Write what waits, and close the file. Idempotent."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is None:
                return
        self._closing.set()
        self._queue.put(None)
        thread.join()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
                self._thread.start()

    def _drop(self, count: int) -> None:
        with self._lock:
            self.dropped += count

    # -- the writer's thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        for spans, flushes, last in self._gathered():
            if spans:
                self._keep(spans)
            if last:
                self._close()
            for flush in flushes:
                flush.done.set()
            if last:
                return

    def _gathered(self) -> Iterator[tuple[list[ReadableSpan], list[_Flush], bool]]:
        """Yield what comes within a moment together: one transaction for many spans."""
        while True:
            item = self._queue.get()
            if isinstance(item, ReadableSpan):
                self._closing.wait(_GATHER_SECONDS)
            spans, flushes, last = [], [], False
            while item is not None:
                if isinstance(item, _Flush):
                    flushes.append(item)
                else:
                    spans.append(item)
                if len(spans) == _MOST_AT_ONCE:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            else:
                last = True
            yield spans, flushes, last

    def _keep(self, spans: list[ReadableSpan]) -> None:
        """Write them. A file that cannot be written costs spans, and nothing else."""
        try:
            self._connection = self._connection or self._open()
            with self._connection as connection:
                connection.executemany(_INSERT, [_row(span) for span in spans])
                self._prune(connection)
            self._failed = False
        except (sqlite.Error, OSError) as error:
            self._drop(len(spans))
            if not self._failed:  # said once, until it works again
                get_logger().warning("spans cannot be kept", exception_type=type(error).__name__)
            self._failed = True
            self._close()

    def _open(self) -> sqlite.Connection:
        self._path.touch(mode=0o600)  # before SQLite: its other files take over this one's mode
        connection = sqlite.connect(self._path, timeout=_BUSY_SECONDS)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_SCHEMA)
        except sqlite.Error:
            connection.close()
            raise
        return connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _prune(self, connection: sqlite.Connection) -> None:
        now_ms = self._clock()
        if now_ms >= self._pruned_ms + _PRUNE_EVERY_MS:
            connection.execute(_PRUNE, ((now_ms - self._days * DAY_MS) * 1_000_000,))
            self._pruned_ms = now_ms


def _row(span: ReadableSpan) -> tuple[object, ...]:
    context, attributes = span.context, dict(span.attributes or {})
    assert context is not None, "on_end let it through"
    resource = span.resource.attributes
    return (
        context.trace_id.to_bytes(16, "big"),
        context.span_id.to_bytes(8, "big"),
        span.parent.span_id.to_bytes(8, "big") if span.parent else None,
        str(resource.get("service.name", "")),
        str(resource.get("regie.oin", "")),
        span.name,
        span.kind.name.lower(),
        str(attributes.get("regie.sender", "")),
        str(attributes.get("regie.recipient", "")),
        span.start_time or 0,
        span.end_time or 0,
        span.status.status_code.name.lower(),
        json.dumps(attributes),
    )


def store_of(organisation: Organisation) -> Path:
    """Return where an organisation's roles and SDK keep their spans."""
    return organisation.data / FILE


def span_stores(home: Home) -> list[Path]:
    """Return the span stores that exist in a home, of all its organisations."""
    return sorted((home.folder / "orgs").glob(f"*/data/{FILE}"))
