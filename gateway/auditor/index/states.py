"""What became of a decision, as one number in the cube; and days."""

from __future__ import annotations

from datetime import date, timedelta

from consent_ledger.dates import local_time

REFUSED, WAITING, WITHHELD, RELEASED, ACKNOWLEDGED, REPORTED, DEVIATED = range(7)
STATES = ("refused", "waiting", "withheld", "released", "acknowledged", "reported", "deviated")
"""Names by number: refused; permitted and waiting; stopped at delivery; delivered; received; outcome reported; and
reported otherwise than the resident asked."""
_FIRST = date(1970, 1, 1)


def day_of(time_ms: int) -> int:
    """Return the number of the Dutch day that a time is in; 0 is 1970-01-01."""
    return day_number(local_time(time_ms).date())


def day_number(day: date) -> int:
    """Return the number of a date; 0 is 1970-01-01."""
    return (day - _FIRST).days


def date_of(day: int) -> date:
    """Return the date of a day's number."""
    return _FIRST + timedelta(days=day)
