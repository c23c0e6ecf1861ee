"""What deciding and releasing a batch of 1,000 signals costs the ledger besides cryptography.

    python -m tests.bench.ledger_batch

Prints one JSON object: milliseconds of processor time per batch (all threads, median), and the same as a ratio to
1,000 group multiplications measured in the same run.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import process_time

from gateway.crypto import group
from tests.support.ledger import NOW, Ledger, change, decide_work, grant, header, pull, record_work, release_work

SIZE = 1_000
BATCHES = 12


@contextmanager
def _timed(into: list[float]) -> Iterator[None]:
    begun = process_time()
    yield
    into.append((process_time() - begun) * 1_000)


def _multiplications() -> float:
    points = [group.multiply_base(number + 2) for number in range(SIZE)]
    scalar = group.random_scalar(lambda size: bytes(range(1, size + 1)))
    spent: list[float] = []
    for _ in range(3):
        with _timed(spent):
            group.multiply_many(scalar, points)
    return min(spent)


def _decide(ledger: Ledger, numbers: Iterator[int], people: Callable[[int], list[str]]) -> tuple[float, list[bytes]]:
    spent: list[float] = []
    hashes = []
    for batch in range(BATCHES):
        work = decide_work(people(batch), header(next(numbers), count=SIZE))
        with _timed(spent):
            ledger.sequencer.submit(work).result()
        hashes.append(work.header_hash)
    return median(spent), hashes


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """Return what each kind of batch costs: milliseconds, and multiples of its bare group operations at the ledger."""
    ledger = Ledger(folder / "ledger.db")
    known = [[f"k{batch}-{n}" for n in range(SIZE)] for batch in range(BATCHES)]
    for batch, people in enumerate(known):
        changes = [change(batch * SIZE + n + 1, person, NOW, grant=grant()) for n, person in enumerate(people)]
        ledger.sequencer.submit(record_work(*changes)).result()
    numbers = iter(range(1, 10_000))
    figures: dict[str, float] = {"multiplications": _multiplications()}
    figures["decide, all permitted"], permitted = _decide(ledger, numbers, lambda batch: known[batch])
    figures["decide, nobody known"], _ = _decide(ledger, numbers, lambda batch: [f"u{batch}-{n}" for n in range(SIZE)])
    spent: list[float] = []
    for header_hash in permitted:
        work = release_work(pull(header_hash))
        with _timed(spent):
            ledger.sequencer.submit(work).result()
    figures["release, all released"] = median(spent)
    ledger.close()
    bare = figures["multiplications"]
    return {name: {"ms": round(value, 1), "ratio": round(value / bare, 2)} for name, value in figures.items()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(measure(Path(name)), indent=1))
