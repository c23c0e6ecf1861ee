"""What the ledger under attack is asked: the same requests, byte for byte, whichever process asks them.

Each step is one group commit. Together they pass every kind of write: choices, permits, refusals, a request refused
within a group that goes on, releases, withholding, acknowledgements, and (with the first group of every process) the
deletion of what expired and the emptying of the -wal file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from consent_ledger.errors import RegieError
from consent_ledger.sequencer import Sequencer, create_ledger, open_ledger
from consent_ledger.v1 import consents_pb2, decisions_pb2
from consent_ledger.writing.afterwards import AcknowledgeWork
from tests.support.ledger import (
    CITY,
    NOW,
    SIGNER,
    Time,
    change,
    decide_work,
    first_events,
    grant,
    header,
    pull,
    record_work,
    release_work,
    scope,
)

BASE = 249
"""Leaves before the first step: the steps then cross the end of the first full tile."""
BEFORE = NOW - 1_000
PEOPLE = ("anna", "bert", "chris", "dora")
WAIT = 30
"""Seconds after which something hangs."""

Tell = Callable[[str, bytes], None]
"""Is told (step/position, answer): the bytes of the response, or ``!`` and the reason of a refusal."""


class Step(NamedTuple):
    """Requests of one group, and how many leaves they append."""

    name: str
    works: tuple[Any, ...]
    leaves: int


def steps() -> list[Step]:
    """Return the plan, 15 leaves in all; made anew it asks the same bytes."""
    first = decide_work(PEOPLE[:3], header(1, count=3))
    second = decide_work(("dora",), header(2))
    expired = decide_work(("anna",), header(9, now_ms=NOW - 73 * 3_600_000))
    said = decisions_pb2.Acknowledgement(header_hash=first.header_hash, recipient=CITY, time_ms=NOW)
    stop = consents_pb2.Withdraw(scope=scope())
    stops = [change(number, who, NOW + number, withdraw=stop) for number, who in ((103, "anna"), (104, "dora"))]
    return [
        Step("choice", (record_work(change(101, "bert", NOW + 101, grant=grant())),), 1),
        Step("decision", (first,), 3),
        Step("group", (second, expired, record_work(change(102, "chris", NOW + 102, grant=grant()))), 2),
        Step("release", (release_work(pull(first.header_hash)),), 2),
        Step("acknowledgement", (AcknowledgeWork(said),), 2),
        Step("withdrawal", (record_work(*stops),), 3),  # and the notice to stop using what anna's release gave
        Step("refusal", (decide_work(("anna",), header(3)),), 1),
        Step("withholding", (release_work(pull(second.header_hash, 2)),), 1),
    ]


LEAVES = sum(step.leaves for step in steps())


def prepare(path: Path, base: int = BASE) -> None:
    """Create a ledger of ``base`` leaves in which anna and dora have agreed, with a permit that expires before NOW."""
    clock = Time(BEFORE)
    create_ledger(path, SIGNER, first_events(), clock)
    grants = [change(number, who, BEFORE, grant=grant()) for number, who in ((1, "anna"), (2, "dora"))]
    with open_ledger(path, SIGNER, clock) as ledger:
        ledger.submit(record_work(*grants)).result(WAIT)
        ledger.submit(decide_work(("anna",), header(98, now_ms=BEFORE, hours=0.0002))).result(WAIT)
        filler = [f"filler-{number}" for number in range(base - ledger.head.size)]
        ledger.submit(decide_work(filler, header(99, now_ms=BEFORE, count=len(filler)))).result(WAIT)


class Hold:
    """Keeps the writer busy until all works of a step wait, so that they form one group. Writes nothing."""

    weight = 1

    def __init__(self) -> None:
        self.entered, self.go = Event(), Event()

    def apply(self, _tx: object) -> Callable[[object], None]:
        self.entered.set()
        assert self.go.wait(WAIT)
        return lambda _sealed: None


def ask(ledger: Sequencer, step: Step, tell: Tell) -> bool:
    """Ask one step as one group; answers are told by the writer's thread, at once. False when the ledger is gone."""
    hold = Hold()
    try:
        if len(step.works) > 1:
            ledger.submit(hold)
            assert hold.entered.wait(WAIT)
        futures = [ledger.submit(work) for work in step.works]
    except RegieError as error:
        tell(f"{step.name}/0", b"!" + error.reason.encode())
        return False
    finally:
        hold.go.set()
    return _told(step, futures, tell)


def _told(step: Step, futures: Sequence[Any], tell: Tell) -> bool:
    alive = True
    for number, future in enumerate(futures):
        future.add_done_callback(lambda done, name=f"{step.name}/{number}": tell(name, answer_of(done)))
    for future in futures:
        error = future.exception(WAIT)
        alive &= not (isinstance(error, RegieError) and error.reason == "LEDGER_UNAVAILABLE")
    return alive


def answer_of(done: Any) -> bytes:
    """Return what the caller of a finished request hears."""
    error = done.exception()
    return b"!" + error.reason.encode() if error else done.result().SerializeToString(deterministic=True)
