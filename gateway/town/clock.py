"""The demo's clock: it runs as fast as any clock, but starts in the past and can be moved forward."""

from __future__ import annotations

from consent_ledger.clock import DAY_MS, system_clock

DAYS_AGO = 62
"""Who first tries it alone has 28 days in all, and what a recipient did is due after 30; so the story starts before."""
HOUR_MS = 3_600_000
LAST_MINUTES_MS = 5 * 60_000


class DemoClock:
    """Unix time in milliseconds, some days ago. It never goes back and never passes the present."""

    def __init__(self, days_ago: int = DAYS_AGO) -> None:
        """Start ``days_ago`` days before now."""
        self._behind_ms = days_ago * DAY_MS

    def __call__(self) -> int:
        """Return the time in the story."""
        return system_clock() - self._behind_ms

    def advance(self, days: int = 0, *, hours: int = 0) -> None:
        """Let time pass; raises ValueError when that would be the future."""
        forward_ms = days * DAY_MS + hours * HOUR_MS
        if not 0 <= forward_ms <= self._behind_ms:
            raise ValueError(f"{days} days and {hours} hours from here is not between here and now")
        self._behind_ms -= forward_ms

    def leave_the_hour_behind(self) -> None:
        """In the last minutes of an hour, go on to the next, so that what takes a while is within one hour."""
        left_ms = HOUR_MS - self() % HOUR_MS
        if left_ms < LAST_MINUTES_MS:
            self._behind_ms -= min(left_ms, self._behind_ms)

    def arrive(self) -> None:
        """Come to the present, so that what was made can be served with the system's clock."""
        self._behind_ms = 0
