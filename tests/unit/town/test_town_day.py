"""The last day of the demo's story has the same in it at whatever time somebody starts the demo."""

import pytest

from gateway.town import clock
from gateway.town.auditor_day import NIGHT, OFFICE_HOURS, hours_after, night_of
from gateway.town.clock import HOUR_MS, LAST_MINUTES_MS, DemoClock

NOON = 1_800_000_000_000 // HOUR_MS * HOUR_MS


@pytest.mark.parametrize("hour", range(24))
def test_whenever_it_begins_there_is_one_night_and_a_day_at_the_office(hour):
    hours = hours_after(hour)
    assert hours[night_of(hours)] in NIGHT
    assert len(set(hours) & set(OFFICE_HOURS)) >= len(OFFICE_HOURS) - 1


@pytest.mark.parametrize(
    ("into_ms", "then_ms"),
    [
        (0, 0),
        (HOUR_MS - LAST_MINUTES_MS, HOUR_MS - LAST_MINUTES_MS),
        (HOUR_MS - LAST_MINUTES_MS + 1, HOUR_MS),
        (HOUR_MS - 1, HOUR_MS),
    ],
)
def test_what_takes_a_while_does_not_begin_at_the_end_of_an_hour(monkeypatch, into_ms, then_ms):
    monkeypatch.setattr(clock, "system_clock", lambda: NOON + into_ms)
    told = DemoClock(days_ago=1)
    before = told() - into_ms
    told.leave_the_hour_behind()
    assert told() == before + then_ms


def test_nobody_goes_on_into_the_future(monkeypatch):
    monkeypatch.setattr(clock, "system_clock", lambda: NOON - 1)
    told = DemoClock(days_ago=0)
    told.leave_the_hour_behind()
    assert told() == NOON - 1
