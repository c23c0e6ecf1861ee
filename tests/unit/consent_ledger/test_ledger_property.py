"""Random lives of residents against a real ledger; afterwards everything in the log is judged again.

The machine makes choices, sends, pulls, lets days pass and restarts the ledger. Each decision is compared with the
naive model at once; at the end the log is replayed through fold and decide (I3), and searched for a permit or release
that a stop before it in log order should have prevented (I2).
"""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from consent_ledger.clock import DAY_MS
from consent_ledger.decide import ExchangeRequest, decide
from consent_ledger.errors import RegieError
from consent_ledger.state import EMPTY, fold
from consent_ledger.statecodec import decode, encode
from consent_ledger.v1 import consents_pb2 as consents
from consent_ledger.v1 import events_pb2 as pb
from tests.support.ledger import ARREARS, CITY, OTHER_SUPPLIER, SUPPLIER, Ledger, grant, scope, subject
from tests.unit.consent_ledger.naive_decision import Entry, judge

people = st.sampled_from(["anna", "bert", "chris"])
suppliers = st.sampled_from([SUPPLIER, OTHER_SUPPLIER])
modes = st.sampled_from([pb.MODE_JA, pb.MODE_VRAAG_MIJ_EERST, pb.MODE_EERST_ZELF])
preferences = st.builds(
    pb.Preferences,
    channels=st.just([pb.CHANNEL_BRIEF]),
    general_only=st.sampled_from([False, False, False, True]),
    most_per_30_days=st.integers(0, 2),
)


class Lives(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp(prefix="regie-test-"))
        self.ledger = Ledger(self.folder / "ledger.db")
        self.batches: list[tuple[bytes, int]] = []
        self.number = self.nonce = 0

    def history(self, person: str) -> list[Entry]:
        key = subject(person)
        return [
            Entry(index, event, private.reason)
            for index, event, private in self.ledger.events()
            if any(link.subject == key for link in private.links)
        ]

    @rule(person=people, sender=suppliers, mode=modes, threshold=st.sampled_from([0, 0, 0, 1]))
    def agree(self, person, sender, mode, threshold):
        result = self.ledger.record(person, grant=grant(mode, scope(sender), threshold=threshold, months=3))
        assert result.log_index

    @rule(person=people, sender=suppliers)
    def refuse(self, person, sender):
        assert self.ledger.record(person, refuse=consents.Refuse(scope=scope(sender))).log_index

    @rule(person=people, sender=suppliers)
    def withdraw(self, person, sender):
        assert self.ledger.record(person, withdraw=consents.Withdraw(scope=scope(sender))).log_index

    @rule(person=people, days=st.sampled_from([0, 3]))
    def pause(self, person, days):
        until = self.ledger.clock() + days * DAY_MS if days else 0
        assert self.ledger.record(person, pause=consents.Pause(until_ms=until)).log_index

    @rule(person=people)
    def resume(self, person):
        assert self.ledger.record(person, resume=consents.Resume()).log_index

    @rule(person=people, wishes=preferences)
    def prefer(self, person, wishes):
        assert self.ledger.record(person, preferences=wishes).log_index

    @rule(person=people, sender=suppliers, yes=st.booleans())
    def answer(self, person, sender, yes):
        """Accepted or not, whatever follows must agree with the log."""
        self.ledger.record(person, answer=consents.Answer(scope=scope(sender), yes=yes))

    @rule(who=st.lists(people, min_size=1, max_size=3), sender=suppliers)
    def send(self, who, sender):
        before = {person: self.history(person) for person in who}
        self.number += 1
        header_hash, answer = self.ledger.decide(who, self.number, sender=sender, hours=72)
        self.batches.append((header_hash, self.ledger.clock()))
        new = {index: (event, private) for index, event, private in self.ledger.events() if index in answer.log_indices}
        for person, index in zip(who, answer.log_indices, strict=True):
            event, private = new[index]
            expected = judge(before[person], (sender, CITY), {"betalingsachterstand"}, event.time_ms)
            assert pb.Reason.Name(private.reason) == f"REASON_{expected}"
            before[person].append(Entry(index, event, private.reason))

    @rule(data=st.data())
    def receive(self, data):
        if not self.batches:
            return
        self.nonce += 1
        batch, made_ms = data.draw(st.sampled_from(self.batches))
        if self.ledger.clock() >= made_ms + 3 * DAY_MS:
            with pytest.raises(RegieError, match="expired"):
                self.ledger.release(batch, self.nonce)
            return
        content = self.ledger.release(batch, self.nonce)
        permitted = {s.log_index for s in content.signals}
        released = {i for i, event, _ in self.ledger.events() if event.WhichOneof("body") == "exchange_released"}
        assert permitted <= released

    @rule(days=st.sampled_from([0.01, 1, 5, 13.99, 14, 31]))
    def wait(self, days):
        self.ledger.clock.forward(days=days)

    @rule()
    def restart(self):
        self.ledger.close()
        self.ledger = Ledger(self.folder / "ledger.db", self.ledger.clock)

    @invariant()
    def running(self):
        if hasattr(self, "ledger"):
            assert self.ledger.sequencer.failure is None

    def teardown(self):
        if not hasattr(self, "ledger"):
            return
        try:
            self.replay()
            self.stops_come_first()
        finally:
            self.ledger.close()
            shutil.rmtree(self.folder)

    def replay(self):
        """I3: fold and decide again what the log says, and find the same; the stored states are those of the log."""
        states, chains, permits = {}, {}, {}
        registry = self.ledger.sequencer.registry
        for index, event, private in self.ledger.events():
            name = event.WhichOneof("body")
            key = private.links[0].subject
            state = states.get(key, EMPTY)
            if name == "exchange_decided":
                permits[index] = event.exchange_decided
            if name in ("exchange_decided", "exchange_released", "exchange_withheld"):
                body = getattr(event, name)
                recheck = None if name == "exchange_decided" else body.decided_index
                items = tuple(permits[recheck or index].items)
                asked = ExchangeRequest(body.sender, body.recipient, ARREARS, 1, items, recheck=recheck)
                decision = decide(registry, state, asked, event.time_ms)
                assert (decision.reason, list(decision.decided_by)) == (private.reason, list(private.decided_by))
            assert private.links[0].subject_seq == chains.get(key, 0) + 1
            chains[key] = private.links[0].subject_seq
            states[key] = fold(state, index, event, private)
        with self.ledger.sequencer.reader.snapshot() as snapshot:
            for key, state in states.items():
                assert snapshot.subject(key).state == state == decode(encode(state))

    def stops_come_first(self):
        """I2: no permit or release after a stop in log order, unless the resident lifted it in between."""
        stopped: dict[tuple, bool] = {}
        for _, event, private in self.ledger.events():
            key, name, now = private.links[0].subject, event.WhichOneof("body"), event.time_ms
            body = getattr(event, name)
            if name == "sharing_paused":
                stopped[key] = body.until_ms or True
            elif name == "sharing_resumed":
                stopped.pop(key, None)
            elif name in ("consent_withdrawn", "consent_refused"):
                stopped[key, body.scope.sender] = True
            elif name == "consent_granted":
                stopped.pop((key, body.scope.sender), None)
            elif name == "exchange_released" or (name == "exchange_decided" and body.permitted):
                assert (key, body.sender) not in stopped
                until = stopped.get(key)
                assert until is None or (until is not True and now >= until)


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
