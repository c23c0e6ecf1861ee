"""Concurrent callers, a reader that verifies every answer, and a ledger that is killed: bounded (hammer.py runs longer)."""

import pytest

from consent_ledger.log.errors import VerificationError
from consent_ledger.sequencer import open_ledger
from tests.ledger_faults.callers import CALLERS, request
from tests.ledger_faults.child import Told
from tests.ledger_faults.hammer import Checker, hammer
from tests.ledger_faults.plan import WAIT, answer_of, prepare
from tests.support.ledger import SIGNER, Time

SECONDS = 6


def test_every_answer_is_in_the_log(folder, seed):
    checked = hammer(folder, SECONDS, seed)
    assert checked["kills"] >= 4
    assert min(checked["decision"], checked["release"], checked["choice"]) > 10 * CALLERS
    assert not [kind for kind in checked if kind.startswith("!")], checked


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
