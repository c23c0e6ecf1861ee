"""Recording who else acts or looks: views, representatives, codes, and confirmations (R23, R36-R38)."""

from __future__ import annotations

import hmac
from collections.abc import Collection, Sequence
from hashlib import sha256

from consent_ledger.authority import awaits_confirmation, representatives
from consent_ledger.clock import DAY_MS
from consent_ledger.dates import add_months
from consent_ledger.errors import RegieError
from consent_ledger.others import CODE_MS, Representative, invitation_hash
from consent_ledger.state import SubjectState
from consent_ledger.storage.rows import ChangeRow
from consent_ledger.v1 import consents_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.authority import recorded
from consent_ledger.writing.choices import check_order
from consent_ledger.writing.transaction import Transaction

ACTING = frozenset(
    {"add_representative", "accept_representative", "end_representative", "issue_code", "confirm"},
)
"""The changes that ``acting_event`` makes events of."""
_MOST_ACTING = 16


def record_view(tx: Transaction, change: consents_pb2.Change, subjects: Sequence[bytes]) -> int:
    """Record that somebody looks, once per person, kind and UTC day; return the index of the leaf that says so.

    Raises RegieError NOT_FRESH. It does not count as a choice, so it makes no other write stale.
    """
    check_order(change.created_ms, (), tx.now_ms)
    day = tx.now_ms // DAY_MS
    name = _view_name(change, day, subjects)
    before = tx.changes([name]).get(name)
    if before is not None:
        return before.idx
    body = pb.RecordViewed(kind=change.view.kind, capture=recorded(change.capture), day=day)
    index = tx.record(pb.Event(record_viewed=body), subjects)
    answer = consents_pb2.ChangeResult(change_id=name, log_index=index).SerializeToString(deterministic=True)
    tx.writes.changes[name] = ChangeRow(name, sha256(b"regie/viewed/v1" + name).digest(), answer, index)
    return index


def _view_name(change: consents_pb2.Change, day: int, subjects: Collection[bytes]) -> bytes:
    """Return the change id that the first view of a day is kept under."""
    capture = change.capture
    parts = (day, change.view.kind, capture.via, len(capture.by))
    text = "/".join(map(str, parts)).encode() + capture.by.encode()
    return sha256(b"regie/view/v1" + text + b"".join(sorted(subjects))).digest()[:16]


def acting_event(change: consents_pb2.Change, states: Sequence[SubjectState], now_ms: int) -> pb.Event:
    """Return the event that a change of ``ACTING`` becomes.

    Raises RegieError NOT_FRESH, WRITE_STALE, BEYOND_MANDATE or FIELD_INVALID, naming the field.
    """
    what = change.WhichOneof("what")
    check_order(change.created_ms, () if what == "issue_code" else states, now_ms)
    match what:
        case "add_representative":
            return pb.Event(representative_added=_added(change, states, now_ms))
        case "accept_representative":
            return pb.Event(representative_accepted=_accepted(change, states, now_ms))
        case "end_representative":
            return pb.Event(representative_ended=_ended(change, states))
        case "issue_code":
            return pb.Event(presence_code_issued=_issued(change, now_ms))
        case _:
            return pb.Event(grant_confirmed=_confirmed(change, states))


def _added(change: consents_pb2.Change, states: Sequence[SubjectState], now_ms: int) -> pb.RepresentativeAdded:
    new = change.add_representative
    known = list(representatives(states))
    if any(one.reference == new.reference for one in known):
        raise RegieError("FIELD_INVALID", "this reference is of another representative", "add_representative.reference")
    acting = {one.reference for one in known if one.holds(now_ms) or one.invited(now_ms)}
    if len(acting) >= _MOST_ACTING:
        raise RegieError("FIELD_INVALID", f"at most {_MOST_ACTING} people can act for one resident", "what")
    unknown = set(new.purposes) - {rows.purpose for rows in change.rows}
    if unknown:
        raise RegieError("FIELD_INVALID", "a purpose without a row in this change", "add_representative.purposes")
    return pb.RepresentativeAdded(
        reference=new.reference,
        mandate=new.mandate,
        relation=new.relation,
        purposes=sorted(new.purposes),
        valid_until_ms=add_months(now_ms, new.months),
        code_hash=new.code_hash,
        capture=recorded(change.capture),
        created_ms=change.created_ms,
    )


def _accepted(change: consents_pb2.Change, states: Sequence[SubjectState], now_ms: int) -> pb.RepresentativeAccepted:
    """Find the invitation with this code; which ones there are, who guesses does not learn."""
    body = change.accept_representative
    found = [one for one in representatives(states) if one.invited(now_ms) and _opens(one, body.code)]
    if not found:
        raise RegieError("BEYOND_MANDATE", "no invitation waits for this code", field="accept_representative.code")
    return pb.RepresentativeAccepted(
        reference=found[0].reference, who=body.who, capture=recorded(change.capture), created_ms=change.created_ms
    )


def _opens(one: Representative, code: str) -> bool:
    return hmac.compare_digest(one.code_hash, invitation_hash(one.reference, code))


def _ended(change: consents_pb2.Change, states: Sequence[SubjectState]) -> pb.RepresentativeEnded:
    reference = change.end_representative.reference
    if not any(one.reference == reference and not one.ended_ms for one in representatives(states)):
        raise RegieError("FIELD_INVALID", "nobody acts under this reference", field="end_representative.reference")
    return pb.RepresentativeEnded(reference=reference, capture=recorded(change.capture), created_ms=change.created_ms)


def _issued(change: consents_pb2.Change, now_ms: int) -> pb.PresenceCodeIssued:
    body = change.issue_code
    return pb.PresenceCodeIssued(
        case_id=body.case_id,
        code_hash=body.code_hash,
        channel=body.channel,
        expires_ms=now_ms + CODE_MS[body.channel],
        capture=recorded(change.capture),
        created_ms=change.created_ms,
    )


def _confirmed(change: consents_pb2.Change, states: Sequence[SubjectState]) -> pb.GrantConfirmed:
    scope, index = change.confirm.scope, change.confirm.granted_index
    if not awaits_confirmation(states, scope, index) or {rows.purpose for rows in change.rows} != {scope.purpose}:
        raise RegieError("FIELD_INVALID", "nothing waits here to be confirmed", field="confirm.granted_index")
    choices = (state.choices.get((scope.sender, scope.recipient)) for state in states)
    version = next(one.purpose_version for one in choices if one and one.idx == index)
    whole = pb.Scope(sender=scope.sender, recipient=scope.recipient, purpose=scope.purpose, purpose_version=version)
    return pb.GrantConfirmed(
        scope=whole, granted_index=index, capture=recorded(change.capture), created_ms=change.created_ms
    )
