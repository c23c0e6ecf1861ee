"""How far the index is, what was found wrong, and what is open: small questions that most pages ask."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from consent_ledger.clock import DAY_MS

A_MOMENT = 100
"""Entries that a follower reads in well under a second."""


class State(NamedTuple):
    """How far the index is, and ``stopped``: the kind of finding that stopped it, "" while it follows."""

    size: int = 0
    head_size: int = 0
    head_root: bytes = b""
    checkpoint: str = ""
    time_ms: int = 0
    seen_ms: int = 0
    decided: int = 0
    opened: int = 0
    public: int = 0
    gone: int = 0
    stopped: str = ""
    unopenable: int = 0

    @property
    def behind(self) -> bool:
        """Tell whether so many entries are left to be read that the figures are not those of a moment ago.

        A few always are: that somebody looks at a page is an entry itself.
        """
        return self.head_size - self.size > A_MOMENT

    @property
    def percent(self) -> int:
        """How much is read."""
        return 100 * self.size // self.head_size if self.head_size else 0


class Open(NamedTuple):
    """What waits for somebody, and for how long already."""

    questions: int
    questions_overdue: int
    notices: int
    notices_overdue: int
    waiting: int
    deviations: int


def state(connection: Connection) -> State:
    """Return how far the index is; before the first round, nothing."""
    columns = ", ".join(State._fields[:10])
    row = connection.exec_driver_sql(f"SELECT {columns} FROM progress WHERE id = 1").one_or_none()  # noqa: S608  (columns are ours)
    stopped = connection.exec_driver_sql("SELECT kind FROM finding WHERE stops ORDER BY id DESC LIMIT 1").scalar()
    unopenable = connection.exec_driver_sql("SELECT count(*) FROM finding WHERE kind = 'unopenable'").scalar_one()
    return State(*(row or ()))._replace(stopped=stopped or "", unopenable=unopenable)


def open_items(connection: Connection, now_ms: int) -> Open:
    """Return what waits at a time; deviations are those of the last 30 days."""
    tasks: dict[str, tuple[int, int]] = {
        row[0]: (row[1], row[2])
        for row in connection.exec_driver_sql(
            "SELECT kind, count(*), sum(due_ms < ?) FROM task WHERE done_idx IS NULL GROUP BY 1", (now_ms,)
        )
    }
    since = (now_ms - 30 * DAY_MS) // DAY_MS
    waiting = connection.exec_driver_sql("SELECT coalesce(sum(count - erased), 0) FROM cell WHERE state = 1")
    deviated = "SELECT coalesce(sum(count), 0) FROM cell WHERE state = 6 AND day >= ?"
    return Open(
        *tasks.get("question", (0, 0)),
        *tasks.get("stop_use", (0, 0)),
        int(waiting.scalar_one()),
        int(connection.exec_driver_sql(deviated, (since,)).scalar_one()),
    )
