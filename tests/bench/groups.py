"""Group operations bare: what every other figure of the exchange is held against."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import pairwise

from gateway.crypto import group, oprf
from tests.bench.limits import median_seconds
from tests.bench.section import Bench, Figures

COUNT = (2_000, 200)


def measure(bench: Bench) -> Figures:
    """Return microseconds per operation: on one thread, and with all cores at work."""
    count = bench.pick(*COUNT)
    messages = [number.to_bytes(8, "big") for number in range(count)]
    points = group.hash_many(messages, oprf.HASH_TO_GROUP_DST)
    scalar = group.random_scalar(os.urandom)
    operations: dict[str, Callable[[Executor | None], object]] = {
        "hash": lambda workers: group.hash_many(messages, oprf.HASH_TO_GROUP_DST, workers),
        "multiply": lambda workers: group.multiply_many(scalar, points, workers),
        "decode": lambda workers: group.decode_list(points, workers=workers),
    }
    figures: Figures = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        for name, operation in operations.items():
            one = median_seconds(lambda operation=operation: operation(None)) / count
            all_cores = median_seconds(lambda operation=operation: operation(workers)) / count
            figures[f"{name}_us"] = round(one * 1e6, 2)
            figures[f"{name}_all_cores_us"] = round(all_cores * 1e6, 2)
    adding = median_seconds(lambda: [group.add(a, b) for a, b in pairwise(points)])
    figures["add_us"] = round(adding / (count - 1) * 1e6, 2)
    return {"group": figures}
