"""`regie ledger rebuild`: make the projections of a ledger again from its log, in one transaction.

The log itself is never touched, and must verify first. What the tables beside it say is compared with what the log
says, and only rows that differ are written: a sound ledger is left as it is, and the report counts what was wrong.
Crash before the commit: nothing happened; after it: everything did.

Rebuilt: ``public_event``, ``tile``, ``subject``, ``subject_entry``, ``task``, the copies in ``head``, and of ``permit``
all but the opening, which is no fact of the log: where it is lost, its signal is never delivered. Answers given
(``batch``, ``pull_nonce``, ``change``) and what is published are no projections: `regie log fsck` checks them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from consent_ledger.log.errors import VerificationError
from consent_ledger.statecodec import encode
from consent_ledger.storage.ports import Location
from consent_ledger.storage.repair import Row, Write, open_for_repair
from consent_ledger.storage.rows import pack_indices, unpack_indices
from consent_ledger.verify.database import verifiers_of
from consent_ledger.verify.erasures import Erasures
from consent_ledger.verify.exchanges import BatchKey, Permit
from consent_ledger.verify.facts import Facts
from consent_ledger.verify.log import Progress
from consent_ledger.verify.snapshot import Snapshot
from consent_ledger.verify.stored_permits import NO_INDEX
from consent_ledger.verify.walk import Walk, raising


class Table(NamedTuple):
    """A table to rebuild: the columns that are its key, and those that the log says."""

    name: str
    key: tuple[str, ...]
    told: tuple[str, ...]


HEAD = Table("head", ("id",), ("size", "root", "time_ms", "public_sequence"))
PUBLIC = Table("public_event", ("idx",), ())
TILE = Table("tile", ("level", "idx"), ("hash",))
SUBJECT = Table("subject", ("id",), ("seq", "last", "state", "recent"))
ENTRY = Table("subject_entry", ("subject", "idx"), ())
PERMIT = Table(
    "permit",
    ("header_hash", "position"),
    ("decided_idx", "opening", "subject", "released_idx", "withheld_idx", "acknowledged_idx", "outcome_idx"),
)
TASK = Table("task", ("idx",), ("organisation", "due_ms", "done_idx"))


@dataclass(slots=True)
class RebuildReport:
    """How many rows of each table were added, changed and removed; none anywhere: the tables were right."""

    size: int
    added: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    openings_lost: int = 0  # permits whose signal can no longer be delivered

    @property
    def written(self) -> int:
        """How many rows were written."""
        return sum(sum(of.values()) for of in (self.added, self.changed, self.removed))


def rebuild(location: Location, vkeys: str | Sequence[str], progress: Progress | None = None) -> RebuildReport:
    """Make the projections of a stopped ledger again; on PostgreSQL as the database's owner, while replicas wait.

    Raises VerificationError when the log does not check or payloads are lost (a backup is needed: nothing is written),
    RegieError LEDGER_UNAVAILABLE when the ledger is in use or cannot be written.
    """
    verifiers = verifiers_of(vkeys)
    with open_for_repair(location) as (source, write):
        snapshot = Snapshot(source)
        walk, facts = Walk(snapshot, verifiers, _but_projections), Facts(raising)
        erasures = Erasures.read(snapshot)
        for item in walk.items(progress):
            facts.add(item)
        walk.finish()
        erasures.check(walk.missing, _head_ms(walk, facts), raising)
        return _Rebuild(snapshot, write, walk, facts).run()


def _but_projections(error: Exception) -> None:
    """Raise what the log itself says wrong; its tiles and the head's copies are among what is made again."""
    if getattr(error, "table", "") not in {"tile", "head"}:
        raise error


def _head_ms(walk: Walk, facts: Facts) -> int:
    return walk.head.time_ms if facts.last_ms is None else facts.last_ms


class _Rebuild:
    """One run, inside its transaction."""

    def __init__(self, snapshot: Snapshot, write: Write, walk: Walk, facts: Facts) -> None:
        self._snapshot = snapshot
        self._write = write
        self._walk = walk
        self._facts = facts
        self._report = RebuildReport(walk.checkpoint.size)

    def run(self) -> RebuildReport:
        """Compare and write table after table."""
        checkpoint, facts = self._walk.checkpoint, self._facts
        time_ms = _head_ms(self._walk, facts)
        self._table(HEAD, {(1,): (checkpoint.size, checkpoint.root, time_ms, len(facts.public))})
        self._table(PUBLIC, {(index,): () for index in facts.public})
        self._table(TILE, {place: (value,) for place, value in self._walk.replay.tiles.items()})
        packed = {key: pack_indices(unpack_indices(bytes(one.indices))) for key, one in facts.subjects.all.items()}
        subjects = facts.subjects.all.items()
        self._table(
            SUBJECT,
            {(key,): (one.seq, one.last, encode(one.state), packed[key][0]) for key, one in subjects},
        )
        self._table(ENTRY, {(key, index): () for key, (_, older) in packed.items() for index in older})
        self._table(PERMIT, self._permits())
        tasks = facts.tasks.all.items()
        self._table(
            TASK,
            {(i,): (t.organisation.encode(), t.due_ms, None if t.done < 0 else t.done) for i, t in tasks},
        )
        return self._report

    def _permits(self) -> dict[Row, Row]:
        """Return the permits of the log by their key; those whose decision was erased stay as empty as they are."""
        names = {(_text(sender), batch_id): header for header, sender, batch_id in self._batches()}
        stored = list(self._snapshot.table("permit", (*PERMIT.key, *PERMIT.told)))
        told: dict[Row, Row] = {row[:2]: row[2:] for row in stored if row[2] == NO_INDEX}
        by_key = {row[:2]: row[3] for row in stored}
        by_decision = {row[2]: row[3] for row in stored}  # of a row that is found under a wrong key
        for permit in self._facts.exchanges.permits.values():
            batch: BatchKey = (permit.asked.request.sender, permit.batch_id)
            if batch not in names:
                raise VerificationError(f"batch {batch[0]}/{batch[1].hex()}: its row is lost, and permits hang on it")
            key = (names[batch], permit.position)
            if key not in by_key and permit.decided not in by_decision:
                self._report.openings_lost += permit.withheld < 0
            told[key] = _became(permit, by_key.get(key) or by_decision.get(permit.decided))
        return told

    def _batches(self) -> Iterator[Row]:
        columns = ("header_hash", "sender", "batch_id")
        return self._snapshot.table("batch", columns, text=frozenset({"sender"}))

    def _table(self, table: Table, told: Mapping[Row, Row]) -> None:
        """Make a table say what the log tells, row by row where it differs."""
        width, missing = len(table.key), dict(told)
        changed: list[Row] = []
        removed: list[Row] = []
        for row in list(self._snapshot.table(table.name, (*table.key, *table.told))):
            key, values = row[:width], row[width:]
            if key not in told:
                removed.append(key)
            elif missing.pop(key) != values:
                changed.append((*told[key], *key))
        where = " AND ".join(f"{column} = ?" for column in table.key)
        places = ", ".join(["?"] * (width + len(table.told)))
        sets = ", ".join(f"{column} = ?" for column in table.told)
        columns = ", ".join((*table.key, *table.told))
        self._run(f"DELETE FROM {table.name} WHERE {where}", removed, self._report.removed, table)  # noqa: S608  (our own names)
        self._run(f"UPDATE {table.name} SET {sets} WHERE {where}", changed, self._report.changed, table)  # noqa: S608  (our own names)
        added = [(*key, *values) for key, values in missing.items()]
        self._run(f"INSERT INTO {table.name} ({columns}) VALUES ({places})", added, self._report.added, table)  # noqa: S608  (our own names)

    def _run(self, sql: str, rows: Sequence[Row], counts: dict[str, int], table: Table) -> None:
        if rows:
            self._write(sql, rows)
            counts[table.name] = len(rows)


def _became(permit: Permit, opening: bytes | None) -> Row:
    """Return the columns of a permit; v_i of what was withheld is for nobody any more."""
    became = (permit.released, permit.withheld, permit.acknowledged, permit.outcome)
    kept = None if permit.withheld >= 0 else opening
    return permit.decided, kept, permit.subject, *(None if index < 0 else index for index in became)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
