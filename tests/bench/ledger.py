"""The ledger by itself: decisions made durable by the sequencer, and verification of a log."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from time import perf_counter

from consent_ledger.clock import system_clock
from consent_ledger.hashing import header_hash, sha256
from consent_ledger.log.checkpoint import Checkpoint, sign_checkpoint
from consent_ledger.log.merkle import leaf_hash
from consent_ledger.log.note import Signer
from consent_ledger.log.tiles import Frontier
from consent_ledger.sequencer import Sequencer, open_ledger
from consent_ledger.v1 import batch_pb2
from consent_ledger.verify import verify_log
from consent_ledger.writing.decision import DecideWork
from gateway.directory.founding import found_home
from gateway.town.participants import LAMPJE, TOWN, ZONNEVEEN

CALLERS = (1, 16, 128)
SECONDS = 3.0
LEAVES = 300_000


def _work(number: int) -> DecideWork:
    """One signal about somebody nobody knows: the cost of a decision without any cryptography of the exchange."""
    now = system_clock()
    header = batch_pb2.BatchHeader(
        version=1,
        batch_id=number.to_bytes(16, "big"),
        sender=LAMPJE.oin,
        recipient=ZONNEVEEN.oin,
        purpose="vroegsignalering-energie",
        purpose_version=1,
        items=["betalingsachterstand"],
        basis=batch_pb2.BASIS_OBSERVED,
        created_ms=now,
        expires_ms=now + 3_600_000,
        count=1,
    )
    data = header.SerializeToString()
    return DecideWork(
        header=header,
        header_bytes=data,
        header_hash=header_hash(data),
        request_hash=sha256(data),
        root=bytes(32),
        positions=(0,),
        subjects=(sha256(number.to_bytes(8, "big")),),
        opening=lambda _: bytes(32),
        sign=lambda message: sha256(message) * 2,
    )


def _rate(sequencer: Sequencer, callers: int, first: int) -> tuple[float, int]:
    """Keep ``callers`` requests waiting for SECONDS; return answers per second and the next free number."""
    number, done = first, 0
    waiting = deque(sequencer.submit(_work(number + each)) for each in range(callers))
    number += callers
    begun = perf_counter()
    while perf_counter() - begun < SECONDS:
        waiting.popleft().result()
        done += 1
        waiting.append(sequencer.submit(_work(number)))
        number += 1
    seconds = perf_counter() - begun
    for future in waiting:
        future.result()
    return done / seconds, number


def durable_per_second(folder: Path) -> dict[str, float]:
    """Return durable decisions per second with 1, 16 and 128 callers, each asking about one signal at a time."""
    home = found_home(folder / "ledger-home", TOWN, system_clock, demo=True)
    ours = home.operator("ledger")
    figures, number = {}, 1
    with open_ledger(ours.data / "ledger.db", Signer.parse(ours.text_key("log")), system_clock) as sequencer:
        for callers in CALLERS:
            rate, number = _rate(sequencer, callers, number)
            figures[str(callers)] = round(rate, 1)
    return figures


def verified_per_second() -> float:
    """Return the leaves per second of the independent verifier, on one core."""
    signer = Signer("regie.example/bench", os.urandom(32))
    entries = [b"\x0a\x20" + sha256(number.to_bytes(8, "big")) for number in range(LEAVES)]
    frontier = Frontier()
    frontier.append([leaf_hash(entry) for entry in entries])
    note = sign_checkpoint(Checkpoint(signer.name, frontier.size, frontier.root()), [signer])
    begun = perf_counter()
    verify_log(entries, note, [signer.verifier.format()])
    return round(LEAVES / (perf_counter() - begun), 1)
