"""One writer: in this process or another, alive, dying, or past a lock that somebody removed."""

import shutil

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.sequencer import create_ledger, open_ledger
from tests.ledger_faults.child import Child, Order, Told, told
from tests.ledger_faults.outcome import ask_all, judge
from tests.ledger_faults.plan import ask, prepare, steps
from tests.ledger_faults.recheck import recheck
from tests.support.ledger import SIGNER, Time, first_events, reason_of


@pytest.fixture
def order(folder):
    made = Order(folder)
    made.ledger.parent.mkdir(parents=True)
    prepare(made.ledger)
    return made


def test_a_second_process_is_refused_until_the_first_is_dead(order):
    first = Child(order).start()
    for _ in range(2):
        with pytest.raises(RegieError, match="has a writer already"):
            open_ledger(order.ledger, SIGNER, Time())
    first.kill()
    assert first.end() == -9
    with open_ledger(order.ledger, SIGNER, Time()) as ledger:
        assert len(ask_all(ledger)) == sum(len(step.works) for step in steps())


def test_the_first_goes_on_while_others_try(order):
    first = Child(order).start()
    answers = sum(len(step.works) for step in steps())
    with pytest.raises(RegieError, match="has a writer already"):
        open_ledger(order.ledger, SIGNER, Time())
    first.go()
    refusals = set()
    # It may have ended between this look and the next try, never before its last answer.
    while len(told(order)) < answers:
        try:
            open_ledger(order.ledger, SIGNER, Time()).close()
        except RegieError as error:
            refusals.add(error.message)
        else:
            assert len(told(order)) == answers
    assert first.end() == 0, order.said.read_text()
    assert all("has a writer already" in message for message in refusals)
    assert judge(order.ledger, told(order)).told == len(steps())


def test_without_the_lock_the_log_still_does_not_fork(order):
    """Somebody removes the lock file: the writer that comes too late stops, and signs nothing beside the log."""
    heard: list[Told] = []

    def tell(name, answer):
        heard.append(Told(name, answer))

    choice, decision, *_ = steps()
    first = open_ledger(order.ledger, SIGNER, Time())
    assert ask(first, choice, tell)
    order.ledger.with_name("ledger.db.lock").unlink()
    second = open_ledger(order.ledger, SIGNER, Time())
    assert ask(second, decision, tell)
    other = steps()[2]
    assert not ask(first, other, tell)
    assert first.failure is not None
    second.close()
    first.close()
    assert [name for name, answer in heard if answer == b"!LEDGER_UNAVAILABLE"] == [f"group/{n}" for n in range(3)]
    assert judge(order.ledger, heard).told == 2


def test_two_who_create_make_one(tmp_path):
    path = tmp_path / "ledger.db"
    draft = path.with_name("ledger.db.new")
    create_ledger(path, SIGNER, first_events(), Time())
    content = path.read_bytes()
    shutil.copy(path, draft)  # as a second creator has it, when the first was faster
    assert reason_of(lambda: create_ledger(path, SIGNER, first_events(), Time())) == "LEDGER_UNAVAILABLE"
    assert path.read_bytes() == content
    assert recheck(path).head.size == len(first_events())
