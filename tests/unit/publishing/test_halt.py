"""Stopping the ledger from outside: what waits is refused, and nothing more is signed."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from structlog.testing import capture_logs

from consent_ledger.errors import RegieError
from tests.support.ledger import Ledger, grant, held

WHY = RegieError("LEDGER_UNAVAILABLE", "two logs exist")


@pytest.fixture
def ledger(tmp_path):
    found = Ledger(tmp_path / "ledger.db")
    yield found
    found.close()


def test_what_waits_is_refused_and_the_head_stays(ledger):
    before = ledger.sequencer.head
    with ThreadPoolExecutor(4) as callers:
        with held(ledger):
            waiting = [callers.submit(ledger.record, f"person {number}", grant=grant()) for number in range(4)]
            while len(ledger.sequencer._waiting) < 4:
                pass
            ledger.sequencer.halt(WHY)
        for one in waiting:
            with pytest.raises(RegieError) as caught:
                one.result(10)
            assert caught.value.reason == "LEDGER_UNAVAILABLE"
    assert ledger.sequencer.head == before
    assert ledger.sequencer.failure is WHY


def test_an_idle_ledger_stops_at_once_and_only_a_new_start_goes_on(ledger):
    with capture_logs() as lines:
        ledger.sequencer.halt(WHY)
        ledger.sequencer.halt(RegieError("INTERNAL", "the first reason stays"))
        with pytest.raises(RegieError):
            ledger.record("somebody", grant=grant())
        ledger.close()
    assert [(line["event"], line["log_level"]) for line in lines] == [("ledger_stopped", "critical")]
    assert ledger.sequencer.failure is WHY
    again = Ledger(ledger.path, ledger.clock)
    assert not again.record("somebody", grant=grant()).HasField("error")
    again.close()
