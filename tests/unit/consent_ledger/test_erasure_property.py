"""Random lives with random erasures, beside the same lives without any: the rest of the world does not notice.

Two ledgers get the same wishes and signals. One also erases people on request and by age. After each step every decision
about whoever did not ask for erasure is permitted in one exactly when in the other; whoever asked is refused until a new
choice. At the end the log verifies, fsck finds nothing, and each state is the fold of the entries that are left.
"""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from consent_ledger.clock import DAY_MS
from consent_ledger.state import EMPTY, fold
from consent_ledger.v1 import consents_pb2 as consents
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify import verify_database
from consent_ledger.verify.fsck import fsck
from consent_ledger.writing.announce import Announcing
from consent_ledger.writing.retention import Sweep, SweepWork
from tests.support.erasure import AnnounceWork, announced, erase
from tests.support.ledger import (
    ARREARS,
    OTHER_SUPPLIER,
    SIGNER,
    SUPPLIER,
    Ledger,
    element,
    grant,
    record_work,
    scope,
    subject,
)
from tests.support.ledger import change as make_change
from tests.support.lively import check_fake_signature

PEOPLE = ["anna", "bert", "chris"]
people = st.sampled_from(PEOPLE)
suppliers = st.sampled_from([SUPPLIER, OTHER_SUPPLIER])
modes = st.sampled_from([pb.MODE_JA, pb.MODE_JA, pb.MODE_VRAAG_MIJ_EERST, pb.MODE_EERST_ZELF])
POLICY = Announcing(people=3)


class Erasures(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp(prefix="regie-test-"))
        for name in ("erasing", "twin"):
            (self.folder / name).mkdir()
        self.ledger, self.twin = (Ledger(self.folder / name / "ledger.db") for name in ("erasing", "twin"))
        self.asked: set[str] = set()
        self.number = 0
        self.waiting: list[tuple[bytes, int, bool]] = []

    def both(self, call):
        """Do the same at both ledgers."""
        return call(self.ledger), call(self.twin)

    @rule(person=people, sender=suppliers, mode=modes)
    def agree(self, person, sender, mode):
        self.both(lambda ledger: ledger.record(person, grant=grant(mode, scope(sender), months=3)))

    @rule(person=people, sender=suppliers)
    def refuse(self, person, sender):
        self.both(lambda ledger: ledger.record(person, refuse=consents.Refuse(scope=scope(sender))))

    @rule(person=people, sender=suppliers)
    def withdraw(self, person, sender):
        self.both(lambda ledger: ledger.record(person, withdraw=consents.Withdraw(scope=scope(sender))))

    @rule(person=people, sender=suppliers, yes=st.booleans())
    def answer(self, person, sender, yes):
        self.both(lambda ledger: ledger.record(person, answer=consents.Answer(scope=scope(sender), yes=yes)))

    @rule(who=st.sets(people, min_size=1), on=st.booleans())
    def pause_or_resume(self, who, on):
        """One entry about several subjects."""

        def do(ledger):
            ledger.clock.writes += 1
            what = {"pause": consents.Pause()} if on else {"resume": consents.Resume()}
            made = make_change(ledger.clock.writes, "x", ledger.clock() + ledger.clock.writes, **what)
            del made.rows[:]
            made.rows.append(consents.Rows(purpose=ARREARS, elements=[element(person) for person in sorted(who)]))
            ledger.sequencer.submit(record_work(made)).result(10)

        self.both(do)

    @rule(person=people, most=st.integers(0, 2))
    def prefer(self, person, most):
        self.both(lambda ledger: ledger.record(person, preferences=pb.Preferences(most_per_30_days=most)))

    @rule(who=st.lists(people, min_size=1, max_size=3, unique=True), sender=suppliers)
    def send(self, who, sender):
        self.signal(who, sender)

    def signal(self, who, sender):
        self.number += 1
        (hh, mine), (_, twins) = self.both(lambda ledger: ledger.decide(who, self.number, sender=sender))
        self.waiting.append((hh, self.ledger.clock(), not self.asked & set(who)))
        for person, mine_said, twin_said in zip(who, mine.outcomes, twins.outcomes, strict=True):
            permitted = mine_said == pb.OUTCOME_ACCEPTED
            if person not in self.asked:
                assert permitted == (twin_said == pb.OUTCOME_ACCEPTED)

    @rule()
    def receive(self):
        fresh = [(hh, same) for hh, at, same in self.waiting if self.ledger.clock() < at + 3 * DAY_MS]
        self.waiting = []
        for hh, same in fresh:
            self.number += 1
            mine, twins = self.both(lambda ledger, hh=hh: ledger.release(hh, self.number))
            if same:  # as many were permitted: the size tells nothing of what was erased since
                assert mine.ByteSize() == twins.ByteSize()
            if not self.asked:
                assert [s.position for s in mine.signals] == [s.position for s in twins.signals]

    @rule(days=st.sampled_from([0.01, 5, 14, 100, 400, 800]))
    def wait(self, days):
        self.both(lambda ledger: ledger.clock.forward(days=days))

    @rule(person=people)
    def ask_to_erase(self, person):
        erase(self.ledger, person, policy=POLICY)
        self.twin.clock.writes = self.ledger.clock.writes  # later choices have the same time in both
        self.asked.add(person)
        self.number += 1
        _, answer = self.ledger.decide([person], self.number, sender=SUPPLIER)
        assert list(answer.outcomes) == [pb.OUTCOME_GEEN_TOESTEMMING]

    @rule(days=st.sampled_from([100, 800]), page=st.sampled_from([3, 256]), yes=st.booleans())
    def grow_old(self, days, page, yes):
        """What went by age changes no decision about anybody."""
        self.both(lambda ledger: ledger.clock.forward(days=days))
        self.erase_by_age(page)
        if yes:  # a stop that stands is seen only against a yes
            for person in PEOPLE:
                self.both(lambda ledger, who=person: ledger.record(who, grant=grant(where=scope(SUPPLIER), months=3)))
        for sender in (SUPPLIER, OTHER_SUPPLIER):
            self.signal(PEOPLE, sender)

    @rule(page=st.sampled_from([3, 256]))
    def sweep(self, page):
        self.erase_by_age(page)

    def erase_by_age(self, page):
        where = Sweep()
        while self.ledger.sequencer.submit(SweepWork(where, POLICY, page)).result(10).more:
            pass

    @rule()
    def restart(self):
        self.ledger.close()
        self.ledger = Ledger(self.ledger.path, self.ledger.clock)

    @invariant()
    def running(self):
        if hasattr(self, "ledger"):
            assert self.ledger.sequencer.failure is None

    def teardown(self):
        if not hasattr(self, "ledger"):
            return
        try:
            self.states_are_the_fold_of_what_is_left()
            self.ledger.sequencer.submit(AnnounceWork(POLICY)).result(10)  # as a ledger that runs does every minute
            key = SIGNER.verifier.format()
            report = verify_database(self.ledger.path, key)
            assert fsck(self.ledger.path, key, check_signature=check_fake_signature).count == 0
            named = [index for _, indices in announced(self.ledger) for index in indices]
            assert len(named) == len(set(named)) <= report.erased
        finally:
            self.ledger.close()
            self.twin.close()
            shutil.rmtree(self.folder)

    def states_are_the_fold_of_what_is_left(self):
        states, lists = {}, {}
        for index, event, private in self.ledger.events():
            for link in private.links:
                states[link.subject] = fold(states.get(link.subject, EMPTY), index, event, private)
                lists.setdefault(link.subject, []).append((index, link.subject_seq))
        with self.ledger.sequencer.reader.snapshot() as snapshot:
            for person in PEOPLE:
                key = subject(person)
                row = snapshot.subject(key)
                if row is None:
                    assert key not in states
                    continue
                assert row.state == states[key]
                assert row.seq == lists[key][-1][1]
                assert list(snapshot.subject_indices(key)) == [index for index, _ in reversed(lists[key])]


TestErasures = Erasures.TestCase
TestErasures.settings = settings(max_examples=10, stateful_step_count=30, deadline=None)
