"""Concurrent callers, a reader that verifies every answer, and a ledger that is killed: bounded (hammer.py runs longer)."""

from multiprocessing import active_children
from threading import Event

import pytest

from consent_ledger.log.errors import VerificationError
from consent_ledger.sequencer import open_ledger
from tests.ledger_faults.callers import CALLERS, request
from tests.ledger_faults.child import Child, Order, Told, told
from tests.ledger_faults.hammer import Checker, hammer
from tests.ledger_faults.plan import WAIT, answer_of, prepare
from tests.support.ledger import SIGNER, Time

SECONDS = 6


def test_every_answer_is_in_the_log(folder, seed):
    checked = hammer(folder, SECONDS, seed)
    assert checked["kills"] >= 4
    assert min(checked["decision"], checked["release"], checked["choice"]) > 10 * CALLERS
    assert not [kind for kind in checked if kind.startswith("!")], checked


def test_what_a_killed_process_left_of_a_line_is_no_answer(folder, seed):
    """kill -9 may come within a write: the next process's first answer is not joined to the piece that is there."""
    order = Order(folder, "calling", seed=seed)
    order.ledger.parent.mkdir(parents=True)
    prepare(order.ledger)
    order.told.write_bytes(b"9/0/decision/p1 00\n9/1/decision/p2 0a0")
    child = Child(order).start()
    child.go()
    while len(heard := told(order)) < 3:
        Event().wait(0.005)
    assert heard[0] == Told("9/0/decision/p1", b"\0")
    assert "9/1/decision/p2" not in {each.name for each in heard}


def test_an_answer_that_does_not_hold_leaves_no_process_behind(folder, seed, monkeypatch):
    def wrong(checker, heard):
        assert not heard

    monkeypatch.setattr(Checker, "answers", wrong)
    with pytest.raises(AssertionError):
        hammer(folder, SECONDS, seed)
    for child in active_children():
        child.join(WAIT)
        assert child.exitcode == -9


def test_a_wrong_answer_is_noticed(tmp_path):
    """The checker can fail: an answer of another ledger, and one that says another outcome."""
    answers = []
    for name in ("one", "two"):
        path = tmp_path / name / "ledger.db"
        path.parent.mkdir()
        prepare(path)
        asked = request(1, 0, 2)
        with open_ledger(path, SIGNER, Time()) as ledger:
            future = ledger.submit(asked.work())
            future.exception(WAIT)
        answers.append(Told(asked.name, answer_of(future)))
    Checker(path).answers(answers[1:])
    with pytest.raises(VerificationError, match="another root was signed"):
        Checker(path).answers(answers[:1])
    with pytest.raises(AssertionError):
        Checker(path).answers([Told(answers[1].name.replace("p", "q"), answers[1].answer)])
