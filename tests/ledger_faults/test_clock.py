"""A clock that jumps: nothing is ever signed at an earlier time than before (I6)."""

import random
from threading import Event

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.sequencer import open_ledger
from tests.ledger_faults.child import Child, Order, told
from tests.ledger_faults.outcome import judge
from tests.ledger_faults.plan import WAIT, prepare, steps
from tests.ledger_faults.recheck import recheck
from tests.support.ledger import NOW, SIGNER, Time, decide_work, header

SLACK_MS = 1_000
"""Set back by less, the clock is waited for."""


def test_a_clock_that_jumps_writes_no_earlier_time(tmp_path, seed):
    """Sixty groups, and before each a jump: a day ahead, a moment back, or far back, which stops the ledger."""
    chance = random.Random(seed)
    path = tmp_path / "ledger.db"
    prepare(path)
    latest, stops = recheck(path).head.time_ms, 0
    clock = Time(latest)
    ledger = open_ledger(path, SIGNER, clock)
    for number in range(60):
        clock.forward(ms=chance.choice((0, 1, 86_400_000, -SLACK_MS - 1, -86_400_000)))
        work = decide_work([f"p{number}"], header(1_000 + number, now_ms=clock()))
        future = ledger.submit(work)
        if clock() >= latest:
            future.result(WAIT)
            latest = clock()
            continue
        stops += 1
        with pytest.raises(RegieError, match="must be started again"):
            future.result(WAIT)
        ledger.close()
        with pytest.raises(RegieError, match="the clock of this machine is before"):
            open_ledger(path, SIGNER, clock)
        clock.now_ms = latest
        ledger = open_ledger(path, SIGNER, clock)
    ledger.close()
    found = recheck(path)
    assert found.head.time_ms == latest
    assert len(found.entries) >= 60 - stops > 0


@pytest.mark.parametrize(("behind", "opens"), [(0, True), (SLACK_MS, True), (SLACK_MS + 1, False)])
def test_how_far_behind_a_clock_may_be_at_start(tmp_path, behind, opens):
    path = tmp_path / "ledger.db"
    prepare(path)
    last = recheck(path).head.time_ms
    if opens:
        open_ledger(path, SIGNER, Time(last - behind)).close()
    else:
        with pytest.raises(RegieError, match="set it right first"):
            open_ledger(path, SIGNER, Time(last - behind))


def test_killed_and_started_with_the_clock_set_back(folder):
    """The time of the head is durable, so another process knows it too."""
    order = Order(folder, now_ms=NOW + 10_000)
    order.ledger.parent.mkdir(parents=True)
    prepare(order.ledger)
    child = Child(order).start()
    child.go()
    while len(told(order)) < 5:
        Event().wait(0.005)
    child.kill()
    child.end()
    with pytest.raises(RegieError, match="the clock of this machine is before"):
        open_ledger(order.ledger, SIGNER, Time(NOW))
    assert judge(order.ledger, told(order)).told <= len(steps())
