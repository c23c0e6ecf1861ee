"""What became of a ledger that was broken off: compared with what callers heard, asked again, and checked whole."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from consent_ledger.sequencer import Sequencer, open_ledger
from consent_ledger.v1 import consents_pb2
from tests.ledger_faults.child import Told
from tests.ledger_faults.plan import BASE, ask, prepare, steps
from tests.ledger_faults.recheck import Entry, check_checkpoint, checkpoint_in, recheck
from tests.support.ledger import NOW, SIGNER, Time

LATER = NOW + 60_000
GONE = b"!LEDGER_UNAVAILABLE"
"""Promises nothing: what was asked is durable, or not."""


class Outcome(NamedTuple):
    """Steps of the plan that callers heard of, and steps that are in the log."""

    told: int
    found: int


@cache
def expected(base: int = BASE) -> tuple[Entry, ...]:
    """Return what the log says after the plan when nothing goes wrong."""
    with tempfile.TemporaryDirectory(prefix="regie-test-") as folder:
        path = Path(folder) / "ledger.db"
        prepare(path, base)
        with open_ledger(path, SIGNER, Time()) as ledger:
            ask_all(ledger)
        return recheck(path).entries


def ask_all(ledger: Sequencer) -> list[Told]:
    """Ask the whole plan of a ledger that works."""
    answers: list[Told] = []
    for step in steps():
        assert ask(ledger, step, lambda name, answer: answers.append(Told(name, answer)))
    return answers


def judge(path: Path, heard: Sequence[Told], base: int = BASE) -> Outcome:
    """Open a ledger after its process died, and fail unless it kept every promise.

    Nothing that was answered is missing, nothing is half there, the same bytes asked again get the same answer, and
    in the end the log says what it would have said had nothing happened.
    """
    with open_ledger(path, SIGNER, Time(LATER)) as ledger:
        found = recheck(path)
        done = _steps_done(found.head.size - base)
        promises = [each for each in heard if each.answer != GONE]
        with ledger.reader.snapshot() as snapshot:
            for each in promises:
                if note := checkpoint_in(*each):
                    check_checkpoint(snapshot, note)
        again = dict(ask_all(ledger))
    for name, answer in promises:
        assert meaning(name, again[name]) == meaning(name, answer), f"{name} was answered otherwise before"
    end = recheck(path)
    assert end.entries == expected(base)
    assert end.head.time_ms >= found.head.time_ms
    told = len({name.split("/")[0] for name, _ in promises})
    assert told <= done <= told + 1, f"{told} steps were answered, {done} are in the log"
    return Outcome(told, done)


def _steps_done(leaves: int) -> int:
    sums = [0, *accumulate(step.leaves for step in steps())]
    assert leaves in sums, f"half a group is durable: {leaves} leaves"
    return sums.index(leaves)


def meaning(name: str, answer: bytes) -> bytes:
    """Return what an answer says: all of it, but for receipts of choices, which name the newest checkpoint."""
    if answer.startswith(b"!") or name not in ("choice/0", "group/2", "withdrawal/0"):
        return answer
    receipt = consents_pb2.RecordReceipt.FromString(consents_pb2.RecordResponse.FromString(answer).receipt)
    receipt.ClearField("checkpoint")
    return receipt.SerializeToString(deterministic=True)
