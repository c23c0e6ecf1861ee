"""Calendar dates as residents know them: months of a consent, and days in Dutch time."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta

_NL = "januari februari maart april mei juni juli augustus september oktober november december".split()  # noqa: SIM905  (one line)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def add_months(time_ms: int, months: int) -> int:
    """Return the same time of day that many calendar months later; the 31st becomes the last day of a short month."""
    at = _at(time_ms)
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    day = min(at.day, calendar.monthrange(year, month + 1)[1])
    return (at.replace(year=year, month=month + 1, day=day) - _EPOCH) // timedelta(milliseconds=1)


def day_nl(time_ms: int) -> str:
    """Write the day in the Netherlands in Dutch: "3 maart 2026"."""
    day = _dutch_day(time_ms)
    return f"{day.day} {_NL[day.month - 1]} {day.year}"


def day_en(time_ms: int) -> str:
    """Write the day in the Netherlands in English: "3 March 2026"."""
    day = _dutch_day(time_ms)
    return f"{day.day} {calendar.month_name[day.month]} {day.year}"


def local_time(time_ms: int) -> datetime:
    """Return the time in the Netherlands, without a zone.

    Central European time by its rule (Directive 2000/84/EC), so that no time zone database is needed.
    """
    at = _at(time_ms)
    summer = _last_sunday(at.year, 3) <= at < _last_sunday(at.year, 10)
    return (at + timedelta(hours=2 if summer else 1)).replace(tzinfo=None)


def at_hour(day: date, hour: int) -> int:
    """Return the time (ms) at which it is a whole hour of a day in the Netherlands; no hour that the clock changes."""
    wanted = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    for offset in (1, 2):
        time_ms = (wanted - timedelta(hours=offset) - _EPOCH) // timedelta(milliseconds=1)
        if local_time(time_ms).hour == hour:
            return time_ms
    raise ValueError("there is no such hour on that day")


def _at(time_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=time_ms)


def _dutch_day(time_ms: int) -> date:
    return local_time(time_ms).date()


def _last_sunday(year: int, month: int) -> datetime:
    """The moment the clock changes: 01:00 UTC on the last Sunday of March or October (both have 31 days)."""
    last = datetime(year, month, 31, 1, tzinfo=UTC)
    return last - timedelta(days=(last.weekday() + 1) % 7)
