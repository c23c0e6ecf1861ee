"""Who looked at what (A14), and refusals (A5), as pages ask them of the index."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

PAGE = 100


class View(NamedTuple):
    """An auditor looked at something."""

    idx: int
    time_ms: int
    auditor: str
    person: str
    matter: str
    page: str
    act: int
    query: bytes
    about_idx: int | None


def views(connection: Connection, person: str = "", before: int | None = None, most: int = PAGE) -> list[View]:
    """Return who looked, newest first; of one person if that is given."""
    columns = ", ".join(View._fields)
    where = "idx < ? AND person = ?" if person else "idx < ?"
    values = (2**62 if before is None else before, *((person,) if person else ()), most)
    query = f"SELECT {columns} FROM access WHERE {where} ORDER BY idx DESC LIMIT ?"  # noqa: S608  (columns are ours)
    return [View(*row) for row in connection.exec_driver_sql(query, values)]


def per_person(connection: Connection) -> list[tuple[str, int, int, int]]:
    """Return (person, views, exports, cases), most views first."""
    query = (
        "SELECT person, sum(act = 1), sum(act = 2), count(DISTINCT matter) FROM access GROUP BY person "
        "ORDER BY 2 DESC, 1 LIMIT 100"
    )
    return [(row[0], row[1], row[2], row[3]) for row in connection.exec_driver_sql(query)]
