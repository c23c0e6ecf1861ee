"""What an evaluator remembers on disk: requests seen, quota used, and the public values it holds T1 to.

Every function works inside the caller's transaction, so that claiming and charging succeed or fail together.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Literal

from sqlalchemy import Column, Connection, Insert, LargeBinary, Text, bindparam, delete, select
from sqlmodel import Field

from consent_ledger.errors import RegieError
from gateway.database import NUMBER, Stored, confirm, insert_for, insert_into, table_of, wrote
from gateway.telemetry.logs import get_logger

KEEP_AFTER_EXPIRY_MS = 3_600_000
"""Requests are remembered past their expiry for as long as clocks may plausibly jump back."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that counts once: its kind, who made it, its id among that party's, and a hash of its bytes."""

    kind: Literal["signals", "rows"]
    party: str
    id: bytes
    hash: bytes
    expires_ms: int


class Once(Stored, table=True):
    """A request that was accepted: the same id with other bytes is an attack or a broken client."""

    __tablename__ = "once"
    __table_args__ = {"sqlite_strict": True, "sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's form

    kind: str = Field(sa_column=Column(Text, primary_key=True))
    party: str = Field(sa_column=Column(Text, primary_key=True))
    id: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    request_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    expires_ms: int = Field(sa_column=Column(NUMBER, nullable=False, index=True))


class Quota(Stored, table=True):
    """How much an account used in a period."""

    __tablename__ = "quota"
    __table_args__ = {"sqlite_strict": True, "sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's form

    account: str = Field(sa_column=Column(Text, primary_key=True))
    period: int = Field(sa_column=Column(NUMBER, primary_key=True, autoincrement=False))
    used: int = Field(sa_column=Column(NUMBER, nullable=False))


class Pin(Stored, table=True):
    """The public value S_1,d that T1 first showed in a domain."""

    __tablename__ = "pin"
    __table_args__ = {"sqlite_strict": True, "sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's form

    domain: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    public: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


TABLES = (Once, Quota, Pin)
_ONCE, _QUOTA, _PIN = table_of(Once), table_of(Quota), table_of(Pin)


_CLAIMED_BEFORE = select(_ONCE.c.request_hash).where(
    _ONCE.c.kind == bindparam("of_kind"), _ONCE.c.party == bindparam("of_party"), _ONCE.c.id == bindparam("of_id")
)


@cache
def _claimed(dialect: str) -> Insert:
    return insert_for(dialect, _ONCE).on_conflict_do_nothing()


@cache
def _charged(dialect: str) -> Insert:
    row = insert_for(dialect, _QUOTA).values(account=bindparam("to"), period=bindparam("in"), used=bindparam("amount"))
    # Computed and compared where it is stored: replicas charge side by side.
    after = _QUOTA.c.used + bindparam("amount")
    return row.on_conflict_do_update(
        index_elements=["account", "period"], set_={"used": after}, where=after <= bindparam("most")
    )


def claim(connection: Connection, request: Request) -> bool:
    """Remember a request until it expires; True when it is new, False when the same bytes were seen.

    Raises RegieError BATCH_ID_REUSED, and alarms, when the id came with other bytes (pseudonyms.md rule 1).
    """
    row = {
        "kind": request.kind,
        "party": request.party,
        "id": request.id,
        "request_hash": request.hash,
        "expires_ms": request.expires_ms,
    }
    if wrote(connection, _claimed(connection.dialect.name), row):  # another replica may claim it at this moment
        return True
    same = {"of_kind": request.kind, "of_party": request.party, "of_id": request.id}
    if connection.execute(_CLAIMED_BEFORE, same).scalar_one() != request.hash:
        raise reused(request)
    confirm(connection)
    return False


def reused(request: Request) -> RegieError:
    """Alarm, and return the refusal of an id that came again with other bytes."""
    get_logger().error(
        "ALARM: id reused with other content", oin=request.party, method=request.kind, reason="BATCH_ID_REUSED"
    )
    return RegieError("BATCH_ID_REUSED", "this id was used before for a request with other content")


@dataclass(frozen=True, slots=True)
class Charge:
    """How much to charge to which account; at most ``most`` in one period. What fits ``free`` is charged there."""

    account: str
    period: int
    amount: int
    most: int
    free: Charge | None = None


def claim_and_charge(connection: Connection, request: Request, cost: Charge) -> None:
    """Claim a request and charge it the first time it is seen; raises RegieError as both."""
    if claim(connection, request):
        charge(connection, cost)


def charge(connection: Connection, to: Charge) -> None:
    """Charge an account; raises RegieError QUOTA_EXCEEDED when it would use more than ``most`` in this period."""
    if to.free is not None:
        with suppress(RegieError):
            charge(connection, to.free)
            return
    if to.amount <= to.most:
        row = {"to": to.account, "in": to.period, "amount": to.amount, "most": to.most}
        if wrote(connection, _charged(connection.dialect.name), row):
            return
    at = (_QUOTA.c.account == to.account) & (_QUOTA.c.period == to.period)
    used = connection.execute(select(_QUOTA.c.used).where(at)).scalar_one_or_none() or 0
    raise RegieError(
        "QUOTA_EXCEEDED", f"expected at most {to.most} in this period, got {used} used and {to.amount} more"
    )


def pin(connection: Connection, domain: bytes, public: bytes) -> None:
    """Hold an evaluator to the public value it first showed in a domain; raises RegieError PROOF_INVALID and alarms."""
    row = insert_into(connection, _PIN).values(domain=domain, public=public)
    if wrote(connection, row.on_conflict_do_nothing()):
        return
    if connection.execute(select(_PIN.c.public).where(_PIN.c.domain == domain)).scalar_one() != public:
        get_logger().error("ALARM: the gateway's public value of a domain changed", reason="PROOF_INVALID")
        raise RegieError("PROOF_INVALID", "expected the public value seen before in this domain, got another")


def forget_expired(connection: Connection, now_ms: int) -> None:
    """Drop requests that expired long enough ago that freshness refuses them."""
    connection.execute(delete(_ONCE).where(_ONCE.c.expires_ms < now_ms - KEEP_AFTER_EXPIRY_MS))
