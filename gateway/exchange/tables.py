"""Tables of the gateway's database. Nothing here can be opened by the gateway: ciphertexts, and boxes for others.

X, Y, toT2, toL and E_L are never stored: with recorded keys they would be worth stealing (pseudonyms.md rule 7).
"""

from __future__ import annotations

from sqlalchemy import Column, Index, LargeBinary, Text, text
from sqlmodel import Field

from gateway.database import NUMBER, Stored, table_of
from gateway.evaluator.stores import Once, Quota


class Answer(Stored, table=True):
    """A batch that was decided, and the answer its sender got: the same bytes get the same answer again."""

    __tablename__ = "answer"
    __table_args__ = {"sqlite_strict": True, "sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's form

    sender: str = Field(sa_column=Column(Text, primary_key=True))
    batch_id: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    request_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    expires_ms: int = Field(sa_column=Column(NUMBER, nullable=False, index=True))
    decision_list: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    ledger_signature: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class Waiting(Stored, table=True):
    """The permitted signals of one batch; lists in the order of ``positions``, fixed sizes, as on the wire."""

    __tablename__ = "waiting"
    __table_args__ = (
        Index("waiting_offers", "recipient", "number"),
        Index("waiting_expiry", "expires_ms"),
        Index(
            "waiting_open",
            "expires_ms",
            "permitted",
            "acknowledged_ms",
            sqlite_where=text("acknowledged_ms IS NULL"),
            postgresql_where=text("acknowledged_ms IS NULL"),
        ),
        {"sqlite_strict": True},
    )

    number: int | None = Field(default=None, sa_column=Column(NUMBER, primary_key=True))
    header_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    recipient: str = Field(sa_column=Column(Text, nullable=False))
    header: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    sealed_recipient: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    sealed_viewer: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    signature_recipient: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    root: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    permitted: int = Field(sa_column=Column(NUMBER, nullable=False))
    ciphertext_size: int = Field(sa_column=Column(NUMBER, nullable=False))
    positions: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    commitments: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    ciphertexts: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    paths: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    evaluated: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    expires_ms: int = Field(sa_column=Column(NUMBER, nullable=False))
    retain_until_ms: int = Field(sa_column=Column(NUMBER, nullable=False))
    leased_until_ms: int = Field(default=0, sa_column=Column(NUMBER, nullable=False))
    delivered_ms: int | None = Field(default=None, sa_column=Column(NUMBER))
    acknowledged_ms: int | None = Field(default=None, sa_column=Column(NUMBER))
    traceparent: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=""))


class Unresolved(Stored, table=True):
    """What a recipient reported once about one purpose and closed UTC day, with the signed bytes it said it in."""

    __tablename__ = "unresolved"
    __table_args__ = {"sqlite_strict": True, "sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's form

    recipient: str = Field(sa_column=Column(Text, primary_key=True))
    purpose: str = Field(sa_column=Column(Text, primary_key=True))
    day: int = Field(sa_column=Column(NUMBER, primary_key=True, autoincrement=False))
    unresolved: int = Field(sa_column=Column(NUMBER, nullable=False))
    report: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    signature: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class Asked(Stored, table=True):
    """How many signals one sender sent in one hour (UTC, since 1970), and what became of them."""

    __tablename__ = "asked"
    __table_args__ = {"sqlite_strict": True, "sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's form

    sender: str = Field(sa_column=Column(Text, primary_key=True))
    hour: int = Field(sa_column=Column(NUMBER, primary_key=True, autoincrement=False))
    asked: int = Field(default=0, sa_column=Column(NUMBER, nullable=False, default=0))
    pending: int = Field(default=0, sa_column=Column(NUMBER, nullable=False, default=0))
    refused: int = Field(default=0, sa_column=Column(NUMBER, nullable=False, default=0))
    turned_away: int = Field(default=0, sa_column=Column(NUMBER, nullable=False, default=0))


TABLES = (Answer, Waiting, Once, Quota, Unresolved, Asked)
ANSWER, WAITING, UNRESOLVED = table_of(Answer), table_of(Waiting), table_of(Unresolved)
ASKED = table_of(Asked)
