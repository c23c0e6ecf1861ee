"""Making bundles: which entries, organisations and purposes the words of a page rest on, each with its proof."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from consent_ledger.errors import RegieError
from consent_ledger.events import parse_leaf
from consent_ledger.log.errors import FormatError, VerificationError
from consent_ledger.log.proof import Receipt
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.v1 import events_pb2, log_pb2
from consent_ledger.viewer.checking.bundle import Bundle, ProvenEntry, ProvenPublic

_DOES_NOT_CHECK = frozenset({"PROOF_INVALID", "SIGNATURE_INVALID"})


class Proofs(Protocol):
    """What of ``viewer.port.Portal`` bundles are made with."""

    async def proof(self, rows: Sequence[pb.Rows], log_index: int) -> pb.GetProofResponse:
        """Return the proof of one entry."""
        ...

    async def public_entries(self) -> Sequence[log_pb2.PublicEntry]:
        """Return the log's public events."""
        ...

    async def inclusion(self, index: int, size: int) -> Sequence[bytes]:
        """Return the proof that an entry is in the tree of a size."""
        ...


async def bundle_for(proofs: Proofs, rows: Sequence[pb.Rows], indices: Iterable[int]) -> Bundle:
    """Return the proofs of these entries of one resident and of the names in them.

    Give every entry that the page's words rest on: what decided and what followed. What decided is added here too.
    Raises RegieError as ``Portal.proof``, but for proofs that do not check: those are for ``verdict`` to tell.
    """
    bundle = Bundle()
    await collect(bundle, proofs, rows, indices)
    if not bundle.broken:
        await _add_names(bundle, proofs)
    return bundle


async def collect(
    bundle: Bundle, proofs: Proofs, rows: Sequence[pb.Rows], indices: Iterable[int], *, deciding: bool = True
) -> None:
    """Add the proofs of entries, and of those that decided them; a proof that does not check breaks the bundle."""
    waiting, seen = list(indices), set[int]()
    try:
        while waiting:
            index = waiting.pop(0)
            if index in seen:
                continue
            seen.add(index)
            found = await proofs.proof(rows, index)
            entry = ProvenEntry(Receipt.parse(found.proof), found.private_part)
            bundle.entries.append(entry)
            waiting += decided_by(entry) if deciding else []
    except RegieError as error:
        if error.reason not in _DOES_NOT_CHECK:
            raise
        bundle.broken = True
    except VerificationError:
        bundle.broken = True


def decided_by(entry: ProvenEntry) -> list[int]:
    """Return the indices of the events that decided an entry."""
    return list(events_pb2.PrivatePart.FromString(entry.private).decided_by) if entry.private else []


async def _add_names(bundle: Bundle, proofs: Proofs) -> None:
    """Add the public entries with the organisations and purposes that the entries name, each once."""
    if not bundle.entries:
        return
    newest = max(bundle.entries, key=_size)
    size, note = _size(newest), newest.receipt.checkpoint_note
    for public in _named([entry.event for entry in bundle.entries], await proofs.public_entries(), size):
        path = tuple(await proofs.inclusion(public.index, size))
        bundle.public.append(ProvenPublic(public.index, public.entry, path, note))


def _size(entry: ProvenEntry) -> int:
    try:
        return int(entry.receipt.checkpoint_note.split("\n", 2)[1])
    except (IndexError, ValueError):
        raise FormatError("expected a checkpoint") from None


def _named(
    events: Sequence[events_pb2.Event], entries: Sequence[log_pb2.PublicEntry], size: int
) -> list[log_pb2.PublicEntry]:
    """Return the public entries that say who the parties of these events are, and what their purposes."""
    oins, purposes = _mentioned(events)
    found: dict[str, log_pb2.PublicEntry] = {}
    for entry in entries:
        if entry.index >= size:
            break
        public = parse_leaf(entry.entry).public
        registered, purpose = public.participant_registered, public.purpose_published.purpose
        if registered.oin in oins:
            found[registered.oin] = entry
        if purpose.id and (purpose.id, 0) in purposes:
            found[f"{purpose.id}"] = entry
        if (purpose.id, purpose.version) in purposes:
            found[f"{purpose.id}@{purpose.version}"] = entry
    return sorted({entry.index: entry for entry in found.values()}.values(), key=lambda entry: entry.index)


def _mentioned(events: Sequence[events_pb2.Event]) -> tuple[set[str], set[tuple[str, int]]]:
    oins, purposes = set[str](), set[tuple[str, int]]()
    for event in events:
        body = getattr(event, str(event.WhichOneof("body")))
        scope = getattr(body, "scope", body)
        oins |= {getattr(scope, name, "") for name in ("sender", "recipient", "organisation")}
        purposes.add((getattr(scope, "purpose", ""), getattr(scope, "purpose_version", 0)))
    return oins - {""}, purposes - {("", 0)}
