"""Erasing what the ledger holds about a resident who asks for it (ledger.md, "Leaf"; docs/adr/0007).

In one transaction: salts and events go, and every other copy of them; the states of the subjects say that nothing
stands; one ``RecordErased`` goes on with each chain. Crash before the commit: nothing happened. After it: everything
did, and the announcement in the log comes with those of others (announce.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple, Protocol

from google.protobuf.message import DecodeError

from consent_ledger.errors import RegieError
from consent_ledger.state import EMPTY
from consent_ledger.storage.erasures import RESIDENT_REQUEST, ErasedRow
from consent_ledger.storage.rows import BatchRow, ChangeRow, PayloadRow, PermitRow
from consent_ledger.v1 import consents_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.announce import Announcing, announce
from consent_ledger.writing.authority import check_erasure, recorded
from consent_ledger.writing.choices import check_order, undated
from consent_ledger.writing.transaction import Transaction
from consent_ledger.writing.work import Sealed, Sign

_NO_SUBJECT = b""


class Opened(NamedTuple):
    """A committed entry that can still be read, and the subjects it is about."""

    idx: int
    event: pb.Event
    private: pb.PrivatePart

    @property
    def kind(self) -> str:
        """The name of its event in ``Event.body``."""
        return str(self.event.WhichOneof("body"))

    @property
    def subjects(self) -> frozenset[bytes]:
        """The subjects it is about."""
        return frozenset(link.subject for link in self.private.links)


class Source(Protocol):
    """Where entries are read from: the transaction at hand, or a snapshot."""

    def payloads(self, indices: Collection[int]) -> dict[int, PayloadRow]:
        """Return what opens these leaves, as far as it is not erased."""
        ...

    def batch_by_id(self, sender: str, batch_id: bytes) -> BatchRow | None:
        """Return a batch by the name its sender gave it."""
        ...

    def permits(self, header_hash: bytes) -> dict[int, PermitRow]:
        """Return the permits of a batch by position."""
        ...


def opened(source: Source, indices: Collection[int]) -> list[Opened]:
    """Return the entries at these indices that are not erased, in the order of the log; raises as ``open_row``."""
    rows = source.payloads(indices)
    return [open_row(rows[index]) for index in sorted(rows)]


def open_row(row: PayloadRow) -> Opened:
    """Read an entry; raises RegieError INTERNAL for a damaged one: whose it is cannot be told, so nothing is done."""
    try:
        return Opened(row.idx, pb.Event.FromString(row.event), pb.PrivatePart.FromString(row.private))
    except DecodeError:
        what = f"entry {row.idx} is damaged and cannot be read: run `regie log fsck`"
        raise RegieError("INTERNAL", what) from None


def erasable(
    source: Source, indices: Collection[int], subjects: Collection[bytes]
) -> tuple[list[Opened], list[Opened]]:
    """Divide the entries of subjects into those that go, and those that stay: they are about another subject as well.

    What an earlier erasure left behind to say so is not erased again: without anything else there is nothing to do.
    """
    wanted = frozenset(subjects)
    entries = opened(source, indices)
    goes = [entry for entry in entries if entry.subjects <= wanted]
    if all(entry.kind == "record_erased" for entry in goes):
        return [], [entry for entry in entries if entry not in goes]
    return goes, [entry for entry in entries if not entry.subjects <= wanted]


def waiting(source: Source, entries: Iterable[Opened]) -> int:
    """Return how many of these entries are permits that wait at a recipient's door, and that can be opened so far."""
    permits = Permits(source)
    found = (permits.of(entry) for entry in entries)
    return sum(1 for at in found if at and at[1].opening is not None and at[1].released_idx is None)


class Permits:
    """Permits of decisions. A batch has up to a thousand of them, so those of one batch are read once."""

    def __init__(self, source: Source) -> None:
        """Read from a source whose permits nobody else changes meanwhile."""
        self._source = source
        self._known: dict[bytes, dict[int, PermitRow]] = {}

    def of(self, entry: Opened) -> tuple[BatchRow, PermitRow] | None:
        """Return the permit that an entry gave, with its batch; None when it gave none."""
        body = entry.event.exchange_decided  # of another kind: an empty one
        batch = self._source.batch_by_id(body.sender, body.batch_id) if body.permitted else None
        if batch is None:
            return None
        if batch.header_hash not in self._known:
            self._known[batch.header_hash] = self._source.permits(batch.header_hash)
        permit = self._known[batch.header_hash].get(body.position)
        return (batch, permit) if permit and permit.decided_idx == entry.idx else None


def erase_entries(tx: Transaction, entries: Sequence[Opened], ground: str, permits: Permits) -> None:
    """Take these entries out, and every copy of what they say; chains and states are the caller's.

    ``first`` of the first one is 1: they count as one person when announcements are mixed.
    """
    erasures = tx.writes.erasures
    for entry in entries:
        erasures.entries[entry.idx] = ErasedRow(entry.idx, ground, int(entry is entries[0]), tx.now_ms)
        found = permits.of(entry)
        if found is not None:
            batch, permit = found
            # A batch that can be pulled keeps a permit without content: the size of its answers stays as it was, so
            # that nobody outside sees that one of its signals was erased.
            erasures.permits[batch.header_hash, permit.position] = tx.now_ms < batch.expires_ms
            erasures.unanswered.add(batch.header_hash)
            tx.put_permit(PermitRow(batch.header_hash, permit.position, permit.decided_idx, None, _NO_SUBJECT))


@dataclass(frozen=True, slots=True)
class EraseWork:
    """A resident's request to erase everything about these subjects; ``sign`` signs the receipt."""

    request: consents_pb2.EraseRequest
    subjects: tuple[bytes, ...]
    request_hash: bytes
    sign: Sign
    announcing: Announcing = field(default_factory=Announcing)
    weight: int = 512

    def apply(self, tx: Transaction) -> Callable[[Sealed], consents_pb2.EraseResponse]:
        """Erase; the same request again gets the same answer.

        Raises RegieError NOT_FRESH, WRITE_STALE, or NONCE_REUSED when the id came with another request.
        """
        change_id = self.request.change_id
        before = tx.changes([change_id]).get(change_id)
        if before is not None and before.request_hash != self._digest:
            raise RegieError("NONCE_REUSED", "this change id was used for another request", field="change_id")
        done = consents_pb2.Erased.FromString(before.result) if before else self._erase(tx)
        return lambda sealed: self._answer(sealed, done)

    @property
    def _digest(self) -> bytes:
        return sha256(b"regie/erasure/v1" + undated(self.request)).digest()

    def _erase(self, tx: Transaction) -> consents_pb2.Erased:
        subjects = list(dict.fromkeys(self.subjects))
        tx.subjects(subjects)
        states = [tx.state(key) for key in subjects]
        check_erasure(self.request.capture, states, tx)
        check_order(self.request.created_ms, states, tx.now_ms)
        indices = {key: tx.indices(key) for key in subjects}
        goes, stays = erasable(tx, {index for found in indices.values() for index in found}, subjects)
        done = consents_pb2.Erased(entries=len(goes), kept=len(stays))
        if not goes:
            return done  # nothing is written about somebody of whom nothing is known
        erase_entries(tx, goes, RESIDENT_REQUEST, Permits(tx))
        gone = {entry.idx for entry in goes}
        for key in subjects:
            if indices[key]:
                tx.rewrite(key, tx.subject(key)._replace(state=EMPTY), [i for i in indices[key] if i not in gone])
                done.log_indices.append(self._say_so(tx, key))
        announce(tx, self.announcing)
        done.announced_by_ms = tx.now_ms + self.announcing.longest_ms
        result = done.SerializeToString(deterministic=True)
        row = ChangeRow(self.request.change_id, self._digest, result, done.log_indices[0])
        tx.writes.changes[row.change_id] = row
        return done

    def _say_so(self, tx: Transaction, key: bytes) -> int:
        """Go on with a subject's chain, each subject by a leaf of its own: one for all would link them again."""
        body = pb.RecordErased(
            ground=pb.ERASURE_GROUND_RESIDENT_REQUEST,
            capture=recorded(self.request.capture),
            created_ms=self.request.created_ms,
        )
        return tx.record(pb.Event(record_erased=body), [key])

    def _answer(self, sealed: Sealed, done: consents_pb2.Erased) -> consents_pb2.EraseResponse:
        receipt = consents_pb2.EraseReceipt(
            request_hash=self.request_hash, erased=done, checkpoint=sealed.checkpoint
        ).SerializeToString(deterministic=True)
        return consents_pb2.EraseResponse(receipt=receipt, signature=self.sign(receipt))
