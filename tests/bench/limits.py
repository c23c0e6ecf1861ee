"""What the machine itself can do, measured in the same run: every figure is a ratio against one of these."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter, process_time

from gateway.crypto import group, oprf

REPEATS = 5


def median_seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median of several runs, after one that does not count."""
    work()
    runs = []
    for _ in range(repeats):
        begun = perf_counter()
        work()
        runs.append(perf_counter() - begun)
    return statistics.median(runs)


def fsync_seconds(folder: Path) -> float:
    """Return the median time of appending 4 KiB to a file and making it durable."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:

        def once() -> None:
            os.write(file.fileno(), bytes(4096))
            os.fdatasync(file.fileno())

        return median_seconds(once, 50)


def submission_seconds(count: int, workers: ThreadPoolExecutor) -> tuple[float, float]:
    """Return the seconds on the clock, and of all processors, of the bare group operations of ``count`` signals.

    All parties of the submission path run here: the sender hashes and multiplies once, T1 and T2 multiply twice each,
    the ledger once (pseudonyms.md, "Cost per signal": 6 V + H), and T1, T2 (twice) and the ledger decode the elements
    they receive, each before it computes with any (rule 4).
    """
    messages = [number.to_bytes(8, "big") for number in range(count)]
    scalar = group.random_scalar(os.urandom)

    def bare() -> None:
        points = group.hash_many(messages, oprf.HASH_TO_GROUP_DST, workers)
        for _ in range(6):
            points = group.multiply_many(scalar, points, workers)
        for _ in range(4):
            group.decode_list(points, workers=workers)

    used, begun = process_time(), perf_counter()
    bare()
    return perf_counter() - begun, process_time() - used


def delivery_seconds(count: int, workers: ThreadPoolExecutor) -> float:
    """Return the time of the recipient's bare group operations: one multiplication per signal."""
    points = group.hash_many([n.to_bytes(8, "big") for n in range(count)], oprf.HASH_TO_GROUP_DST, workers)
    scalar = group.random_scalar(os.urandom)
    return median_seconds(lambda: group.multiply_many(scalar, points, workers))
