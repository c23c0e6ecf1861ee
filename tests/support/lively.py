"""A ledger in which everything happened that can happen, made through the sequencer, for those who audit it."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

from consent_ledger.hashing import sha256
from consent_ledger.log.errors import VerificationError
from consent_ledger.others import invitation_hash, presence_hash
from consent_ledger.v1 import consents_pb2 as consents
from consent_ledger.v1 import decisions_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.afterwards import AcknowledgeWork, OutcomeWork
from consent_ledger.writing.announce import Announcing
from consent_ledger.writing.retention import Sweep, SweepWork
from tests.support.erasure import erase
from tests.support.ledger import (
    CITY,
    OTHER_SUPPLIER,
    SUPPLIER,
    Ledger,
    Time,
    change,
    decide_work,
    grant,
    header,
    held,
    record_work,
    scope,
    subject,
)

PEOPLE = [f"person {number}" for number in range(12)]
MODES = (pb.MODE_JA, pb.MODE_JA, pb.MODE_VRAAG_MIJ_EERST, pb.MODE_EERST_ZELF)


def check_fake_signature(public: bytes, message: bytes, signature: bytes) -> None:
    """What the transparent crypto of tests/support/ledger.py signs."""
    if signature != sha256(public, message) * 2:
        raise VerificationError("wrong signature")


class Lively:
    """Lives of a few residents over some weeks; the same seed gives the same lives."""

    def __init__(self, path: Path, seed: int = 1, *, erasing: bool = False) -> None:
        self.erasing = erasing
        self.ledger = Ledger(path, Time())
        self.random, self.company = random.Random(seed), random.Random(seed + 1000)
        self.batch = self.nonce = 0
        self.waiting: list[tuple[bytes, int]] = []  # (header hash, created)

    def live(self, steps: int) -> None:
        actions = [self.choose, self.choose, self.send, self.send, self.send, self.receive, self.receive, self.wait]
        actions += [self.ask, self.do_tasks]
        actions += [self.erase, self.sweep] * self.erasing
        for _ in range(steps):
            self.random.choice(actions)()
            if self.company.random() < 0.25:
                self.act()

    def choose(self) -> None:
        person, where = self.random.choice(PEOPLE), scope(self.random.choice((SUPPLIER, OTHER_SUPPLIER)))
        what = self.random.choices(
            ("grant", "refuse", "withdraw", "pause", "resume", "preferences", "answer"), WEIGHTS
        )[0]
        bodies: dict[str, object] = {
            "grant": grant(self.random.choice(MODES), where, months=3, threshold=self.random.choice((0, 0, 1, 3))),
            "refuse": consents.Refuse(scope=where),
            "withdraw": consents.Withdraw(scope=where),
            "pause": consents.Pause(until_ms=self.ledger.clock() + self.random.choice((2, 9)) * 86_400_000),
            "resume": consents.Resume(),
            "preferences": pb.Preferences(
                channels=[pb.CHANNEL_BRIEF], most_per_30_days=self.random.choice((0, 1, 2)), general_only=False
            ),
            "answer": consents.Answer(scope=where, yes=self.random.random() < 0.8),
        }
        self.ledger.record(person, **{what: bodies[what]})

    def send(self) -> None:
        who = self.random.sample(PEOPLE, self.random.randint(1, 5))
        who += [f"stranger {self.batch}"] * (self.random.random() < 0.3) + who[:1] * (self.random.random() < 0.3)
        self.batch += 1
        sender = self.random.choice((SUPPLIER, SUPPLIER, OTHER_SUPPLIER))
        items = ["betalingsachterstand", "inkomen"] if self.random.random() < 0.1 else None
        severities = [self.random.randint(0, 4) for _ in who]
        header_hash, _ = self.ledger.decide(who, self.batch, sender=sender, items=items, severities=severities)
        self.waiting.append((header_hash, self.ledger.clock()))

    def receive(self) -> None:
        self.waiting = [(hh, made) for hh, made in self.waiting if made + 3 * 86_400_000 > self.ledger.clock()]
        if not self.waiting:
            return
        header_hash, _ = self.random.choice(self.waiting)
        self.nonce += 1
        content = self.ledger.release(header_hash, self.nonce)
        if self.random.random() < 0.7:
            said = decisions_pb2.Acknowledgement(header_hash=header_hash, time_ms=self.ledger.clock(), recipient=CITY)
            self.ledger.sequencer.submit(AcknowledgeWork(said)).result(10)
        for signal in content.signals[:1]:
            report = decisions_pb2.OutcomeReport(
                position=signal.position, offer="gesprek", channel=pb.CHANNEL_BRIEF, when_ms=self.ledger.clock()
            )
            name = sha256(b"outcome", self.nonce.to_bytes(8, "big"))
            self.ledger.sequencer.submit(OutcomeWork(header_hash, CITY, report, name)).result(10)

    def ask(self) -> None:
        """A question about nothing, or about an exchange that the organisation may know of."""
        person = self.random.choice(PEOPLE)
        organisation = self.random.choice((CITY, SUPPLIER))
        with self.ledger.sequencer.reader.snapshot() as snapshot:
            about = self.random.choice([0, 0, *itertools.islice(snapshot.subject_indices(subject(person)), 6)])
        self.ledger.ask(person, organisation, about)

    def act(self) -> None:
        """Somebody looks, tries, helps at a desk, or acts for somebody: in the same words for every resident."""
        person, number = self.company.choice(PEOPLE[-3:]), self.company.randrange(2)
        case, reference = sha256(b"case", bytes([number]))[:16], sha256(b"reference", bytes([number]))[:16]
        where, via = scope(SUPPLIER), self.company.choice((pb.CAPTURED_VIA_DESK, pb.CAPTURED_VIA_PAPER))
        proof = case + self.company.choice((b"GOOD0000", b"GOOD0000", b"WRONG000"))
        desk = pb.Capture(via=via, by="balie-1", presence_proof=proof)
        acting = pb.Capture(via=pb.CAPTURED_VIA_REPRESENTATIVE, by=reference.hex())
        index = max((choice.idx for choice in self.ledger.state(person).choices.values()), default=0)
        added = consents.AddRepresentative(
            reference=reference,
            mandate=self.company.choice((pb.MANDATE_LOOK, pb.MANDATE_STOP, pb.MANDATE_CHOOSE)),
            relation=pb.RELATION_FRIEND,
            months=3,
            code_hash=invitation_hash(reference, "GOOD0000"),
        )
        issued = consents.IssueCode(
            case_id=case, channel=pb.CODE_CHANNEL_LETTER, code_hash=presence_hash(case + b"GOOD0000")
        )
        capture, what = self.company.choice(
            (
                (desk, {"view": consents.View(kind=pb.VIEW_KIND_PAGES)}),
                (desk, {"issue_code": issued}),
                (desk, {"grant": grant(pb.MODE_JA, where, months=3)}),
                (desk, {"withdraw": consents.Withdraw(scope=where)}),
                (None, {"confirm": consents.Confirm(scope=where, granted_index=index)}),
                (None, {"add_representative": added}),
                (acting, {"accept_representative": consents.AcceptRepresentative(who=b"w" * 32, code="GOOD0000")}),
                (acting, {"pause": consents.Pause()}),
                (acting, {"grant": grant(pb.MODE_JA, where, months=3)}),
                (acting, {"end_representative": consents.EndRepresentative(reference=reference)}),
            )
        )
        self.ledger.record(person, capture=capture, **what)

    def do_tasks(self) -> None:
        for organisation in (CITY, SUPPLIER):
            for task in self.ledger.tasks(organisation)[:2]:
                with self.ledger.sequencer.reader.snapshot() as snapshot:
                    event = pb.Event.FromString(snapshot.payloads([task.idx])[task.idx].event)
                stop = {"stop_use": pb.STOP_USE_DELETED} if event.HasField("stop_use_noticed") else {}
                self.ledger.report_task(task.idx, organisation, **stop)

    def wait(self) -> None:
        self.ledger.clock.forward(days=self.random.choice((0.01, 0.5, 1, 4, 14)), ms=self.random.randint(0, 5))

    def erase(self) -> None:
        if self.random.random() < 0.4:
            erase(self.ledger, self.random.choice(PEOPLE), policy=Announcing(people=2))

    def sweep(self) -> None:
        """Now and then the years pass, and what is over goes."""
        if self.random.random() < 0.3:
            self.ledger.clock.forward(days=self.random.choice((100, 500)))
        where = Sweep()
        while self.ledger.sequencer.submit(SweepWork(where, Announcing(people=2))).result(20).more:
            pass

    def one_group(self) -> None:
        """Choices, decisions and a public event of one commit, each judged after those before it."""
        clock = self.ledger.clock
        with held(self.ledger):
            futures = []
            for number, person in enumerate(PEOPLE[:4], 1):
                made = change(10_000 + number, person, clock() + 10_000 + number, grant=grant())
                futures.append(self.ledger.sequencer.submit(record_work(made)))
                futures.append(self._asked(person))
                stop = change(20_000 + number, person, clock() + 20_000 + number, pause=consents.Pause())
                futures.append(self.ledger.sequencer.submit(record_work(stop)))
                futures.append(self._asked(person))
            gone = pb.PublicEvent(participant_suspended=pb.ParticipantSuspended(oin=OTHER_SUPPLIER, ground="test"))
            futures.append(self.ledger.sequencer.publish([gone]))
            futures.append(self._asked(PEOPLE[5], OTHER_SUPPLIER))
        for future in futures:
            future.result(10)
        clock.forward(ms=30_000)  # what was written here is dated some seconds ahead

    def last_day(self) -> None:
        """A batch that is released in part, with a pull and a batch that can still be repeated, and a permit that waits."""
        day = [f"last {number}" for number in range(5)]
        for person in day:
            self.ledger.record(person, grant=grant())
        header_hash, _ = self.ledger.decide(day, 90_000)
        self.ledger.record(day[1], pause=consents.Pause())
        self.waiting = [(header_hash, self.ledger.clock())]
        self.random = random.Random(2)  # acknowledged, and with a report
        self.receive()
        self.ledger.decide(day[2:4], 90_001)
        self.ledger.ask(day[2], CITY)

    def _asked(self, person: str, sender: str = SUPPLIER):
        self.batch += 1
        return self.ledger.sequencer.submit(
            decide_work([person], header(self.batch, sender=sender, now_ms=self.ledger.clock()))
        )


WEIGHTS = (8, 1, 1, 1, 2, 2, 2)


def lively_ledger(path: Path, steps: int = 150, seed: int = 1, *, erasing: bool = False) -> Path:
    """Make one, and close it."""
    lives = Lively(path, seed, erasing=erasing)
    try:
        lives.live(steps)
        lives.one_group()
        lives.live(steps // 3)
        lives.last_day()
    finally:
        lives.ledger.sequencer.reader.close()  # else its connections keep the -wal file
        lives.ledger.close()
    return path
