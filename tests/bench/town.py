"""Towns to measure in: a home with as many suppliers as wanted, whose ledger is filled before it is served."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from consent_ledger.clock import system_clock
from consent_ledger.hashing import header_hash, sha256
from consent_ledger.sequencer import Sequencer, open_ledger
from consent_ledger.state import EMPTY
from consent_ledger.storage.rows import ChangeRow
from consent_ledger.v1 import batch_pb2, consents_pb2
from consent_ledger.writing.choices import event_for
from consent_ledger.writing.decision import DecideWork
from consent_ledger.writing.transaction import Transaction, Wanted
from consent_ledger.writing.work import Sealed
from gateway.crypto import group, oprf
from gateway.crypto.identifiers import AddressBirthDate
from gateway.crypto.oprf import Domain, derive_factor
from gateway.directory.founding import found_home
from gateway.directory.participants import NewParticipant
from gateway.home import Home
from gateway.logkeys import KeyFile
from gateway.sdk.rows import ArrearsRow
from gateway.town.participants import GATEWAY, LAMPJE, LEDGER, PSEUDONYMS, TOWN, ZONNEVEEN
from tests.support.ledger import change, scope
from tests.support.ledger import grant as yes

PURPOSE = "vroegsignalering-energie"
ITEM = "betalingsachterstand"
PATH = ("witness", "ledger", "pseudonyms", "gateway")
"""The roles that a signal passes; who reads the log afterwards, as an auditor's console does, is no part of its cost."""
STEP = 2_000
"""Entries in one request while a ledger is filled."""
HOUSES = 90_000
"""Of one postcode: a house number has five digits at most."""
_WAITING = 4
_QUOTAS = ("SENDER_REFUSALS_PER_HOUR", "SENDER_SIGNALS_PER_DAY", "PORTAL_ROWS_PER_DAY")


def unbounded() -> None:
    """Let what this process serves or starts from here on ask, and be refused, without end; for whole programs only."""
    for quota in _QUOTAS:
        os.environ.setdefault(f"REGIE_{quota}", "10000000")


def person(number: int) -> AddressBirthDate:
    postcode, house = f"{1234 + number // HOUSES}AB", str(number % HOUSES + 1)
    return AddressBirthDate(postcode, house, "", "", f"{1950 + number % 50}-01-15")


def row(number: int, round_: int) -> ArrearsRow:
    return ArrearsRow(
        reference=f"{round_}-{number}",
        person=person(number),
        months=Decimal(2),
        end_of_supply=False,
        warm_handover=False,
        signal_date=date(2026, 1, 2),
        steps=("reminder",),
    )


def suppliers(count: int) -> list[NewParticipant]:
    """The first is Lampje; the others exist in benches only."""
    more = (NewParticipant(f"00000099{9000 + n:012d}", "energy_supplier", f"Leverancier {n}") for n in range(count - 1))
    return [LAMPJE, *more]


def found(folder: Path, senders: int = 1) -> Home:
    """Found a town in which so many suppliers send; what is refused of it is many more than a quota (``unbounded``)."""
    return found_home(folder, [*TOWN, *suppliers(senders)[1:]], system_clock, demo=True)


@dataclass(frozen=True)
class Consents:
    """A yes of each of these subjects, none of whom the ledger knows: what `RecordWork` writes for a new resident.

    Who asked, and that the choice may be made, is checked once for all of them.
    """

    subjects: Sequence[bytes]
    sender: str

    @property
    def weight(self) -> int:
        return len(self.subjects)

    def wants(self, wanted: Wanted) -> None:
        wanted.subjects.update(self.subjects)

    def apply(self, tx: Transaction) -> Callable[[Sealed], int]:
        wish = change(1, "anybody", tx.now_ms, grant=yes(where=scope(self.sender, ZONNEVEEN.oin, PURPOSE)))
        event = event_for(wish, [EMPTY], tx.registry, tx.now_ms)
        for subject in self.subjects:
            index = tx.record(event, [subject])
            change_id = sha256(subject, index.to_bytes(8, "big"))[:16]
            answer = consents_pb2.ChangeResult(change_id=change_id, log_index=index).SerializeToString()
            tx.writes.changes[change_id] = ChangeRow(change_id, subject, answer, index)
        return lambda sealed: sealed.size


def exchange(subjects: Sequence[bytes], sender: str) -> DecideWork:
    """A batch about these subjects, as the ledger is asked after its cryptography."""
    now, batch_id = system_clock(), os.urandom(16)
    header = batch_pb2.BatchHeader(
        version=1,
        batch_id=batch_id,
        sender=sender,
        recipient=ZONNEVEEN.oin,
        purpose=PURPOSE,
        purpose_version=1,
        items=[ITEM],
        basis=batch_pb2.BASIS_OBSERVED,
        created_ms=now,
        expires_ms=now + 3_600_000,
        count=len(subjects),
    )
    return deciding(header, subjects)


def deciding(header: batch_pb2.BatchHeader, subjects: Sequence[bytes]) -> DecideWork:
    """The question about subjects that a header's batch comes to, once its cryptography is done."""
    data = header.SerializeToString()
    return DecideWork(
        header=header,
        header_bytes=data,
        header_hash=header_hash(data),
        request_hash=sha256(data),
        root=bytes(32),
        positions=tuple(range(len(subjects))),
        subjects=tuple(subjects),
        opening=lambda _: bytes(32),
        sign=lambda message: sha256(message) * 2,
    )


class Writer:
    """Fills the ledger of a town that nobody serves yet, through its sequencer."""

    def __init__(self, home: Home, sequencer: Sequencer, workers: Executor | None) -> None:
        self._home, self._sequencer, self._workers = home, sequencer, workers
        self._waiting: list[Future[object]] = []

    def agree(self, sender: str, people: Sequence[AddressBirthDate]) -> None:
        """Let three of four of these people say yes to this sender, and the fourth nothing."""
        subjects = [subject for at, subject in enumerate(self.subjects(people)) if at % 4 != 3]
        for at in range(0, len(subjects), STEP):
            self._submit(Consents(subjects[at : at + STEP], sender))

    def subjects(self, people: Sequence[AddressBirthDate]) -> list[bytes]:
        """The ledger's pseudonyms of people. It takes the keys of three operators, and all are in this home."""
        domain = Domain("ledger", LEDGER.oin, PURPOSE, 1)
        factor = int.from_bytes(self._home.organisation(LEDGER.oin).key("closing"), "big")
        for evaluator in (GATEWAY, PSEUDONYMS):
            factor = factor * derive_factor(self._home.organisation(evaluator.oin).key("master"), domain) % group.ORDER
        messages = [one.message() for one in people]
        points = group.hash_many(messages, oprf.HASH_TO_GROUP_DST, self._workers)
        return oprf.stored_indices(domain, group.multiply_many(factor, points, self._workers))

    def consents(self, residents: int) -> None:
        """Let so many strangers say yes."""
        for at in range(0, residents, STEP):
            self._submit(Consents(_strangers(at, min(STEP, residents - at)), LAMPJE.oin))

    def exchanges(self, entries: int) -> None:
        """Append so many entries: strangers, and about each of them a permitted exchange."""
        for at in range(0, entries // 2, STEP):
            people = _strangers(at, min(STEP, entries // 2 - at))
            self._submit(Consents(people, LAMPJE.oin))
            for start in range(0, len(people), 1_000):
                self._submit(exchange(people[start : start + 1_000], LAMPJE.oin))

    def _submit(self, work: Consents | DecideWork) -> None:
        self._waiting.append(self._sequencer.submit(work))
        if len(self._waiting) > _WAITING:
            self._waiting.pop(0).result()

    def finish(self) -> int:
        """Wait until all is durable; returns the size of the log."""
        while self._waiting:
            self._waiting.pop(0).result()
        return self._sequencer.head.size


def _strangers(first: int, count: int) -> list[bytes]:
    return [sha256(b"stranger", number.to_bytes(8, "big")) for number in range(first, first + count)]


@contextmanager
def filling(home: Home, workers: Executor | None = None) -> Iterator[Writer]:
    """Open the ledger of a town to fill it; closed, it can be served."""
    with open_ledger(home.ledger, KeyFile.read(home.organisation(LEDGER.oin)).keys, system_clock) as sequencer:
        writer = Writer(home, sequencer, workers)
        yield writer
        writer.finish()
