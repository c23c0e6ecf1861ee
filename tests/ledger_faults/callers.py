"""What the callers of the hammer ask: each goes through requests of its own, and repeats the one it got no answer to."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from threading import Thread
from typing import Any, NamedTuple

from consent_ledger.errors import RegieError
from consent_ledger.sequencer import Sequencer
from consent_ledger.v1 import consents_pb2
from tests.ledger_faults.plan import WAIT, Tell, answer_of
from tests.support.ledger import NOW, change, decide_work, grant, header, pull, record_work, release_work, scope

CALLERS = 8
PEOPLE = 40
HOUR_MS = 3_600_000


class Asked(NamedTuple):
    """One request: the same for the same caller, number and seed, in whichever process."""

    caller: int
    number: int
    kind: str
    people: tuple[str, ...]
    batch: int

    @property
    def name(self) -> str:
        """Under which its answer is told."""
        return f"{self.caller}/{self.number}/{self.kind}/{self.batch}/{','.join(self.people)}"

    @property
    def batch_id(self) -> bytes:
        """Which batch it is about."""
        return self.batch.to_bytes(16, "big")

    def work(self) -> Any:
        """Make what the ledger is asked."""
        head = header(self.batch, count=len(self.people))
        if self.kind == "decision":
            return decide_work(self.people, head)
        if self.kind == "release":
            return release_work(pull(decide_work(self.people, head).header_hash, self.batch))
        person, number = self.people[0], self.caller * 1_000_000 + self.number
        what = {"grant": grant()} if self.number % 3 else {"withdraw": consents_pb2.Withdraw(scope=scope())}
        return record_work(change(1_000_000 + number, person, NOW + self.number, **what))


def asked_in(name: str) -> Asked:
    """Read a request from the name of its answer."""
    caller, number, kind, batch, people = name.split("/")
    return Asked(int(caller), int(number), kind, tuple(people.split(",")), int(batch))


def request(seed: int, caller: int, number: int) -> Asked:
    """Return a caller's n-th request: choices and decisions about people that others ask about too, and deliveries."""
    if number % 4 == 3:  # the batch that was decided just before
        return request(seed, caller, number - 1)._replace(number=number, kind="release")
    chance = random.Random(f"{seed}/{caller}/{number}")
    people = tuple(f"p{chance.randrange(PEOPLE)}" for _ in range(chance.randint(1, 4)))
    people = tuple(dict.fromkeys(people))
    if number % 4 == 2:
        return Asked(caller, number, "decision", people, (caller + 1) * 1_000_000 + number)
    return Asked(caller, number, "choice", people[:1], 0)


def call(ledger: Sequencer, seed: int, answered: Mapping[int, int], tell: Tell) -> None:
    """Ask with all callers at once until the process dies or the ledger stops."""
    callers = [
        Thread(target=_caller, args=(ledger, lambda n, c=caller: request(seed, c, n), answered.get(caller, 0), tell))
        for caller in range(CALLERS)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()


def _caller(ledger: Sequencer, requests: Callable[[int], Asked], first: int, tell: Tell) -> None:
    number = first
    while True:
        asked = requests(number)
        try:
            future = ledger.submit(asked.work())
        except RegieError:
            return
        future.exception(WAIT)
        tell(asked.name, answer_of(future))
        number += 1
