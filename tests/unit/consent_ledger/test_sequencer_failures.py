"""What happens to the ledger when anything fails at any point of a group, or the clock goes back."""

import pytest

from consent_ledger.storage.store import LedgerStore
from consent_ledger.verify import verify_database
from tests.support.ledger import (
    NOW,
    SIGNER,
    Ledger,
    Time,
    change,
    decide_work,
    first_events,
    grant,
    header,
    held,
    listed,
    reason_of,
    record_work,
    results,
)

VKEY = SIGNER.verifier.format()


POINTS = ("begin", "subjects", "append", "project", "advance", "commit", "commit, but durable")


class Breaking(LedgerStore):
    """A store that fails once at a chosen point, with the transaction open, closed or durable."""

    point = ""

    @classmethod
    def arm(cls, store: LedgerStore, point: str) -> None:
        store.__class__ = cls
        store.point = point

    def _hit(self, name: str) -> None:
        if self.point.split(",", maxsplit=1)[0] == name:
            self.point = ""
            raise OSError("disk on fire")

    def begin(self):
        self._hit("begin")
        super().begin()

    def subjects(self, ids):
        self._hit("subjects")
        return super().subjects(ids)

    def append(self, writes, completed):
        super().append(writes, completed)
        self._hit("append")

    def project(self, writes):
        super().project(writes)
        self._hit("project")

    def advance(self, old, new):
        super().advance(old, new)
        self._hit("advance")

    def commit(self):
        if "," in self.point:
            super().commit()
        self._hit("commit")
        super().commit()


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("size", [0, 253, 254, 255, 256])  # of the log before a group of three: across a full tile
def test_every_write_point(path, point, size):
    """Afterwards the ledger is wholly before or wholly after the group, and the same bytes get one answer."""
    ledger = Ledger(path)
    ledger.record("anna", grant=grant())
    if size:
        ledger.decide([f"p{n}" for n in range(size - ledger.sequencer.head.size)], 7)
    before = ledger.sequencer.head
    with held(ledger):  # whose own group writes nothing, so that it passes none of the points armed now
        Breaking.arm(ledger.sequencer._store, point)
        work = decide_work(["anna", "bert"], header(1))
        first = ledger.sequencer.submit(work)
        second = ledger.sequencer.submit(record_work(change(9, "chris", NOW + 9, grant=grant())))
    assert {reason_of(lambda f=f: f.result(10)) for f in (first, second)} == {"LEDGER_UNAVAILABLE"}
    assert reason_of(lambda: ledger.sequencer.submit(work)) == "LEDGER_UNAVAILABLE"
    assert isinstance(ledger.sequencer.failure, OSError)
    ledger.close()

    again = Ledger(path, ledger.clock)
    durable = "durable" in point
    assert again.sequencer.head.size == before.size + (3 if durable else 0)
    if not durable:
        assert again.sequencer.head == before
    verify_database(path, VKEY)
    answer = listed(again.sequencer.submit(work).result(10))
    assert list(answer.log_indices) == [before.size, before.size + 1]
    result = results(again.sequencer.submit(record_work(change(9, "chris", NOW + 9, grant=grant()))).result(10))
    assert [r.log_index for r in result] == [before.size + 2]
    assert again.sequencer.head.size == before.size + 3
    verify_database(path, VKEY)
    again.close()


def test_an_unexpected_error_in_a_request_is_fatal_to_the_ledger(path):
    """State unknown means stop: never catch and continue."""
    ledger = Ledger(path)

    class Bug:
        weight = 1

        def apply(self, tx):
            tx.publish(first_events()[0])
            raise ZeroDivisionError

    with held(ledger):
        bug = ledger.sequencer.submit(Bug())
        mate = ledger.sequencer.submit(decide_work(["anna"], header()))
    assert reason_of(lambda: bug.result(10)) == reason_of(lambda: mate.result(10)) == "LEDGER_UNAVAILABLE"
    assert reason_of(lambda: ledger.sequencer.submit(Bug())) == "LEDGER_UNAVAILABLE"
    ledger.close()
    again = Ledger(path)
    assert again.sequencer.head.size == len(first_events())
    again.close()


def test_the_clock_set_back_is_fatal_to_signing(path):
    """I6: never an earlier time, not clamped."""
    ledger = Ledger(path)
    ledger.clock.forward(days=1)
    ledger.decide(["anna"])
    ledger.clock.forward(days=-0.5)
    work = decide_work(["anna"], header(2, now_ms=ledger.clock()))
    assert reason_of(lambda: ledger.sequencer.submit(work).result(10)) == "LEDGER_UNAVAILABLE"
    assert isinstance(ledger.sequencer.failure, RuntimeError)  # by us; the head's trigger would stop it too
    ledger.close()
    assert reason_of(lambda: Ledger(path, ledger.clock)) == "LEDGER_UNAVAILABLE"
    ledger.clock.forward(days=0.5)
    Ledger(path, ledger.clock).close()


def test_a_clock_a_moment_behind_is_waited_for(path):
    class Catching(Time):
        """20 ms behind at first, then right."""

        def __call__(self):
            self.now_ms += 20
            return self.now_ms

    ledger = Ledger(path)
    ledger.decide(["anna"])
    ledger.clock.__class__ = Catching
    ledger.clock.forward(ms=-40)
    _, answer = ledger.decide(["bert"], 2)
    assert answer.log_indices
    ledger.close()
