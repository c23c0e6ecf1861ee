"""The ledger by itself: decisions made durable by the sequencer, proofs, and verification of a log."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

from consent_ledger.clock import system_clock
from consent_ledger.hashing import sha256
from consent_ledger.log.checkpoint import Checkpoint, sign_checkpoint
from consent_ledger.log.merkle import leaf_hash, verify_inclusion
from consent_ledger.log.note import Signer
from consent_ledger.log.tiles import Frontier, inclusion_path
from consent_ledger.sequencer import Sequencer, create_ledger, open_ledger
from consent_ledger.v1 import batch_pb2
from consent_ledger.verify import verify_log
from consent_ledger.writing.decision import DecideWork
from tests.bench import bare
from tests.bench.audit import audited_per_second
from tests.bench.limits import median_seconds, processor_seconds
from tests.bench.section import Bench, Figures
from tests.bench.town import deciding
from tests.support.ledger import (
    ARREARS,
    CITY,
    ITEM,
    SIGNER,
    SUPPLIER,
    change,
    first_events,
    grant,
    record_work,
)
from tests.support.postgres import OWNER, running, wheel_programs

FILE = "bench-ledger.db"
CALLERS = (1, 16, 128)
BATCHES = (1, 16, 256)
EVENTS = {1: 12_000, 16: 40_000, 256: 80_000}
"""Signals in a request: how many of them are decided in one measurement."""
SECONDS = 3.0
RESIDENTS, CHOICES = 10_000, 100
"""Residents who choose, and how many choices stand in one request."""
LEAVES = (1_000_000, 10_000)
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
    return deciding(header, [sha256(number.to_bytes(8, "big"), at.to_bytes(2, "big")) for at in range(signals)])


def _recorded_per_second(sequencer: Sequencer, residents: int) -> float:
    """Return how many residents' choices a second become durable, in requests of CHOICES each."""
    numbers = iter(range(1, residents + 1))
    begun = perf_counter()
    waiting = []
    for _ in range(residents // CHOICES):
        now = system_clock()
        changes = [change(number, f"resident {number}", now, grant=grant()) for number in islice(numbers, CHOICES)]
        waiting.append(sequencer.submit(record_work(*changes)))
    for each in waiting:
        each.result()
    return round(residents / (perf_counter() - begun), 1)


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


def durable_per_second(location: Path | str, numbers: Iterator[int], scale: int = 1) -> Figures:
    """Return durable signals per second of a new ledger: by callers with one signal each, and by signals in a request.

    ``numbers`` are batch ids never used before. Requests are made ahead: what callers do beside waiting is not counted.
    """
    create_ledger(location, SIGNER, first_events(), system_clock)
    by_callers, by_batch = {}, {}
    with open_ledger(location, SIGNER, system_clock) as sequencer:
        for callers in CALLERS:
            by_callers[str(callers)] = _rate(
                sequencer, callers, [_work(next(numbers), 1) for _ in range(EVENTS[1] // scale)]
            )
        for batch in BATCHES:
            works = [_work(next(numbers), batch) for _ in range(EVENTS[batch] // scale // batch)]
            by_batch[str(batch)] = _rate(sequencer, CALLERS[-1], works)
        recorded = _recorded_per_second(sequencer, RESIDENTS // scale)
    return {
        "durable_per_s": by_callers,
        "durable_per_s_128_callers_batch": by_batch,
        "choices_per_s": recorded,
    }


def measure(bench: Bench) -> Figures:
    """Return the figures of a ledger on SQLite and on a real PostgreSQL, both on this machine and durable."""
    numbers = iter(range(1, 1 << 40))
    path, scale = bench.folder / FILE, bench.pick(1, 20)
    figures: Figures = {"sqlite": durable_per_second(path, numbers, scale) | bare.sqlite(bench.folder)}
    bench.say("SQLite measured")
    with running(wheel_programs()) as server:
        limit = bare.postgres(server.uri(server.database(migrated=False), OWNER))
        figures["postgres"] = durable_per_second(server.uri(server.database()), numbers, scale) | limit
    for engine in figures.values():
        rates, most = engine["durable_per_s"], engine["limit_per_s"]
        engine["ratio"] = {callers: round(most[callers] / rates[callers], 2) for callers in rates}
    bench.say("PostgreSQL measured")
    return {"ledger": figures, "audit": audited_per_second(path, SIGNER.verifier.format())}


def proofs_and_verification(bench: Bench) -> Figures:
    """Return the cost of a proof and of checking it in a log of a million, and leaves per second of the verifier."""
    leaves = bench.pick(*LEAVES)
    signer = Signer("regie.example/bench", os.urandom(32))
    entries = [b"\x0a\x20" + sha256(number.to_bytes(8, "big")) for number in range(leaves)]
    hashes = [leaf_hash(entry) for entry in entries]
    frontier = Frontier()
    above = {(0, number): value for number, value in enumerate(hashes)}
    above |= {(level, number): value for level, number, value in frontier.append(hashes)}

    def tiles(level: int, index: int, width: int) -> bytes:
        return b"".join(above[level, 256 * index + at] for at in range(width))

    root = frontier.root()
    asked = [number * (leaves // PROOFS) for number in range(PROOFS)]
    paths = [inclusion_path(index, leaves, tiles) for index in asked]
    making = median_seconds(lambda: [inclusion_path(index, leaves, tiles) for index in asked[:100]], 3) / 100

    def check() -> None:
        for index, path in zip(asked, paths, strict=True):
            verify_inclusion(index, leaves, hashes[index], root, path)

    checking = median_seconds(check, 3) / PROOFS
    note = sign_checkpoint(Checkpoint(signer.name, leaves, root), [signer])
    verifying = processor_seconds(lambda: verify_log(entries, note, [signer.verifier.format()]))
    hashing = processor_seconds(lambda: [leaf_hash(entry) for entry in entries]) * 2  # as many nodes as leaves
    return {
        "proof": {"generate_us": round(making * 1e6, 1), "verify_us": round(checking * 1e6, 1)},
        "verify": {"leaves_per_s": round(leaves / verifying, 1), "ratio": round(verifying / hashing, 2)},
    }
