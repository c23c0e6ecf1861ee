"""What the machine itself can do, measured in the same run: every figure is a ratio against one of these."""

from __future__ import annotations

import functools
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

from gateway.crypto import group, oprf

REPEATS = 5


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, and of all processors."""

    wall: float
    busy: float

    def times(self, factor: float) -> Cost:
        return Cost(self.wall * factor, self.busy * factor)


def median_seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median of several runs, after one that does not count."""
    work()
    runs = []
    for _ in range(repeats):
        begun = perf_counter()
        work()
        runs.append(perf_counter() - begun)
    return statistics.median(runs)


def processor_seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Return the processor time of the quickest of several runs: of work on one thread, whatever else runs here."""
    runs = []
    for _ in range(repeats):
        begun = process_time()
        work()
        runs.append(process_time() - begun)
    return min(runs)


def fsync_seconds(folder: Path, repeats: int = 50) -> float:
    """Return the median time of appending 4 KiB to a file and making it durable."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:

        def once() -> None:
            os.write(file.fileno(), bytes(4096))
            os.fdatasync(file.fileno())

        return median_seconds(once, repeats)


def submission(count: int, workers: Executor | None) -> Cost:
    """Return the cost of the bare group operations of ``count`` signals, of all parties of the submission path.

    The sender hashes and multiplies once, T1 and T2 multiply twice each, the ledger once (pseudonyms.md, "Cost per
    signal": 6 V + H), and T1, T2 (twice) and the ledger decode the elements they receive, each before it computes with
    any (rule 4).
    """
    messages = [number.to_bytes(8, "big") for number in range(count)]
    scalar = group.random_scalar(os.urandom)
    used, begun = process_time(), perf_counter()
    points = group.hash_many(messages, oprf.HASH_TO_GROUP_DST, workers)
    for _ in range(6):
        points = group.multiply_many(scalar, points, workers)
    for _ in range(4):
        group.decode_list(points, workers=workers)
    return Cost(perf_counter() - begun, process_time() - used)


def multiplications(count: int, workers: Executor | None) -> Cost:
    """Return the cost of so many bare multiplications."""
    points = _points(count, workers)
    scalar = group.random_scalar(os.urandom)
    used, begun = process_time(), perf_counter()
    group.multiply_many(scalar, points, workers)
    return Cost(perf_counter() - begun, process_time() - used)


def enrolment(count: int, workers: Executor | None) -> Cost:
    """Return the cost of the bare group operations of ``count`` identifiers that are enrolled, of all parties.

    For each (gateway/crypto/rows.py; RFC 9497 2.2): blinding H + V; T1 V, and V for its proof; T2 two V to check that
    proof, V, and V for its own; the caller four V to check both proofs, and V that unblinds and closes. The sums of
    proofs take eight additions, and elements that another party made are decoded: by T1 one, by T2 two, by the caller
    two.
    """
    messages = [number.to_bytes(8, "big") for number in range(count)]
    scalar = group.random_scalar(os.urandom)
    used, begun = process_time(), perf_counter()
    points = group.hash_many(messages, oprf.HASH_TO_GROUP_DST, workers)
    for _ in range(12):
        points = group.multiply_many(scalar, points, workers)
    for _ in range(5):
        group.decode_list(points, workers=workers)
    sums = [points] * 8
    list(workers.map(_sum, sums)) if workers else [_sum(each) for each in sums]
    return Cost(perf_counter() - begun, process_time() - used)


def _sum(points: Sequence[bytes]) -> bytes:
    return functools.reduce(group.add, points)


def _points(count: int, workers: Executor | None) -> list[bytes]:
    return group.hash_many([n.to_bytes(8, "big") for n in range(count)], oprf.HASH_TO_GROUP_DST, workers)
