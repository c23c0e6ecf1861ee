"""The sealed inbox: what is kept of a decided batch, for whom, and until when.

Every function works inside the caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Connection, Insert, Row, Select, bindparam, delete, func, select, update

from consent_ledger.errors import RegieError
from consent_ledger.hashing import sha256
from gateway.crypto.batch import SealedCopy
from gateway.database import confirm, insert_for, notify, wrote
from gateway.evaluator.stores import KEEP_AFTER_EXPIRY_MS, Request, forget_expired, reused
from gateway.exchange import refusals
from gateway.exchange.tables import ANSWER, WAITING

_OFFERED = WAITING.c.acknowledged_ms.is_(None)


@dataclass(frozen=True, slots=True)
class Answered:
    """What a sender was told: DecisionList bytes and the ledger's signature."""

    decision_list: bytes
    ledger_signature: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """The permitted signals of a batch, lists in the order of ``positions``."""

    header_hash: bytes
    recipient: str
    header: bytes
    sealed_recipient: bytes = field(repr=False)
    sealed_viewer: bytes = field(repr=False)
    signature_recipient: bytes = field(repr=False)
    root: bytes
    permitted: int
    ciphertext_size: int
    positions: bytes = field(repr=False)
    commitments: bytes = field(repr=False)
    ciphertexts: bytes = field(repr=False)
    paths: bytes = field(repr=False)
    evaluated: bytes = field(repr=False)
    expires_ms: int
    retain_until_ms: int
    traceparent: str = ""

    @property
    def delivered_size(self) -> int:
        """Upper bound of the bytes of its delivery, the ledger's release included (contracts.md, ReleaseContent)."""
        path = len(self.paths) // max(1, self.permitted)
        item = self.ciphertext_size + path + 32 + 32 + 32
        return 16_384 + len(self.header) + len(self.sealed_recipient) + self.permitted * (item + 3072)


@dataclass(frozen=True, slots=True)
class Offered:
    """A batch that is offered to its recipient and leased until a time (ms)."""

    header: bytes
    permitted: int
    leased_until_ms: int
    traceparent: str = ""


_COLUMNS = [WAITING.c[name] for name in Kept.__dataclass_fields__]


_ANSWERED = select(ANSWER.c.request_hash, ANSWER.c.decision_list, ANSWER.c.ledger_signature).where(
    ANSWER.c.sender == bindparam("of"), ANSWER.c.batch_id == bindparam("named")
)


@cache
def _told(dialect: str) -> Insert:
    return insert_for(dialect, ANSWER).on_conflict_do_nothing()


@cache
def _kept(dialect: str) -> Insert:
    return insert_for(dialect, WAITING).on_conflict_do_nothing()


def find_answer(connection: Connection, request: Request) -> Answered | None:
    """Return the answer given before to the same bytes; raises RegieError BATCH_ID_REUSED when they were others."""
    found = connection.execute(_ANSWERED, {"of": request.party, "named": request.id}).one_or_none()
    if found is None:
        return None
    if found.request_hash != request.hash:
        raise reused(request)
    confirm(connection)
    return Answered(found.decision_list, found.ledger_signature)


def store(
    connection: Connection,
    request: Request,
    answer: Answered,
    kept: Kept | None,
) -> bool:
    """Store the answer and the permitted signals together; tells whether they were not there yet.

    A crash before this leaves a batch that only the ledger knows; its sender sends the same bytes again, the ledger
    gives the same decisions again, and this runs then. A crash after it: the stored answer is given.
    """
    told = {
        "sender": request.party,
        "batch_id": request.id,
        "request_hash": request.hash,
        "expires_ms": request.expires_ms,
        "decision_list": answer.decision_list,
        "ledger_signature": answer.ledger_signature,
    }
    stored = wrote(connection, _told(connection.dialect.name), told)
    if not stored:
        confirm(connection)
    if kept is not None:
        values = {name: getattr(kept, name) for name in Kept.__dataclass_fields__}
        connection.execute(_kept(connection.dialect.name), {**values, "leased_until_ms": 0})
        notify(connection, kept.recipient)  # it may wait at another replica
    return stored


def lease(connection: Connection, recipient: str, most: int, now_ms: int, lease_ms: int) -> list[Offered]:
    """Lease up to ``most`` waiting batches, oldest first; one whose lease ran out is offered again."""
    free = (WAITING.c.recipient == recipient) & _OFFERED
    free &= (WAITING.c.leased_until_ms <= now_ms) & (WAITING.c.expires_ms > now_ms)
    found = connection.execute(
        select(WAITING.c.number, WAITING.c.header, WAITING.c.permitted, WAITING.c.traceparent)
        .where(free)
        .order_by(WAITING.c.number)
        .limit(most)
        .with_for_update(skip_locked=True)  # what another replica leases at this moment is not free (a file: no such)
    ).all()
    until = now_ms + lease_ms
    numbers = [row.number for row in found]
    connection.execute(update(WAITING).where(WAITING.c.number.in_(numbers)).values(leased_until_ms=until))
    return [Offered(row.header, row.permitted, until, row.traceparent) for row in found]


def count_waiting(connection: Connection, now_ms: int) -> int:
    """Return how many signals wait for their recipients."""
    return int(connection.execute(waiting_query(now_ms)).scalar_one() or 0)


def waiting_query(now_ms: int) -> Select[int]:
    """Return the query for it: one index answers it, since rows are as large as their ciphertexts."""
    return select(func.sum(WAITING.c.permitted)).where(_OFFERED & (WAITING.c.expires_ms > now_ms))


def first_expiry(connection: Connection, now_ms: int) -> int | None:
    """Return when the first of the signals that wait is gone (ms), or None when nothing waits."""
    waits = _OFFERED & (WAITING.c.expires_ms > now_ms) & (WAITING.c.permitted > 0)
    found = connection.execute(select(func.min(WAITING.c.expires_ms)).where(waits)).scalar_one()
    return None if found is None else int(found)


def next_lease_end(connection: Connection, recipient: str, now_ms: int) -> int | None:
    """Return when the first lease of a recipient runs out (ms), or None when nothing is leased."""
    leased = (WAITING.c.recipient == recipient) & _OFFERED & (WAITING.c.expires_ms > now_ms)
    row = connection.execute(
        select(WAITING.c.leased_until_ms).where(leased).order_by(WAITING.c.leased_until_ms).limit(1)
    ).one_or_none()
    return None if row is None else int(row.leased_until_ms)


def read(connection: Connection, recipient: str, header_hash: bytes, now_ms: int) -> Kept:
    """Return a batch that waits for this recipient; raises RegieError BATCH_UNKNOWN, the same for another's batch."""
    row = _find(connection, recipient, header_hash)
    if row is None or row.acknowledged_ms is not None or row.expires_ms <= now_ms:
        raise unknown()
    return Kept(*row[: len(_COLUMNS)])


def mark_delivered(connection: Connection, header_hash: bytes, now_ms: int, lease_ms: int) -> None:
    """Note that the ledger released a batch, and give its recipient time to store it."""
    values = {"delivered_ms": now_ms, "leased_until_ms": now_ms + lease_ms}
    connection.execute(update(WAITING).where(WAITING.c.header_hash == header_hash).values(values))


def is_acknowledged(connection: Connection, recipient: str, header_hash: bytes) -> bool:
    """Tell whether a batch is acknowledged already; raises RegieError BATCH_UNKNOWN for one that is not there."""
    at = (WAITING.c.header_hash == header_hash) & (WAITING.c.recipient == recipient)
    row = connection.execute(select(WAITING.c.acknowledged_ms).where(at)).one_or_none()  # without its ciphertexts
    if row is None:
        raise unknown()
    return row.acknowledged_ms is not None


def mark_acknowledged(connection: Connection, header_hash: bytes, now_ms: int) -> None:
    """Offer a batch no more; what only the recipient needed is erased, what the resident may open and check stays.

    Of the recipient's box its hash stays, since the sender's signature covers it. The same again changes nothing.
    """
    at = (WAITING.c.header_hash == header_hash) & _OFFERED
    box = connection.execute(select(WAITING.c.sealed_recipient).where(at)).scalar_one_or_none()
    if box is not None:
        values = {"acknowledged_ms": now_ms, "evaluated": b"", "sealed_recipient": sha256(box)}
        connection.execute(update(WAITING).where(at).values(values))


def copy_of(connection: Connection, header_hash: bytes, position: int) -> SealedCopy:
    """Return the sealed copy of one permitted signal; raises RegieError COPY_GONE when it is not kept, or never was."""
    found = connection.execute(
        select(*_COLUMNS, WAITING.c.acknowledged_ms).where(WAITING.c.header_hash == header_hash)
    ).one_or_none()
    kept = Kept(*found[: len(_COLUMNS)]) if found is not None else None
    place = _place(kept.positions, position) if kept is not None else None
    if found is None or kept is None or place is None:
        raise RegieError("COPY_GONE", "there is no copy of this signal any more", "header_hash")
    size, path = kept.ciphertext_size, len(kept.paths) // kept.permitted
    return SealedCopy(
        header=kept.header,
        sealed_viewer=kept.sealed_viewer,
        sealed_recipient_hash=kept.sealed_recipient if found.acknowledged_ms else sha256(kept.sealed_recipient),
        signature_recipient=kept.signature_recipient,
        root=kept.root,
        commitment=kept.commitments[32 * place : 32 * place + 32],
        ciphertext=kept.ciphertexts[size * place : size * place + size],
        path=kept.paths[path * place : path * place + path],
    )


def _place(positions: bytes, position: int) -> int | None:
    """Return the place of a position in the lists, or None."""
    found = [int.from_bytes(positions[at : at + 2], "big") for at in range(0, len(positions), 2)]
    return found.index(position) if position in found else None


def sweep(connection: Connection, now_ms: int) -> int:
    """Erase what was not fetched before its expiry, or is past its retention; returns how many batches that were."""
    expired = WAITING.c.expires_ms <= now_ms
    unused = WAITING.c.delivered_ms.is_(None) | (WAITING.c.retain_until_ms <= now_ms)
    erased = connection.execute(delete(WAITING).where(expired & unused)).rowcount
    connection.execute(delete(ANSWER).where(ANSWER.c.expires_ms < now_ms - KEEP_AFTER_EXPIRY_MS))
    forget_expired(connection, now_ms)
    refusals.forget_old(connection, now_ms)
    return int(erased)


def unknown() -> RegieError:
    """Return the refusal for a batch that does not wait for the caller."""
    return RegieError("BATCH_UNKNOWN", "no such batch waits for this organisation")


def _find(connection: Connection, recipient: str, header_hash: bytes) -> Row[*tuple[Any, ...]] | None:
    at = (WAITING.c.header_hash == header_hash) & (WAITING.c.recipient == recipient)
    return connection.execute(select(*_COLUMNS, WAITING.c.acknowledged_ms).where(at)).one_or_none()
