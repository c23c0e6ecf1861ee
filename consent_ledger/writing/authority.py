"""Whoever writes a change must be allowed to (consent_ledger/authority.py); who is not is shown (AS6)."""

from __future__ import annotations

from collections.abc import Sequence

from consent_ledger.authority import Act, check_act, code_of, codes
from consent_ledger.clock import DAY_MS
from consent_ledger.errors import RegieError
from consent_ledger.others import CASE_BYTES, MOST_TRIES, presence_hash
from consent_ledger.state import SubjectState
from consent_ledger.v1 import consents_pb2
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.transaction import Transaction

REFUSED_ALOUD = frozenset({"PRESENCE_REQUIRED", "BEYOND_MANDATE"})
MOST_ATTEMPTS = 10
"""Recorded of one resident in a day; a wrong code is always recorded while that code is of use."""

_BECOMES = {
    "grant": "consent_granted",
    "refuse": "consent_refused",
    "withdraw": "consent_withdrawn",
    "pause": "sharing_paused",
    "resume": "sharing_resumed",
    "answer": "ask_answered",
    "preferences": "preferences_set",
    "ask": "question_asked",
    "view": "record_viewed",
    "add_representative": "representative_added",
    "accept_representative": "representative_accepted",
    "end_representative": "representative_ended",
    "issue_code": "presence_code_issued",
    "confirm": "grant_confirmed",
}


def check_authority(change: consents_pb2.Change, states: Sequence[SubjectState], tx: Transaction) -> None:
    """Raise RegieError PRESENCE_REQUIRED or BEYOND_MANDATE unless whoever writes this change may."""
    capture = change.capture
    proof = _proof(capture)
    act = Act(
        kind=_BECOMES.get(str(change.WhichOneof("what")), ""),  # "": what says nothing is refused where it is read
        via=capture.via,
        by=capture.by,
        no=change.HasField("answer") and not change.answer.yes,
        proof=proof,
        purposes=frozenset(rows.purpose for rows in change.rows),
        reference=change.end_representative.reference,
        used=_is_used(proof, states, tx),
    )
    check_act(act, states, tx.now_ms)


def check_erasure(capture: pb.Capture, states: Sequence[SubjectState], tx: Transaction) -> None:
    """Raise RegieError unless the resident asks for the erasure: nobody takes a record away for somebody else."""
    proof = _proof(capture)
    used = _is_used(proof, states, tx)
    check_act(Act(kind="record_erased", via=capture.via, by=capture.by, proof=proof, used=used), states, tx.now_ms)


def _proof(capture: pb.Capture) -> bytes:
    return presence_hash(capture.presence_proof) if capture.presence_proof else b""


def _is_used(proof: bytes, states: Sequence[SubjectState], tx: Transaction) -> bool:
    """Tell whether a code was used for other rows of the resident: the entry that issued it names all of them."""
    code = code_of(states, proof)
    issued = tx.payloads([code.idx]) if code else {}
    keys = {link.subject for row in issued.values() for link in pb.PrivatePart.FromString(row.private).links}
    tx.subjects(keys)
    everywhere = codes(tx.state(key) for key in keys)
    return any(one.code_hash == proof and one.tries >= MOST_TRIES for one in everywhere)


def attempt_of(
    change: consents_pb2.Change, refusal: RegieError, states: Sequence[SubjectState], now_ms: int
) -> pb.Event | None:
    """Return what is recorded of a refused attempt; None when it says nothing new of today."""
    if refusal.reason not in REFUSED_ALOUD:
        return None
    case_id = change.capture.presence_proof[:CASE_BYTES]
    tried = [code for code in codes(states) if code.case_id == case_id and now_ms < code.expires_ms]
    counts = any(code.tries < MOST_TRIES for code in tried)
    attempts = (attempt for state in states if state.others for attempt in state.others.attempts)
    today = {index for index, at in attempts if at > now_ms - DAY_MS}
    if len(today) >= MOST_ATTEMPTS and not counts:
        return None
    what = str(change.WhichOneof("what"))
    body = getattr(change, what)
    return pb.Event(
        attempt_refused=pb.AttemptRefused(
            what=what,
            reason=refusal.reason,
            scope=body.scope if "scope" in body.DESCRIPTOR.fields_by_name else None,
            capture=recorded(change.capture),
            case_id=case_id if tried else b"",
        )
    )


def recorded(capture: pb.Capture) -> pb.Capture:
    """Return a capture as it stands in an event: the hash of a proof, so that the log does not give a code away."""
    kept = pb.Capture()
    kept.CopyFrom(capture)
    if capture.presence_proof:
        kept.presence_proof = presence_hash(capture.presence_proof)
    return kept
