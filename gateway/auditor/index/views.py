"""Who looked at what (A14), and refusals (A5), as pages ask them of the index."""

from __future__ import annotations

from sqlalchemy import Connection

from gateway.auditor.index.fold import Looked

PAGE = 100


def views(connection: Connection, person: str = "", before: int | None = None, most: int = PAGE) -> list[Looked]:
    """Return who looked, newest first; of one person if that is given."""
    columns = ", ".join(Looked._fields)
    where = "idx < ? AND person = ?" if person else "idx < ?"
    values = (2**62 if before is None else before, *((person,) if person else ()), most)
    query = f"SELECT {columns} FROM access WHERE {where} ORDER BY idx DESC LIMIT ?"  # noqa: S608  (columns are ours)
    return [Looked(*row) for row in connection.exec_driver_sql(query, values)]


def per_person(connection: Connection) -> list[tuple[str, int, int, int]]:
    """Return (person, views, exports, cases), most views first."""
    query = (
        "SELECT person, sum(act = 1), sum(act = 2), count(DISTINCT matter) FROM access GROUP BY person "
        "ORDER BY 2 DESC, 1 LIMIT 100"
    )
    return [(row[0], row[1], row[2], row[3]) for row in connection.exec_driver_sql(query)]
