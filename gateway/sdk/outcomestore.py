"""What a recipient reported about its deliveries, kept beside its inbox: reported once, and exported from here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, Connection, UniqueConstraint, delete, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlmodel import Field

from gateway.database import Database, Stored, table_of
from gateway.home import Organisation
from gateway.sdk import inbox
from gateway.sdk.local import local_database

PENDING = 0


class ReportedOutcome(Stored, table=True):
    """One report. Until the ledger answered, ``request`` holds its bytes: the same bytes are recorded once."""

    __tablename__ = "reported_outcome"
    __table_args__ = (UniqueConstraint("header_hash", "position", "content"),)
    number: int | None = Field(default=None, primary_key=True)
    header_hash: bytes
    position: int
    content: bytes  # SHA-256 of what it says
    when_ms: int
    channel: str
    result: str
    reached: bool | None
    part_of_day: str
    request: bytes
    log_index: int = PENDING


_REPORTS = table_of(ReportedOutcome)


@dataclass(frozen=True, slots=True)
class Reported:
    """A report, as far as it matters afterwards."""

    header_hash: bytes
    position: int
    when_ms: int
    channel: str
    result: str
    reached: bool | None
    part_of_day: str
    log_index: int


@contextmanager
def outcome_database(organisation: Organisation) -> Iterator[Database]:
    """Open the inbox with its reports; also while another process receives."""
    with local_database(organisation, "inbox", (*inbox.TABLES, ReportedOutcome)) as database:
        yield database


def claim(connection: Connection, report: Reported, content: bytes, request: bytes) -> tuple[bytes, int]:
    """Store a report before it is sent; returns its request's bytes, and the log index when it was answered before."""
    values = {**asdict(report), "content": content, "request": request}
    connection.execute(insert(_REPORTS).values(values).on_conflict_do_nothing())
    row = connection.execute(select(_REPORTS).where(_same(report, content))).one()
    return row.request, row.log_index


def answered(connection: Connection, report: Reported, content: bytes, log_index: int) -> None:
    """Note where the log holds a report; its bytes are not needed any more."""
    connection.execute(update(_REPORTS).where(_same(report, content)).values(log_index=log_index, request=b""))


def drop(connection: Connection, report: Reported, content: bytes) -> None:
    """Forget a report that was refused."""
    connection.execute(delete(_REPORTS).where(_same(report, content)))


def _same(report: Reported, content: bytes) -> ColumnElement[bool]:
    columns = _REPORTS.c
    named = (columns.header_hash == report.header_hash) & (columns.position == report.position)
    return named & (columns.content == content)


def all_reported(connection: Connection) -> dict[tuple[bytes, int], list[Reported]]:
    """Return what was recorded in the log, by batch and position, in order of time."""
    query = select(*(_REPORTS.c[name] for name in Reported.__dataclass_fields__))
    query = query.where(_REPORTS.c.log_index != PENDING).order_by(_REPORTS.c.when_ms, _REPORTS.c.number)
    found: dict[tuple[bytes, int], list[Reported]] = {}
    for row in connection.execute(query):
        report = Reported(*row)
        found.setdefault((report.header_hash, report.position), []).append(report)
    return found
