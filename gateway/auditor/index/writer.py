"""Changes of many entries, written in one transaction; who calls it makes the progress durable in the same one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection

from gateway.auditor.index import states
from gateway.auditor.index.fold import (
    Acted,
    Asked,
    Change,
    Confirmed,
    Decided,
    Done,
    Gone,
    Linked,
    Looked,
    Moved,
)

HOUR_MS = 3_600_000
_MOST_CELLS = 50_000
_AT_ONCE = 500
Key = tuple[int, int, int, int]
"""Day, route, reason, state."""
_COLUMNS = {
    states.RELEASED: "released",
    states.WITHHELD: "withheld",
    states.ACKNOWLEDGED: "acked",
    states.REPORTED: "outcome",
    states.DEVIATED: "outcome",
}


class Writer:
    """Writes changes in the order of the log. After an exception it is not used again: it remembers what was undone."""

    def __init__(self, connection: Connection) -> None:
        """Read what is to be known of the tables."""
        self._routes: dict[tuple[Any, ...], int] = {
            tuple(row[1:]): row[0]
            for row in connection.exec_driver_sql("SELECT id, sender, recipient, purpose, version, items FROM route")
        }
        self._cells: dict[Key, int] = {}
        self._keys: dict[int, Key] = {}
        self._next = 1 + (connection.exec_driver_sql("SELECT max(id) FROM cell").scalar() or 0)

    def write(self, connection: Connection, changes: Sequence[Change]) -> None:
        """Write changes; those of one entry must be in one call."""
        if len(self._cells) > _MOST_CELLS:
            self._cells, self._keys = {}, {}
        by_kind: dict[type, list[Any]] = defaultdict(list)
        for change in changes:
            by_kind[type(change)].append(change)
        _exchanges(self, connection, by_kind[Decided], by_kind[Moved])
        _hours(connection, by_kind[Decided])
        _insert(connection, "about", ("resident", "seq", "idx"), by_kind[Linked])
        _insert(connection, "act", Acted._fields, by_kind[Acted])
        _insert(connection, "task", (*Asked._fields, "how"), [(*asked, 0) for asked in by_kind[Asked]])
        _insert(connection, "access", Looked._fields, by_kind[Looked])
        _many(connection, "UPDATE act SET confirmed_idx = ? WHERE idx = ?", [(c.idx, c[0]) for c in by_kind[Confirmed]])
        _many(
            connection,
            "UPDATE task SET done_idx = ?, done_ms = ?, how = ? WHERE idx = ?",
            [(done.idx, done.time_ms, done.how, done.task_idx) for done in by_kind[Done]],
        )
        for gone in by_kind[Gone]:
            self._erase(connection, gone)

    def route(self, connection: Connection, route: tuple[str, str, str, int, str]) -> int:
        """Return the number of a route, a new one when there is none."""
        found = self._routes.get(route)
        if found is None:
            found = self._routes[route] = len(self._routes) + 1
            _insert(
                connection, "route", ("id", "sender", "recipient", "purpose", "version", "items"), [(found, *route)]
            )
        return found

    def cell(self, connection: Connection, key: Key) -> int:
        """Return the number of a cell of the cube, a new one when there is none."""
        found = self._cells.get(key)
        if found is None:
            query = "SELECT id FROM cell WHERE day = ? AND route = ? AND reason = ? AND state = ?"
            found = connection.exec_driver_sql(query, key).scalar()
            if found is None:
                found, self._next = self._next, self._next + 1
                columns = ("id", "day", "route", "reason", "state", "count", "erased")
                _insert(connection, "cell", columns, [(found, *key, 0, 0)])
            self._cells[key], self._keys[found] = found, key
        return found

    def key(self, connection: Connection, cell: int) -> Key:
        """Return what a cell counts."""
        found = self._keys.get(cell)
        if found is None:
            query = "SELECT day, route, reason, state FROM cell WHERE id = ?"
            row = connection.exec_driver_sql(query, (cell,)).one()
            found = self._keys[cell] = (row[0], row[1], row[2], row[3])
        return found

    def _erase(self, connection: Connection, gone: Gone) -> None:
        """Drop what the log says is erased; counts stay."""
        columns = ("idx", "announced_idx", "ground")
        _insert(connection, "erased", columns, [(index, gone.idx, gone.ground) for index in gone.indices], ignore=True)
        for some in _parts(gone.indices):
            marks = ", ".join("?" * len(some))
            lost = Counter(
                connection.exec_driver_sql(f"SELECT cell FROM exchange WHERE idx IN ({marks})", some).scalars()  # noqa: S608  (question marks)
            )
            _many(
                connection, "UPDATE cell SET erased = erased + ? WHERE id = ?", [(n, cell) for cell, n in lost.items()]
            )
            for table, column in (
                *(("exchange", "idx"), ("followed", "exchange"), ("followed", "released_idx")),
                *(("about", "idx"), ("act", "idx"), ("task", "idx"), ("access", "idx")),
            ):
                connection.exec_driver_sql(f"DELETE FROM {table} WHERE {column} IN ({marks})", some)  # noqa: S608  (our own names)


_EXCHANGE = (
    *("idx", "time_ms", "cell", "resident", "outcome", "trace_id", "decided_by"),
    *("released_idx", "released_ms", "withheld_idx", "withheld_ms", "acked_idx", "acked_ms"),
    *("outcome_idx", "outcome_ms", "channel", "deviations"),
)


def _exchanges(writer: Writer, connection: Connection, decided: Sequence[Decided], moved: Sequence[Moved]) -> None:
    """Write decisions, and what became of them and of earlier ones."""
    rows: dict[int, dict[str, Any]] = {}
    counts: Counter[int] = Counter()
    for one in decided:
        key = (states.day_of(one.time_ms), writer.route(connection, one.route), one.reason, one.state)
        cell = writer.cell(connection, key)
        counts[cell] += 1
        row: dict[str, Any] = dict.fromkeys(_EXCHANGE)
        row |= {"idx": one.idx, "time_ms": one.time_ms, "cell": cell, "resident": one.resident}
        row |= {"outcome": one.outcome, "trace_id": one.trace_id, "decided_by": one.decided_by}
        rows[one.idx] = row | {"channel": 0, "deviations": ""}
    released = _load(connection, rows, moved)
    for move in moved:
        index = released.get(move.named) if move.by_release else move.named
        if index is None or index not in rows:
            continue  # its decision was erased before it was read
        if move.state == states.RELEASED:
            released[move.idx] = index
        _move(writer, connection, rows[index], move, counts)
    _insert(connection, "exchange", _EXCHANGE, [tuple(row.values()) for row in rows.values()], replace=True)
    releases = [(move.idx, move.named) for move in moved if move.state == states.RELEASED and move.named in rows]
    _insert(connection, "followed", ("released_idx", "exchange"), releases)
    _many(connection, "UPDATE cell SET count = count + ? WHERE id = ?", [(n, cell) for cell, n in counts.items() if n])


def _load(connection: Connection, rows: dict[int, dict[str, Any]], moved: Sequence[Moved]) -> dict[int, int]:
    """Read the earlier decisions that something is said of; return decisions by the releases that are known."""
    released: dict[int, int] = {}
    for some in _parts([move.named for move in moved if move.by_release]):
        query = f"SELECT released_idx, exchange FROM followed WHERE released_idx IN ({', '.join('?' * len(some))})"  # noqa: S608  (question marks)
        released.update((row[0], row[1]) for row in connection.exec_driver_sql(query, some))
    wanted = {move.named for move in moved if not move.by_release} | set(released.values())
    for some in _parts(sorted(wanted - rows.keys())):
        query = f"SELECT {', '.join(_EXCHANGE)} FROM exchange WHERE idx IN ({', '.join('?' * len(some))})"  # noqa: S608  (columns are ours)
        for found in connection.exec_driver_sql(query, some):
            rows[found[0]] = dict(zip(_EXCHANGE, found, strict=True))
    return released


def _move(writer: Writer, connection: Connection, row: dict[str, Any], move: Moved, counts: Counter[int]) -> None:
    """Note what became of a decision, and count it there."""
    name = _COLUMNS[move.state]
    row[f"{name}_idx"], row[f"{name}_ms"] = move.idx, move.time_ms
    if name == "outcome":
        row["channel"], row["deviations"] = move.channel, move.deviations
    day, route, reason, state = writer.key(connection, row["cell"])
    # A report may come before the acknowledgement: what is known already is not taken back.
    after = move.state if name == "outcome" else max(state, move.state)
    cell = writer.cell(connection, (day, route, move.reason or reason, after))
    counts[row["cell"]] -= 1
    counts[cell] += 1
    row["cell"] = cell


def _hours(connection: Connection, decided: Sequence[Decided]) -> None:
    """Count signals, and residents each once in an hour."""
    signals: Counter[tuple[int, str]] = Counter()
    residents: dict[tuple[int, str], set[bytes]] = defaultdict(set)
    for one in decided:
        key = (one.time_ms // HOUR_MS, one.route[0])
        signals[key] += 1
        residents[key].add(one.resident)
    for (hour, sender), count in signals.items():
        found = [(hour, sender, resident) for resident in sorted(residents[hour, sender])]
        added = _insert(connection, "seen", ("hour", "sender", "resident"), found, ignore=True)
        connection.exec_driver_sql(
            "INSERT INTO hour (hour, sender, signals, residents) VALUES (?, ?, ?, ?) ON CONFLICT (hour, sender) "
            "DO UPDATE SET signals = signals + excluded.signals, residents = residents + excluded.residents",
            (hour, sender, count, added),
        )
    if signals:
        newest = max(hour for hour, _ in signals)
        connection.exec_driver_sql("DELETE FROM seen WHERE hour < ?", (newest - 1,))  # time in the log never goes back


def _insert(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    replace: bool = False,
    ignore: bool = False,
) -> int:
    """Insert rows, and return how many were added."""
    how = "INSERT OR REPLACE" if replace else "INSERT OR IGNORE" if ignore else "INSERT"
    return _many(
        connection,
        f"{how} INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
        [tuple(row) for row in rows],
    )


def _many(connection: Connection, sql: str, rows: Sequence[tuple[Any, ...]]) -> int:
    return connection.exec_driver_sql(sql, list(rows)).rowcount if rows else 0


def _parts(values: Iterable[int]) -> Iterable[tuple[int, ...]]:
    found = list(values)
    return (tuple(found[at : at + _AT_ONCE]) for at in range(0, len(found), _AT_ONCE))
