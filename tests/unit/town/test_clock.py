import pytest

from consent_ledger.clock import DAY_MS, system_clock
from gateway.town.clock import DemoClock


def test_starts_in_the_past_and_ends_now():
    clock = DemoClock(16)
    assert abs(system_clock() - 16 * DAY_MS - clock()) < 1_000
    clock.advance(15)
    assert abs(system_clock() - DAY_MS - clock()) < 1_000
    clock.arrive()
    assert abs(system_clock() - clock()) < 1_000


def test_hours():
    clock = DemoClock(1)
    clock.advance(hours=23)
    assert abs(system_clock() - DAY_MS // 24 - clock()) < 1_000
    with pytest.raises(ValueError, match="0 days and 2 hours"):
        clock.advance(hours=2)


@pytest.mark.parametrize("days", [-1, 17])
def test_never_goes_back_and_never_passes_the_present(days):
    with pytest.raises(ValueError, match="not between"):
        DemoClock(16).advance(days)
