"""Every statement of a group's commit fails, before and after it is done, at sizes across the end of a full tile.

The points are not listed: each run fails one statement, or one use of clock, randomness or key, later than the run
before, until a run goes through.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread

import pytest
import sqlalchemy as sa

from consent_ledger.log.note import Signer
from consent_ledger.sequencer import open_ledger
from tests.ledger_faults.child import Told
from tests.ledger_faults.outcome import judge
from tests.ledger_faults.plan import ask, prepare, steps
from tests.support.ledger import SIGNER, Time

SIZES = (251, 252, 253, 254)
"""Of the log before the step that is broken, whose leaves then end at 254 to 257."""
STEP = 1
"""The broken step: a decision of three leaves, after a choice of one."""
WORLDS = ("not done", "done")


class BrokenError(Exception):
    """The fault."""


class Point:
    """Fails at the n-th passing of anything that a group does, in the writer's thread, once armed."""

    def __init__(self, nth: int, world: str) -> None:
        self.left, self.world, self.hit, self.armed = nth, world, "", False

    def passes(self, name: str, when: str) -> None:
        if not self.armed or self.hit or when != self.world or current_thread().name != "ledger-writer":
            return
        if self.left == 0:
            self.hit = name
            raise BrokenError(name)
        self.left -= 1

    def around(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def called(*args: object) -> object:
            self.passes(name, "not done")
            result = call(*args)
            self.passes(name, "done")
            return result

        return called


@contextmanager
def statements(point: Point) -> Iterator[None]:
    """Let every SQL statement, and the end of every transaction, pass the point."""

    def before(_connection, _cursor, statement, *_):
        point.passes(statement, "not done")

    def after(_connection, _cursor, statement, *_):
        point.passes(statement, "done")

    def commit(connection):
        point.passes("COMMIT", "not done")
        if point.armed and point.world == "done" and point.left == 0 and not point.hit:
            connection.connection.commit()  # durable, and then it fails
        point.passes("COMMIT", "done")

    def rollback(_connection):
        if not point.hit:
            point.passes("ROLLBACK", "not done")
            point.passes("ROLLBACK", "done")

    listeners = {"before_cursor_execute": before, "after_cursor_execute": after, "commit": commit, "rollback": rollback}
    for name, listener in listeners.items():
        sa.event.listen(sa.Engine, name, listener)
    try:
        yield
    finally:
        for name, listener in listeners.items():
            sa.event.remove(sa.Engine, name, listener)


def broken_run(path, point: Point) -> list[Told]:
    """Go through the plan until the ledger stops; return what callers heard."""
    heard: list[Told] = []
    clock = point.around("clock", Time())
    rng = point.around("randomness", lambda size: bytes(size - 1) + b"\x01")
    with statements(point), open_ledger(path, SIGNER, clock, rng=rng) as ledger:
        for number, step in enumerate(steps()):
            point.armed = number == STEP
            if not ask(ledger, step, lambda name, answer: heard.append(Told(name, answer))):
                break
        if point.hit:
            assert isinstance(ledger.failure, BrokenError)
    return heard


@pytest.fixture(scope="module", params=SIZES)
def prepared(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("prepared") / "ledger.db"
    prepare(path, request.param - steps()[0].leaves)
    return path, request.param


@pytest.mark.parametrize("world", WORLDS)
def test_every_statement_of_a_commit_fails(prepared, tmp_path, world):
    start, size = prepared
    hit: list[str] = []
    while True:
        path = tmp_path / f"{len(hit)}" / "ledger.db"
        path.parent.mkdir()
        shutil.copy(start, path)
        point = Point(len(hit), world)
        heard = broken_run(path, point)
        if not point.hit:
            break
        hit.append(point.hit.split(maxsplit=3)[0])
        outcome = judge(path, heard, size - steps()[0].leaves)
        assert outcome.told == STEP
        assert outcome.found == STEP + (hit[-1] == "COMMIT" and world == "done"), point.hit
        shutil.rmtree(path.parent)
    assert judge(path, heard, size - steps()[0].leaves).told == len(steps())
    assert {"BEGIN", "clock", "randomness", "SELECT", "INSERT", "UPDATE", "COMMIT"} <= set(hit)
    assert len(hit) >= 12


@pytest.mark.parametrize("point", ["key", "statement"])
def test_what_signs_fails(prepared, tmp_path, monkeypatch, point):
    """A signature that cannot be made leaves nothing: neither the log's, nor the answer's."""
    start, size = prepared
    path = tmp_path / "ledger.db"
    shutil.copy(start, path)
    heard: list[Told] = []

    def broken(*_):
        raise BrokenError

    with open_ledger(path, SIGNER, Time()) as ledger:
        first, second, *_ = steps()
        assert ask(ledger, first, lambda name, answer: heard.append(Told(name, answer)))
        with monkeypatch.context() as patch:
            if point == "key":
                patch.setattr(Signer, "line", broken)
            else:
                patch.setattr("tests.support.ledger.sign", broken)
            assert not ask(ledger, second, lambda name, answer: heard.append(Told(name, answer)))
        assert isinstance(ledger.failure, BrokenError)
    outcome = judge(path, heard, size - first.leaves)
    assert (outcome.told, outcome.found) == (STEP, STEP)
