"""Time is an argument: whoever needs it takes a clock."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Returns Unix time in milliseconds."""

DAY_MS = 86_400_000


def system_clock() -> int:
    """Return the machine's time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
