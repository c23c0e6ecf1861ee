"""One resident's own view of single entries: what each says, its proof, the chain, and what opens a copy (R15-R24).

Everything is asked with rows, and an index that is not of these rows is answered as one that does not exist: so neither
a guessed index nor a wrong session shows anybody else's entry.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from consent_ledger.errors import RegieError
from consent_ledger.log.proof import Receipt
from consent_ledger.log.tiles import inclusion_path
from consent_ledger.registry import Registry
from consent_ledger.service.entries import Entry, Row, indices_of, is_about, open_entries, states_of
from consent_ledger.service.exchanges import became_of, tell
from consent_ledger.storage.ports import Snapshot
from consent_ledger.storage.rows import PayloadRow
from consent_ledger.v1 import consents_pb2 as out

_LINKS = 100


def entry_of(
    snapshot: Snapshot, registry: Registry, rows: Sequence[Row], index: int, now_ms: int
) -> out.GetEntryResponse:
    """Return one entry with what decided and what followed it; raises RegieError ENTRY_UNKNOWN."""
    entry = _own(snapshot, rows, index)
    purposes = dict.fromkeys(row.purpose for row in is_about(entry, rows))
    response = out.GetEntryResponse(entry=_event(entry), purposes=purposes)
    decided = _decided(snapshot, rows, entry)
    if decided is not None:
        states = states_of(snapshot, is_about(decided, rows))
        (exchange,) = tell(snapshot, registry, states, [decided], now_ms)
        response.exchange.CopyFrom(exchange)
        became = became_of(snapshot, [decided]).get(decided.idx)
        response.followed.extend(_events(snapshot, rows, sorted(became.followed) if became else []))
    why = entry.private.decided_by or (decided.private.decided_by if decided else [])
    response.deciding.extend(_events(snapshot, rows, sorted(why)))
    return response


def _own(snapshot: Snapshot, rows: Sequence[Row], index: int) -> Entry:
    entry = open_entries(snapshot, [index]).get(index)
    if entry is None or not is_about(entry, rows):
        raise RegieError("ENTRY_UNKNOWN", "there is no such entry in this record", field="log_index")
    return entry


def _decided(snapshot: Snapshot, rows: Sequence[Row], entry: Entry) -> Entry | None:
    """Return the decision that an entry is, or is about."""
    match entry.kind:
        case "exchange_decided":
            return entry
        case "exchange_released":
            index = entry.event.exchange_released.decided_index
        case "exchange_withheld":
            index = entry.event.exchange_withheld.decided_index
        case "exchange_acknowledged" | "outcome_reported":
            released = open_entries(snapshot, [getattr(entry.event, entry.kind).released_index])
            if not released:
                return None
            (release,) = released.values()
            index = release.event.exchange_released.decided_index
        case _:
            return None
    found = open_entries(snapshot, [index]).get(index)
    return found if found and is_about(found, rows) else None


def _events(snapshot: Snapshot, rows: Sequence[Row], indices: Sequence[int]) -> list[out.EntryEvent]:
    """Return these entries in order; one that is erased, or is not of these rows, without its event."""
    found = open_entries(snapshot, indices)
    return [
        _event(found[index]) if index in found and is_about(found[index], rows) else out.EntryEvent(log_index=index)
        for index in indices
    ]


def _event(entry: Entry) -> out.EntryEvent:
    return out.EntryEvent(log_index=entry.idx, time_ms=entry.event.time_ms, kind=entry.kind, event=entry.event)


def proof_of(snapshot: Snapshot, rows: Sequence[Row], index: int) -> out.GetProofResponse:
    """Return the proof of one entry, under the newest witnessed checkpoint that covers it; raises ENTRY_UNKNOWN."""
    entry = _own(snapshot, rows, index)
    payload = snapshot.payloads([index])[index]
    published, head = snapshot.published(), snapshot.head()
    witnessed = published is not None and entry.idx < published.size
    size, note = (published.size, published.note) if published and witnessed else (head.size, head.checkpoint)
    path = tuple(inclusion_path(index, size, snapshot.tile))
    receipt = Receipt(payload.salt + payload.event, index, path, note)
    return out.GetProofResponse(proof=receipt.format(), private_part=payload.private, witnessed=witnessed)


def chain_of(snapshot: Snapshot, rows: Sequence[Row], limit: int, before_index: int) -> out.GetChainResponse:
    """Return the newest links of each row's chain, as far as they are not erased."""
    response = out.GetChainResponse()
    known = snapshot.subjects({row.subject for row in rows})
    for row in rows:
        chain = response.chains.add(purpose=row.purpose, subject=row.subject)
        if row.subject not in known:
            continue
        chain.newest_seq, chain.newest = known[row.subject].seq, known[row.subject].last
        indices = list(itertools.islice(indices_of(snapshot, [row], before_index or None), (limit or _LINKS) + 1))
        if len(indices) > (limit or _LINKS):
            indices.pop()
            chain.next_before_index = indices[-1]
        payloads = snapshot.payloads(indices)
        chain.links.extend(_link(payloads[index]) for index in indices if index in payloads)
    return response


def _link(row: PayloadRow) -> out.ChainLink:
    return out.ChainLink(log_index=row.idx, salt=row.salt, event=row.event, private_part=row.private)


def opening_of(snapshot: Snapshot, rows: Sequence[Row], index: int) -> out.OpenCopyResponse:
    """Return what opens the copy of the signal decided at an index; raises RegieError ENTRY_UNKNOWN or COPY_GONE."""
    entry = _own(snapshot, rows, index)
    became = became_of(snapshot, [entry]).get(index) if entry.kind == "exchange_decided" else None
    permit = became.permit if became else None
    if permit is None or permit.opening is None or permit.subject not in {row.subject for row in rows}:
        raise RegieError("COPY_GONE", "there is no copy of this that can be opened", field="log_index")
    return out.OpenCopyResponse(
        header_hash=permit.header_hash,
        position=permit.position,
        opening=permit.opening,
        root=entry.event.exchange_decided.root,
    )
