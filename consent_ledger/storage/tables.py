"""The ledger's tables (ledger.md, "The write path").

Everything beside ``leaf`` and ``payload`` is a projection or a memory of answers given; all of it changes only in the
sequencer's transaction.

SQLModel validates nothing for ``table=True`` classes: they are the schema, and hot paths use Core with tuples.
"""

from typing import Any, ClassVar

from sqlalchemy import ForeignKey, Index, LargeBinary, Text, UniqueConstraint
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

_STRICT: dict[str, Any] = {"sqlite_strict": True}
# Small rows, found by their key: one tree instead of two. Not for tables that hold whole answers.
_KEYED: dict[str, Any] = {"sqlite_strict": True, "sqlite_with_rowid": False}


class LedgerTable(SQLModel, registry=registry()):
    """Base of the ledger's tables: its metadata holds these and no other."""


class Leaf(LedgerTable, table=True):
    """The log itself. Append-only by trigger."""

    __tablename__: ClassVar[Any] = "leaf"
    __table_args__: ClassVar[Any] = _STRICT
    idx: int = Field(primary_key=True)
    entry: bytes
    hash: bytes


class Payload(LedgerTable, table=True):
    """What opens a committed leaf. Erasable (a row may be deleted), never changed."""

    __tablename__: ClassVar[Any] = "payload"
    __table_args__: ClassVar[Any] = _STRICT
    idx: int = Field(primary_key=True)
    salt: bytes
    event: bytes
    private: bytes  # PrivatePart bytes


class Tile(LedgerTable, table=True):
    """Hashes above the leaves: (level >= 1, idx) is the root of full tile ``idx`` one level down. Append-only."""

    __tablename__: ClassVar[Any] = "tile"
    __table_args__: ClassVar[Any] = _KEYED
    level: int = Field(primary_key=True)
    idx: int = Field(primary_key=True)
    hash: bytes


class Head(LedgerTable, table=True):
    """One row: the size and root that the stored checkpoint signs. Neither size nor time ever goes back."""

    __tablename__: ClassVar[Any] = "head"
    __table_args__: ClassVar[Any] = _STRICT
    id: int = Field(primary_key=True)
    size: int
    root: bytes
    time_ms: int
    checkpoint: str = Field(sa_type=Text)
    public_sequence: int


class PublicIndex(LedgerTable, table=True):
    """Which leaves hold public events, so that finding them is no scan."""

    __tablename__: ClassVar[Any] = "public_event"
    __table_args__: ClassVar[Any] = _STRICT
    idx: int = Field(primary_key=True)


class Subject(LedgerTable, table=True):
    """Per subject the head of its chain, its folded state (state.py), and its newest log indices (rows.SubjectRow)."""

    __tablename__: ClassVar[Any] = "subject"
    __table_args__: ClassVar[Any] = _KEYED
    id: bytes = Field(primary_key=True, sa_type=LargeBinary)
    seq: int
    last: bytes
    state: bytes
    recent: bytes


class SubjectEntry(LedgerTable, table=True):
    """Which leaves belong to a subject, but for those in ``Subject.recent``: they come here many at a time."""

    __tablename__: ClassVar[Any] = "subject_entry"
    __table_args__: ClassVar[Any] = _KEYED
    subject: bytes = Field(primary_key=True, sa_type=LargeBinary)
    idx: int = Field(primary_key=True)


class Batch(LedgerTable, table=True):
    """A decided batch and the answer it got; the answer is given again for the same bytes until the batch expires."""

    __tablename__: ClassVar[Any] = "batch"
    __table_args__: ClassVar[Any] = (UniqueConstraint("sender", "batch_id"), _STRICT)
    header_hash: bytes = Field(primary_key=True, sa_type=LargeBinary)
    sender: str = Field(sa_type=Text)
    batch_id: bytes
    recipient: str = Field(sa_type=Text)
    purpose: str = Field(sa_type=Text)
    request_hash: bytes
    header: bytes
    root: bytes
    response: bytes  # DecideResponse bytes
    expires_ms: int = Field(index=True)


class Permit(LedgerTable, table=True):
    """A permitted position. ``opening`` is v_i; it goes when the release is refused or the batch expires unreleased."""

    __tablename__: ClassVar[Any] = "permit"
    __table_args__: ClassVar[Any] = _KEYED
    header_hash: bytes = Field(primary_key=True, sa_type=LargeBinary)
    position: int = Field(primary_key=True)
    decided_idx: int
    opening: bytes | None = None
    subject: bytes
    released_idx: int | None = None
    withheld_idx: int | None = None
    acknowledged_idx: int | None = None
    outcome_idx: int | None = None


class PullNonce(LedgerTable, table=True):
    """The answer to one pull: once per batch and nonce (pseudonyms.md, rule 8)."""

    __tablename__: ClassVar[Any] = "pull_nonce"
    __table_args__: ClassVar[Any] = _STRICT
    header_hash: bytes = Field(primary_key=True, sa_type=LargeBinary, sa_column_args=[ForeignKey("batch.header_hash")])
    nonce: bytes = Field(primary_key=True, sa_type=LargeBinary)
    request_hash: bytes
    response: bytes  # ReleaseResponse bytes
    expires_ms: int = Field(index=True)


class Change(LedgerTable, table=True):
    """The answer to one recorded change or outcome report, given again for the same id and bytes."""

    __tablename__: ClassVar[Any] = "change"
    __table_args__: ClassVar[Any] = _KEYED
    change_id: bytes = Field(primary_key=True, sa_type=LargeBinary)
    request_hash: bytes
    result: bytes
    idx: int = Field(default=-1, index=True, sa_column_kwargs={"server_default": "-1"})  # erased with its entry


class Erasure(LedgerTable, table=True):
    """An entry that is erased and waits, with those of others, to be announced in the log (EntryErased)."""

    __tablename__: ClassVar[Any] = "erasure"
    __table_args__: ClassVar[Any] = _STRICT
    idx: int = Field(primary_key=True)
    ground: str = Field(sa_type=Text)
    first: int
    erased_ms: int


class Task(LedgerTable, table=True):
    """What organisations are asked to do (questions, stop-use notices): ``idx`` is the leaf that asks, and opens it."""

    __tablename__: ClassVar[Any] = "task"
    __table_args__: ClassVar[Any] = (Index("ix_task_organisation", "organisation", "idx"), _STRICT)
    idx: int = Field(primary_key=True)
    organisation: bytes
    due_ms: int
    done_idx: int | None = None


class Published(LedgerTable, table=True):
    """One row: the newest checkpoint that a quorum of witnesses cosigned, with their lines. Not a projection."""

    __tablename__: ClassVar[Any] = "published"
    __table_args__: ClassVar[Any] = _STRICT
    id: int = Field(primary_key=True)
    size: int
    note: str = Field(sa_type=Text)
    cosigned_ms: int


# I6: never a smaller size, never an earlier time, never two roots for one size.
_HEAD_ONLY_FORWARD = """
CREATE TRIGGER head_only_forward BEFORE UPDATE ON head
WHEN NEW.size < OLD.size OR NEW.time_ms < OLD.time_ms OR (NEW.size = OLD.size AND NEW.root <> OLD.root)
BEGIN SELECT RAISE(ABORT, 'the head of the log only moves forward'); END
"""

TRIGGERS: tuple[str, ...] = (
    *(
        f"CREATE TRIGGER {table}_no_{action} BEFORE {action} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table, action in (
            ("leaf", "UPDATE"),
            ("leaf", "DELETE"),
            ("tile", "UPDATE"),
            ("tile", "DELETE"),
            ("public_event", "UPDATE"),
            ("public_event", "DELETE"),
            ("payload", "UPDATE"),
            ("head", "DELETE"),
        )
    ),
    _HEAD_ONLY_FORWARD,
)
"""A seat-belt below the code: with recursive_triggers=ON also INSERT OR REPLACE does not get past it."""
