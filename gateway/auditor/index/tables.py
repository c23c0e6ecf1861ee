"""What the console keeps of the log: facts about organisations and numbers, and residents only as keyed numbers.

``resident`` is HMAC(audit.key, subject) of 16 bytes everywhere; what a page shows is made of it and of the case
(``pseudonyms.py``). Indices are log indices, times Unix milliseconds, days numbers of Dutch days since 1970-01-01.
"""

from __future__ import annotations

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field

from gateway.database import Stored


class Progress(Stored, table=True):
    """How far the log is folded, in one row: the tree, and the newest checkpoint that was verified."""

    __tablename__ = "progress"
    id: int = Field(default=1, primary_key=True)
    size: int = 0  # leaves folded
    frontier: bytes = b""  # log.tiles.Frontier.pack
    head_size: int = 0
    head_root: bytes = b""
    checkpoint: str = ""  # the note with that head
    time_ms: int = 0  # of the newest event that was opened
    seen_ms: int = 0  # when the ledger last answered
    decided: int = 0
    opened: int = 0
    public: int = 0
    gone: int = 0  # committed leaves that nobody opens any more, or not for us


class Finding(Stored, table=True):
    """Something that must never be: a log that went back or forked, or an entry that does not open."""

    __tablename__ = "finding"
    id: int | None = Field(default=None, primary_key=True)
    found_ms: int
    kind: str  # went_back | forked | unproven | unreadable | unopenable
    idx: int | None = None
    old_size: int = 0
    old_root: bytes = b""
    checkpoint: str = ""  # the note that contradicts
    stops: bool = True


class Route(Stored, table=True):
    """From whom to whom, for what, with which data."""

    __tablename__ = "route"
    __table_args__ = (UniqueConstraint("sender", "recipient", "purpose", "version", "items"),)
    id: int | None = Field(default=None, primary_key=True)
    sender: str
    recipient: str
    purpose: str
    version: int
    items: str  # sorted names with a space between


class Cell(Stored, table=True):
    """A cube: how many exchanges of one day, route, reason and state; of these ``erased`` are in no list any more."""

    __tablename__ = "cell"
    __table_args__ = (UniqueConstraint("day", "route", "reason", "state"), Index("cell_by_route", "route", "day"))
    id: int | None = Field(default=None, primary_key=True)
    day: int
    route: int
    reason: int  # consent_ledger.v1 Reason; of what was stopped at delivery the reason for stopping
    state: int  # states.py
    count: int = 0
    erased: int = 0


class Exchange(Stored, table=True):
    """One decision, and what became of it. ``cell`` says day, route, reason and state."""

    __tablename__ = "exchange"
    __table_args__ = (Index("exchange_by_cell", "cell", "idx"), Index("exchange_by_resident", "resident", "idx"))
    idx: int = Field(primary_key=True)
    time_ms: int
    cell: int
    resident: bytes
    outcome: int  # what the sender was told
    trace_id: bytes
    decided_by: str  # log indices with a space between
    released_idx: int | None = None
    released_ms: int | None = None
    withheld_idx: int | None = None
    withheld_ms: int | None = None
    acked_idx: int | None = None
    acked_ms: int | None = None
    outcome_idx: int | None = None
    outcome_ms: int | None = None
    channel: int = 0
    deviations: str = ""  # numbers of Deviation with a space between


class Followed(Stored, table=True):
    """Which decision a release belongs to: what comes later names the release."""

    __tablename__ = "followed"
    __table_args__ = (Index("followed_by_exchange", "exchange"),)
    released_idx: int = Field(primary_key=True)
    exchange: int


class About(Stored, table=True):
    """Which entries are about a resident, with their places in that resident's chain."""

    __tablename__ = "about"
    __table_args__ = ({"sqlite_with_rowid": False},)
    resident: bytes = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    idx: int = Field(primary_key=True, index=True)  # two entries at one place would be wrong, and show


class Hour(Stored, table=True):
    """Of one sender in one hour (since 1970, UTC): signals, and distinct residents."""

    __tablename__ = "hour"
    hour: int = Field(primary_key=True)
    sender: str = Field(primary_key=True)
    signals: int = 0
    residents: int = 0


class Seen(Stored, table=True):
    """Residents already counted in the newest hours; older rows are deleted."""

    __tablename__ = "seen"
    __table_args__ = ({"sqlite_with_rowid": False},)
    hour: int = Field(primary_key=True)
    sender: str = Field(primary_key=True)
    resident: bytes = Field(primary_key=True)


class Act(Stored, table=True):
    """A choice as it was recorded, or an attempt that was refused (``refused`` names why)."""

    __tablename__ = "act"
    __table_args__ = (Index("act_by_via", "via", "by", "idx"),)
    idx: int = Field(primary_key=True)
    time_ms: int
    kind: str  # name of the event's field, for example consent_granted; of an attempt the field of Change
    via: int  # CapturedVia
    by: str  # staff: their number; "" for others
    resident: bytes
    sender: str = ""
    recipient: str = ""
    purpose: str = ""
    mode: int = 0
    proven: bool = False  # with a code that was sent to the resident
    language: str = ""
    confirmed_idx: int | None = None  # the resident confirmed it afterwards
    refused: str = ""


class Task(Stored, table=True):
    """What an organisation is asked to do: answer a question, or stop using data."""

    __tablename__ = "task"
    __table_args__ = (Index("task_open", "done_idx", "due_ms"),)
    idx: int = Field(primary_key=True)
    time_ms: int
    kind: str  # question | stop_use
    organisation: str
    purpose: str
    about_idx: int | None  # the decision (question) or the first release (stop_use)
    resident: bytes
    due_ms: int
    done_idx: int | None = None
    done_ms: int | None = None
    how: int = 0  # StopUse


class Access(Stored, table=True):
    """An auditor looked at something, or took it out."""

    __tablename__ = "access"
    idx: int = Field(primary_key=True)
    time_ms: int
    auditor: str
    person: str
    matter: str  # the case
    page: str
    act: int  # AuditAct
    query: bytes
    about_idx: int | None = None


class Growth(Stored, table=True):
    """How many entries of a kind a day brought; kind "gone" for what nobody opens, "public.<kind>" for public ones."""

    __tablename__ = "growth"
    day: int = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    count: int = 0


class Erased(Stored, table=True):
    """An entry that the log says was erased, and on what ground."""

    __tablename__ = "erased"
    idx: int = Field(primary_key=True)
    announced_idx: int
    ground: str


class SeenHead(Stored, table=True):
    """A checkpoint that was verified; the newest are kept."""

    __tablename__ = "head"
    size: int = Field(primary_key=True)
    root: bytes
    seen_ms: int
    checkpoint: str


TABLES: tuple[type[Stored], ...] = (
    *(Progress, Finding, Route, Cell, Exchange, Followed, About, Hour, Seen),
    *(Act, Task, Access, Growth, Erased, SeenHead),
)
