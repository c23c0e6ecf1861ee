"""What pages ask of the index. Counts come from the cube (``cell``), whose size does not grow with the log's.

Every function takes the connection of a ``Database.run`` (or of the console's reader) and returns plain values.
"""

from __future__ import annotations

from heapq import nlargest
from typing import Any, NamedTuple

from sqlalchemy import Connection

from consent_ledger.v1 import events_pb2 as pb
from gateway.auditor.filters import Filter
from gateway.auditor.index import states

PAGE = 50
DIMENSIONS = {
    "van": "route.sender",
    "aan": "route.recipient",
    "doel": "route.purpose",
    "reden": "cell.reason",
    "stand": "cell.state",
    "dag": "cell.day",
}
"""Facets by the name of their field in the address, but for "dag", which "vanaf" and "tot" choose."""
_COLUMNS = (
    *("idx", "time_ms", "resident", "outcome", "trace_id", "decided_by"),
    *("released_idx", "released_ms", "withheld_idx", "withheld_ms", "acked_idx", "acked_ms"),
    *("outcome_idx", "outcome_ms", "channel", "deviations"),
)


class Exchange(NamedTuple):
    """One exchange, as lists and pages show it."""

    idx: int
    time_ms: int
    resident: bytes
    outcome: int
    trace_id: bytes
    decided_by: str
    released_idx: int | None
    released_ms: int | None
    withheld_idx: int | None
    withheld_ms: int | None
    acked_idx: int | None
    acked_ms: int | None
    outcome_idx: int | None
    outcome_ms: int | None
    channel: int
    deviations: str
    day: int
    reason: int
    state: int
    sender: str
    recipient: str
    purpose: str
    version: int
    items: str


class Count(NamedTuple):
    """A value of a dimension, and how many exchanges have it."""

    value: Any
    number: int


class Pair(NamedTuple):
    """What one sender and one recipient did."""

    sender: str
    recipient: str
    number: int
    refused: int
    prohibited: int


class Day(NamedTuple):
    """A day's exchanges: delivered or received, permitted and waiting, refused or stopped."""

    day: int
    shared: int
    waiting: int
    blocked: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.shared + self.waiting + self.blocked


def total(connection: Connection, chosen: Filter) -> int:
    """Return how many exchanges a filter chooses, those erased since too."""
    source, where, values = _source(connection, chosen)
    return int(connection.exec_driver_sql(f"SELECT coalesce(sum(cell.count), 0) {source} {where}", values).scalar_one())


def erased(connection: Connection, chosen: Filter) -> int:
    """Return how many of them are in no list any more."""
    source, where, values = _source(connection, chosen)
    query = f"SELECT coalesce(sum(cell.erased), 0) {source} {where}"
    return int(connection.exec_driver_sql(query, values).scalar_one())


def facet(connection: Connection, chosen: Filter, name: str) -> list[Count]:
    """Return the values of a dimension within a filter, most first."""
    source, where, values = _source(connection, chosen)
    column = DIMENSIONS[name]
    query = f"SELECT {column}, sum(cell.count) AS n {source} {where} GROUP BY 1 HAVING n > 0 ORDER BY 2 DESC, 1"
    return [Count(*row) for row in connection.exec_driver_sql(query, values)]


def facets(connection: Connection, chosen: Filter) -> dict[str, list[Count]]:
    """Return every facet; that of a field which is chosen counts what another choice of it would give."""
    return {
        name: facet(connection, chosen.but(**{name: None if name == "reden" else ""}), name)
        for name in ("van", "aan", "doel", "reden", "stand")
    }


def matrix(connection: Connection, chosen: Filter) -> list[Pair]:
    """Return who sent to whom, most first."""
    source, where, values = _source(connection, chosen)
    query = (
        "SELECT route.sender, route.recipient, sum(cell.count) AS n, sum(cell.count * (cell.state = ?)), "
        f"sum(cell.count * (cell.reason = ?)) {source} {where} GROUP BY 1, 2 HAVING n > 0 ORDER BY 1, 2"
    )
    found = connection.exec_driver_sql(query, (states.REFUSED, pb.REASON_PURPOSE_PROHIBITED, *values))
    return [Pair(*row) for row in found]


def days(connection: Connection, chosen: Filter, most: int = 31) -> list[Day]:
    """Return the newest days with exchanges, oldest first."""
    source, where, values = _source(connection, chosen)
    query = (
        "SELECT cell.day, sum(cell.count * (cell.state >= 3)), sum(cell.count * (cell.state = 1)), "
        f"sum(cell.count * (cell.state IN (0, 2))) {source} {where} GROUP BY 1 ORDER BY 1 DESC LIMIT ?"
    )
    return [Day(*row) for row in connection.exec_driver_sql(query, (*values, most))][::-1]


def by_reason_and_sender(connection: Connection, chosen: Filter) -> list[tuple[int, str, int]]:
    """Return (reason, sender, count), in the order of the reasons, most first."""
    source, where, values = _source(connection, chosen)
    query = (
        f"SELECT cell.reason, route.sender, sum(cell.count) AS n {source} {where} "
        "GROUP BY 1, 2 HAVING n > 0 ORDER BY 1, 3 DESC, 2"
    )
    return [(row[0], row[1], row[2]) for row in connection.exec_driver_sql(query, values)]


def exchange(connection: Connection, index: int) -> Exchange | None:
    """Return the exchange with this decision; None for none, or one that is erased."""
    return next(iter(_rows(connection, [index])), None)


def page(connection: Connection, chosen: Filter, before: int | None = None, most: int = PAGE) -> list[Exchange]:
    """Return the newest exchanges that a filter chooses, of those before an index: newest first, at most ``most``.

    A page costs the same wherever it is: the cube says on which days its rows are, and of each cell of these days at
    most ``most`` rows are looked at, by the index (cell, idx).
    """
    if chosen.bewoner is not None:
        return _rows(connection, _of_resident(connection, chosen, before, most))
    found: list[int] = []
    for cells in _cells_by_day(connection, chosen, before):
        found += _newest(connection, cells, before, most)
        if len(found) >= most:
            break
    return _rows(connection, nlargest(most, found))


def _cells_by_day(connection: Connection, chosen: Filter, before: int | None) -> list[list[int]]:
    """Return the cells that a filter chooses, newest day first; a list holds those of one day."""
    last = chosen.tot
    if before is not None:
        query = "SELECT cell.day FROM exchange JOIN cell ON cell.id = exchange.cell WHERE exchange.idx < ? "
        day = connection.exec_driver_sql(f"{query}ORDER BY exchange.idx DESC LIMIT 1", (before,)).scalar()
        if day is None:
            return []
        last = day if last is None else min(last, day)
    source, where, values = _source(connection, chosen.but(tot=last))
    listed = f"{where} AND" if where else "WHERE"
    query = f"SELECT cell.day, cell.id {source} {listed} cell.count > cell.erased ORDER BY 1 DESC"
    by_day: dict[int, list[int]] = {}
    for day, cell in connection.exec_driver_sql(query, values):
        by_day.setdefault(day, []).append(cell)
    return list(by_day.values())


def _newest(connection: Connection, cells: list[int], before: int | None, most: int) -> list[int]:
    """Return the newest indices of some cells: the same seek for each of them."""
    query = "SELECT idx FROM exchange WHERE cell = ? AND idx < ? ORDER BY idx DESC LIMIT ?"
    limit = 2**62 if before is None else before
    found = (connection.exec_driver_sql(query, (cell, limit, most)).scalars() for cell in cells)
    return nlargest(most, (index for each in found for index in each))


def _of_resident(connection: Connection, chosen: Filter, before: int | None, most: int) -> list[int]:
    source, where, values = _source(connection, chosen.but(bewoner=None))
    resident = resident_at(connection, chosen.bewoner or 0)
    query = (
        f"SELECT exchange.idx {source} JOIN exchange ON exchange.cell = cell.id {where} {'AND' if where else 'WHERE'} "
        "exchange.resident = ? AND exchange.idx < ? ORDER BY exchange.idx DESC LIMIT ?"
    )
    limit = 2**62 if before is None else before
    return list(connection.exec_driver_sql(query, (*values, resident, limit, most)).scalars())


def resident_at(connection: Connection, index: int) -> bytes:
    """Return the resident of a decision, as the index knows one; b"" when it is none that is known."""
    found = connection.exec_driver_sql("SELECT resident FROM exchange WHERE idx = ?", (index,)).scalar()
    return bytes(found) if found else b""


def _rows(connection: Connection, indices: list[int]) -> list[Exchange]:
    if not indices:
        return []
    columns = ", ".join(f"exchange.{column}" for column in _COLUMNS)
    query = (
        f"SELECT {columns}, cell.day, cell.reason, cell.state, route.sender, route.recipient, route.purpose, "  # noqa: S608  (columns are ours)
        "route.version, route.items FROM exchange JOIN cell ON cell.id = exchange.cell "
        f"JOIN route ON route.id = cell.route WHERE exchange.idx IN ({', '.join('?' * len(indices))}) "
        "ORDER BY exchange.idx DESC"
    )
    return [Exchange(*row) for row in connection.exec_driver_sql(query, tuple(indices))]


def _source(connection: Connection, chosen: Filter) -> tuple[str, str, tuple[Any, ...]]:
    """Return FROM, WHERE and the values of a filter: over the cube, or over the few exchanges of one resident."""
    source = "FROM cell JOIN route ON route.id = cell.route"
    values: list[Any] = []
    if chosen.bewoner is not None:
        source = (
            "FROM (SELECT cell.id, day, route, reason, state, count(*) AS count, 0 AS erased FROM exchange JOIN cell "
            "ON cell.id = exchange.cell WHERE exchange.resident = ? GROUP BY cell.id) AS cell "
            "JOIN route ON route.id = cell.route"
        )
        values.append(resident_at(connection, chosen.bewoner))
    clauses = []
    for column, value in (
        ("route.sender = ?", chosen.van or None),
        ("route.recipient = ?", chosen.aan or None),
        ("route.purpose = ?", chosen.doel or None),
        ("cell.reason = ?", chosen.reden),
        ("cell.day >= ?", chosen.vanaf),
        ("cell.day <= ?", chosen.tot),
    ):
        if value is not None:
            clauses.append(column)
            values.append(value)
    if chosen.states:
        clauses.append(f"cell.state IN ({', '.join('?' * len(chosen.states))})")
        values += chosen.states
    return source, f"WHERE {' AND '.join(clauses)}" if clauses else "", tuple(values)
