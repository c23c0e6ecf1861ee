"""Who else acts or looks: representatives, codes that prove a resident's presence, and who looked (R23, R36-R38).

Part of a subject's state, folded from its events like the rest of it. An event of these kinds is about all rows of a
resident at once, so each of them knows.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, NamedTuple

from consent_ledger.clock import DAY_MS
from consent_ledger.v1 import events_pb2 as pb

MOST_TRIES = 5
"""A code that was mistyped so often is of no use any more; nor is one that was used, which counts as if it were."""
CODE_MS: dict[int, int] = {pb.CODE_CHANNEL_PHONE: 3_600_000, pb.CODE_CHANNEL_LETTER: 14 * DAY_MS}
"""How long a code may be used: while the resident is there, or until their letter had time to come."""
INVITED_MS = 14 * DAY_MS
"""How long an invitation may be taken up."""
CASE_BYTES = 16
_KEPT = 100
_KEPT_REPRESENTATIVES = 32
_KEPT_ATTEMPTS = 20

EVENTS = frozenset(
    {
        "record_viewed",
        "representative_added",
        "representative_accepted",
        "representative_ended",
        "presence_code_issued",
        "attempt_refused",
        "audit_accessed",
    }
)
"""The kinds of events that ``fold_others`` folds."""


class Representative(NamedTuple):
    """Somebody who acts for the resident; ``who`` is empty until the invitation is taken up."""

    reference: bytes
    idx: int  # of the leaf that says so
    mandate: int
    relation: int
    purposes: tuple[str, ...]
    added_ms: int
    valid_until_ms: int
    code_hash: bytes
    who: bytes = b""
    accepted_ms: int = 0
    accepted_index: int | None = None
    ended_ms: int = 0

    def holds(self, now_ms: int) -> bool:
        """Tell whether they may act now."""
        return bool(self.who) and not self.ended_ms and now_ms < self.valid_until_ms

    def invited(self, now_ms: int) -> bool:
        """Tell whether the invitation waits for them."""
        return not self.who and not self.ended_ms and now_ms < self.added_ms + INVITED_MS


class Code(NamedTuple):
    """A one-time code that is on its way to the resident, and how often it was mistyped; MOST_TRIES: of no use."""

    case_id: bytes
    idx: int  # of the leaf that says so
    code_hash: bytes
    expires_ms: int
    tries: int = 0


class Others(NamedTuple):
    """Representatives oldest first, codes that may still be used, and the log indices of who looked and tried."""

    representatives: tuple[Representative, ...] = ()
    codes: tuple[Code, ...] = ()
    views: tuple[int, ...] = ()
    attempts: tuple[tuple[int, int], ...] = ()  # (log index, time)


NOBODY = Others()


def invitation_hash(reference: bytes, code: str) -> bytes:
    """Return what the ledger keeps of an invitation's code."""
    return sha256(b"regie/invitation/v1" + reference + code.encode()).digest()


def presence_hash(proof: bytes) -> bytes:
    """Return what the ledger keeps of a proof of presence: case id (16 bytes) || code."""
    return sha256(b"regie/presence/v1" + proof).digest()


def proof_in(event: pb.Event) -> bytes:
    """Return the hash of the proof of presence that an entry was recorded with; nothing for none, or an attempt."""
    if event.HasField("attempt_refused"):
        return b""  # what was refused used nothing up
    body = getattr(event, str(event.WhichOneof("body")))
    return body.capture.presence_proof if "capture" in body.DESCRIPTOR.fields_by_name else b""


def used_up(others: Others, proof: bytes) -> Others:
    """Return who else there is once the code of this proof was used: it proves one change, the first (R37)."""
    codes = tuple(code._replace(tries=MOST_TRIES) if code.code_hash == proof else code for code in others.codes)
    return others._replace(codes=codes)


def fold_others(others: Others, index: int, event: pb.Event) -> Others:
    """Return who else there is after one event of ``EVENTS``."""
    match event.WhichOneof("body"):
        case "record_viewed" | "audit_accessed":
            return others._replace(views=(*others.views, index)[-_KEPT:])
        case "representative_added":
            return _added(others, index, event)
        case "representative_accepted":
            said = event.representative_accepted
            accepted = {"who": said.who, "accepted_ms": event.time_ms, "accepted_index": index}
            return _changed(others, said.reference, accepted)
        case "representative_ended":
            return _changed(others, event.representative_ended.reference, {"ended_ms": event.time_ms})
        case "presence_code_issued":
            return _issued(others, index, event)
        case _:  # attempt_refused
            return _tried(others, index, event)


def _added(others: Others, index: int, event: pb.Event) -> Others:
    body = event.representative_added
    new = Representative(
        reference=body.reference,
        idx=index,
        mandate=body.mandate,
        relation=body.relation,
        purposes=tuple(body.purposes),
        added_ms=event.time_ms,
        valid_until_ms=body.valid_until_ms,
        code_hash=body.code_hash,
    )
    # Of those that act no more only the newest are kept: the others are in the log.
    over = [r for r in others.representatives if not (r.holds(event.time_ms) or r.invited(event.time_ms))]
    gone = frozenset(r.reference for r in over[: max(0, len(over) - _KEPT_REPRESENTATIVES)])
    kept = tuple(r for r in others.representatives if r.reference not in gone)
    return others._replace(representatives=(*kept, new))


def _changed(others: Others, reference: bytes, values: dict[str, Any]) -> Others:
    changed = tuple(r._replace(**values) if r.reference == reference else r for r in others.representatives)
    return others._replace(representatives=changed)


def _issued(others: Others, index: int, event: pb.Event) -> Others:
    """Add a code; those that are over are forgotten, so that a resident's state stays small."""
    body = event.presence_code_issued
    kept = tuple(code for code in others.codes if event.time_ms < code.expires_ms)
    return others._replace(codes=(*kept, Code(body.case_id, index, body.code_hash, body.expires_ms)))


def _tried(others: Others, index: int, event: pb.Event) -> Others:
    case_id = event.attempt_refused.case_id
    codes = tuple(code._replace(tries=code.tries + 1) if code.case_id == case_id else code for code in others.codes)
    attempts = (*others.attempts, (index, event.time_ms))[-_KEPT_ATTEMPTS:]
    return others._replace(codes=codes, attempts=attempts)


def standing_others(others: Others | None, since_ms: int) -> set[int]:
    """Return the log indices of what still decides, or did at ``since_ms`` or later."""
    if others is None:
        return set()
    found = {code.idx for code in others.codes if code.expires_ms > since_ms}
    for one in others.representatives:
        if not one.ended_ms and one.valid_until_ms > since_ms:
            found |= {one.idx} | ({one.accepted_index} if one.accepted_index is not None else set())
    return found


def others_in_force(others: Others | None, now_ms: int) -> object:
    """Return what of it decides now, to compare with what is left after an erasure by age."""
    if others is None:
        return (), ()
    acting = tuple(r for r in others.representatives if r.holds(now_ms) or r.invited(now_ms))
    return acting, tuple(code for code in others.codes if now_ms < code.expires_ms and code.tries < MOST_TRIES)
