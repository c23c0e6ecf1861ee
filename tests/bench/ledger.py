"""The ledger by itself: decisions made durable by the sequencer, proofs, and verification of a log."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from time import perf_counter
from typing import Any

from consent_ledger.clock import system_clock
from consent_ledger.hashing import header_hash, sha256
from consent_ledger.log.checkpoint import Checkpoint, sign_checkpoint
from consent_ledger.log.merkle import leaf_hash, verify_inclusion
from consent_ledger.log.note import Signer
from consent_ledger.log.tiles import Frontier, inclusion_path
from consent_ledger.sequencer import Sequencer, create_ledger, open_ledger
from consent_ledger.v1 import batch_pb2
from consent_ledger.verify import verify_log
from consent_ledger.writing.decision import DecideWork
from tests.bench.limits import median_seconds
from tests.support.ledger import ARREARS, CITY, ITEM, SIGNER, SUPPLIER, first_events
from tests.support.postgres import running, wheel_programs

FILE = "bench-ledger.db"
CALLERS = (1, 16, 128)
BATCHES = (1, 16, 256)
EVENTS = {1: 12_000, 16: 40_000, 256: 80_000}
"""Signals in a request: how many of them are decided in one measurement."""
SECONDS = 3.0
LEAVES = 1_000_000
PROOFS = 2_000


def _work(number: int, signals: int) -> DecideWork:
    """A batch about people nobody knows: the cost of decisions without any cryptography of the exchange."""
    now = system_clock()
    header = batch_pb2.BatchHeader(
        version=1,
        batch_id=number.to_bytes(16, "big"),
        sender=SUPPLIER,
        recipient=CITY,
        purpose=ARREARS,
        purpose_version=1,
        items=[ITEM[ARREARS]],
        basis=batch_pb2.BASIS_OBSERVED,
        created_ms=now,
        expires_ms=now + 3_600_000,
        count=signals,
    )
    data = header.SerializeToString()
    return DecideWork(
        header=header,
        header_bytes=data,
        header_hash=header_hash(data),
        request_hash=sha256(data),
        root=bytes(32),
        positions=tuple(range(signals)),
        subjects=tuple(sha256(number.to_bytes(8, "big"), at.to_bytes(2, "big")) for at in range(signals)),
        opening=lambda _: bytes(32),
        sign=lambda message: sha256(message) * 2,
    )


def _rate(sequencer: Sequencer, callers: int, works: Sequence[DecideWork]) -> float:
    """Keep ``callers`` requests waiting until they are through or SECONDS are over; return signals per second."""
    waiting: deque[tuple[int, Future[Any]]] = deque()
    done, begun = 0, perf_counter()
    for work in works:
        waiting.append((len(work.positions), sequencer.submit(work)))
        if len(waiting) == callers:
            done += _answered(waiting)
            if perf_counter() - begun > SECONDS:
                break
    while waiting:
        done += _answered(waiting)
    return round(done / (perf_counter() - begun), 1)


def _answered(waiting: deque[tuple[int, Future[Any]]]) -> int:
    signals, future = waiting.popleft()
    future.result()
    return signals


def durable_per_second(location: Path | str, numbers: Iterator[int]) -> dict[str, dict[str, float]]:
    """Return durable signals per second of a new ledger: by callers with one signal each, and by signals in a request.

    ``numbers`` are batch ids never used before. Requests are made ahead: what callers do beside waiting is not counted.
    """
    create_ledger(location, SIGNER, first_events(), system_clock)
    by_callers, by_batch = {}, {}
    with open_ledger(location, SIGNER, system_clock) as sequencer:
        for callers in CALLERS:
            by_callers[str(callers)] = _rate(sequencer, callers, [_work(next(numbers), 1) for _ in range(EVENTS[1])])
        for batch in BATCHES:
            works = [_work(next(numbers), batch) for _ in range(EVENTS[batch] // batch)]
            by_batch[str(batch)] = _rate(sequencer, CALLERS[-1], works)
    return {"durable_per_s": by_callers, "durable_per_s_128_callers_batch": by_batch}


def engines(folder: Path) -> dict[str, object]:
    """Return the figures of a ledger on SQLite and on a real PostgreSQL, both on this machine and durable."""
    numbers = iter(range(1, 1 << 40))
    figures: dict[str, object] = {"sqlite": durable_per_second(folder / FILE, numbers)}
    with running(wheel_programs()) as server:
        figures["postgres"] = durable_per_second(server.uri(server.database()), numbers)
    return figures


def proofs_and_verification() -> dict[str, dict[str, float]]:
    """Return the cost of a proof and of checking it in a log of LEAVES, and leaves per second of the verifier."""
    signer = Signer("regie.example/bench", os.urandom(32))
    entries = [b"\x0a\x20" + sha256(number.to_bytes(8, "big")) for number in range(LEAVES)]
    hashes = [leaf_hash(entry) for entry in entries]
    frontier = Frontier()
    above = {(0, number): value for number, value in enumerate(hashes)}
    above |= {(level, number): value for level, number, value in frontier.append(hashes)}

    def tiles(level: int, index: int, width: int) -> bytes:
        return b"".join(above[level, 256 * index + at] for at in range(width))

    root = frontier.root()
    asked = [number * (LEAVES // PROOFS) for number in range(PROOFS)]
    paths = [inclusion_path(index, LEAVES, tiles) for index in asked]
    making = median_seconds(lambda: [inclusion_path(index, LEAVES, tiles) for index in asked[:100]], 3) / 100

    def check() -> None:
        for index, path in zip(asked, paths, strict=True):
            verify_inclusion(index, LEAVES, hashes[index], root, path)

    checking = median_seconds(check, 3) / PROOFS
    note = sign_checkpoint(Checkpoint(signer.name, LEAVES, root), [signer])
    begun = perf_counter()
    verify_log(entries, note, [signer.verifier.format()])
    verifying = LEAVES / (perf_counter() - begun)
    return {
        "proof": {"generate_us": round(making * 1e6, 1), "verify_us": round(checking * 1e6, 1)},
        "verify": {"leaves_per_s": round(verifying, 1)},
    }
