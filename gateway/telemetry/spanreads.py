"""Reading spans back, over the stores of several organisations. Blocking: call these in a thread."""

from __future__ import annotations

import heapq
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pysqlite3.dbapi2 as sqlite

_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_TRACE = """
SELECT trace_id, span_id, parent_id, service, oin, name, kind, start_ns, end_ns, status, attributes
FROM span WHERE trace_id = ?
"""
_DURATIONS = """
SELECT service, name, sender, recipient, end_ns - start_ns, trace_id
FROM span WHERE start_ns >= ? AND start_ns < ? ORDER BY start_ns DESC LIMIT ?
"""
_SLOWEST = 3


@dataclass(frozen=True, slots=True)
class StoredSpan:
    """One span. Ids in hexadecimal, times in nanoseconds since 1970.

    ``parent_id`` may be in no store: the caller's own span, or that of an organisation whose spans are elsewhere.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    service: str
    oin: str
    name: str
    kind: str
    start_ns: int
    end_ns: int
    status: str
    attributes: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Latency:
    """How long one stage takes between two parties ("" where it has none); ``slowest`` are trace ids."""

    service: str
    name: str
    sender: str
    recipient: str
    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    slowest: tuple[str, ...]


def read_trace(paths: Iterable[Path], trace_id: str) -> list[StoredSpan]:
    """Return the spans of a trace from all stores: parents before their children, else by start.

    Empty when no store has any, and for what is no trace id. A store that cannot be read counts as absent.
    """
    if not _TRACE_ID.fullmatch(trace_id):
        return []
    found = {
        span.span_id: span
        for path in paths
        for row in _rows(path, _TRACE, (bytes.fromhex(trace_id),))
        for span in [_span(row)]
    }
    return sorted(found.values(), key=lambda span: (span.start_ns, _depth(span, found), span.span_id))


def durations(paths: Iterable[Path], since_ms: int, until_ms: int, most: int = 200_000) -> list[Latency]:
    """Return percentiles of what began from ``since_ms`` until before ``until_ms``, by stage and pair.

    Of each store the newest ``most`` spans count, so that a question costs no more than so many.
    """
    groups: defaultdict[tuple[str, str, str, str], list[tuple[int, bytes]]] = defaultdict(list)
    bounds = (since_ms * 1_000_000, until_ms * 1_000_000, most)
    for path in paths:
        for service, name, sender, recipient, duration, trace_id in _rows(path, _DURATIONS, bounds):
            groups[service, name, sender, recipient].append((duration, trace_id))
    return [_latency(*key, times) for key, times in sorted(groups.items())]


def _latency(service: str, name: str, sender: str, recipient: str, times: Sequence[tuple[int, bytes]]) -> Latency:
    ordered = sorted(duration for duration, _ in times)
    # A trace that was slow twice is named once.
    slowest = dict.fromkeys(trace_id.hex() for _, trace_id in heapq.nlargest(4 * _SLOWEST, times))
    p50, p95, p99 = (percentile(ordered, share) / 1e6 for share in (0.50, 0.95, 0.99))
    return Latency(service, name, sender, recipient, len(ordered), p50, p95, p99, tuple(slowest)[:_SLOWEST])


def percentile(ordered: Sequence[int], share: float) -> int:
    """Return the smallest value that at least this share of all does not exceed (nearest rank); of at least one."""
    return ordered[max(0, ceil(len(ordered) * share) - 1)]


def _span(row: tuple[Any, ...]) -> StoredSpan:
    trace_id, span_id, parent_id, service, oin, name, kind, start_ns, end_ns, status, attributes = row
    return StoredSpan(
        trace_id=trace_id.hex(),
        span_id=span_id.hex(),
        parent_id=parent_id.hex() if parent_id else None,
        service=service,
        oin=oin,
        name=name,
        kind=kind,
        start_ns=start_ns,
        end_ns=end_ns,
        status=status,
        attributes=json.loads(attributes),
    )


def _depth(span: StoredSpan, found: Mapping[str, StoredSpan]) -> int:
    depth, parent = 0, span.parent_id
    while parent is not None and parent in found and depth < len(found):
        depth, parent = depth + 1, found[parent].parent_id
    return depth


def _rows(path: Path, query: str, parameters: tuple[object, ...]) -> Iterator[tuple[Any, ...]]:
    """Read without making a file or waiting long for one."""
    try:
        with closing(sqlite.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=1.0)) as connection:
            yield from connection.execute(query, parameters)
    except sqlite.Error:
        return
