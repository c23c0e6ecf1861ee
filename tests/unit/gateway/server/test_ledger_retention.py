"""The ledger role's housekeeping erases by age and announces, by itself and to the end."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.retention import announcing_of, erasing_by_age
from gateway.settings import Means, Settings
from tests.support.erasure import announced
from tests.support.ledger import Ledger, change, grant, record_work


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(tmp_path / "ledger.db")
    yield made
    made.close()


async def test_a_round_goes_through_the_whole_log(ledger):
    changes = [change(100 + n, f"p{n}", ledger.clock() + 1, grant=grant(months=3)) for n in range(70)]
    ledger.sequencer.submit(record_work(*changes)).result(10)
    with ThreadPoolExecutor(1) as pool:
        means = Means(Settings(), ledger.clock, pool, bytes)
        job = erasing_by_age(ledger.sequencer, means)
        await job()
        assert len(ledger.events()) == 70
        ledger.clock.forward(days=900)
        await job()
    assert ledger.events() == []
    assert ledger.sequencer.clean
    assert sum(len(indices) for ground, indices in announced(ledger) if ground == "retention") == 70


def test_the_settings_say_how_announcements_wait(monkeypatch):
    monkeypatch.setenv("REGIE_ERASURE_PEOPLE", "3")
    monkeypatch.setenv("REGIE_ERASURE_DAYS", "0.5")
    found = announcing_of(Settings())
    assert (found.people, found.longest_ms) == (3, 43_200_000)
