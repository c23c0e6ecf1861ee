"""Who may do what: the resident all, a representative within the mandate, staff only what protects (R36-R38).

Pure, like ``decide``: the ledger refuses by it before it writes, and a replay judges by it what stands in the log.
Staff at a desk may say no, stop and pause for a resident alone. Whatever lets more happen needs proof that the resident
is there: a one-time code that went to the resident's own phone or address.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from consent_ledger.clock import DAY_MS
from consent_ledger.dates import add_months
from consent_ledger.errors import RegieError
from consent_ledger.others import MOST_TRIES, Code, Others, Representative
from consent_ledger.state import SubjectState
from consent_ledger.v1 import events_pb2 as pb

DESK_MONTHS = 6
CONFIRM_DAYS = 7

STAFF = frozenset({pb.CAPTURED_VIA_DESK, pb.CAPTURED_VIA_PAPER, pb.CAPTURED_VIA_PHONE})
_DELAYED = frozenset({pb.CAPTURED_VIA_DESK, pb.CAPTURED_VIA_PAPER})
_PROTECTS = frozenset(
    {
        "consent_refused",
        "consent_withdrawn",
        "sharing_paused",
        "question_asked",
        "representative_ended",
        "record_viewed",
    }
)
_BY_PHONE = frozenset({"consent_withdrawn", "sharing_paused", "record_viewed"})
_BY_STAFF = _PROTECTS | {"presence_code_issued"}
_OF_MANDATE: dict[int, frozenset[str]] = {
    pb.MANDATE_LOOK: frozenset({"record_viewed", "representative_ended"}),
    pb.MANDATE_STOP: _PROTECTS,
    pb.MANDATE_CHOOSE: _PROTECTS | {"consent_granted", "sharing_resumed", "ask_answered", "preferences_set"},
}


@dataclass(frozen=True, slots=True)
class Act:
    """Somebody does something for a resident. ``kind`` is the event that it becomes.

    ``no``: an answer that lets nothing happen. ``proof`` is the hash of a proof of presence; ``purposes`` those that it
    is about, as far as is known; ``reference`` the representation it concerns, if it concerns one. ``used``: this proof
    was recorded with another change, about whichever rows of the resident.
    """

    kind: str
    via: int
    by: str
    no: bool = False
    proof: bytes = b""
    purposes: frozenset[str] = frozenset()
    reference: bytes = b""
    used: bool = False


def check_act(act: Act, states: Sequence[SubjectState], now_ms: int) -> None:
    """Raise RegieError PRESENCE_REQUIRED or BEYOND_MANDATE unless this may be done; ``states`` are the resident's."""
    if act.kind == "representative_accepted":
        return  # the code is the authority, and checked where it is taken up
    if act.via in STAFF:
        _check_staff(act, states, now_ms)
    elif act.via == pb.CAPTURED_VIA_REPRESENTATIVE:
        _check_mandate(act, states, now_ms)


def _check_staff(act: Act, states: Sequence[SubjectState], now_ms: int) -> None:
    if act.via == pb.CAPTURED_VIA_PHONE:
        if act.kind not in _BY_PHONE:
            raise RegieError("PRESENCE_REQUIRED", "by telephone a resident only stops and pauses", field="capture.via")
        return
    if act.no or act.kind in _BY_STAFF:
        return
    if act.used or not any(_proves(code, act.proof, now_ms) for code in codes(states)):
        raise RegieError(
            "PRESENCE_REQUIRED", "this needs the code that was sent to the resident", field="capture.presence_proof"
        )


def _proves(code: Code, proof: bytes, now_ms: int) -> bool:
    usable = now_ms < code.expires_ms and code.tries < MOST_TRIES
    return usable and hmac.compare_digest(code.code_hash, proof)


def _check_mandate(act: Act, states: Sequence[SubjectState], now_ms: int) -> None:
    found = next((r for r in representatives(states) if r.reference.hex() == act.by and r.holds(now_ms)), None)
    if found is None:
        raise RegieError("BEYOND_MANDATE", "nobody acts for this resident under this reference", field="capture.by")
    allowed = _OF_MANDATE.get(found.mandate, frozenset())
    stops = act.no and found.mandate != pb.MANDATE_LOOK
    if act.kind not in allowed and not stops:
        raise RegieError("BEYOND_MANDATE", "this representative may not do this", field="capture.by")
    if found.purposes and not act.purposes <= set(found.purposes):
        raise RegieError("BEYOND_MANDATE", "this representative acts for other purposes", field="rows.purpose")
    if act.reference and act.reference != found.reference:
        raise RegieError("BEYOND_MANDATE", "a representative ends only their own part", field="capture.by")


def is_delayed(via: int) -> bool:
    """Tell whether a yes captured so holds only after some days, or once the resident confirmed it (R37)."""
    return via in _DELAYED


def granted_in_time(body: pb.ConsentGranted, time_ms: int) -> bool:
    """Tell whether a recorded yes begins and ends when one captured so may."""
    if not is_delayed(body.capture.via):
        return body.confirmable_from_ms == 0
    earliest = body.confirmable_from_ms
    starts = max(earliest, time_ms + CONFIRM_DAYS * DAY_MS)
    return (
        earliest >= time_ms
        and body.valid_from_ms == starts
        and body.valid_until_ms <= add_months(earliest, DESK_MONTHS)
    )


def awaits_confirmation(states: Iterable[SubjectState], scope: pb.Scope, index: int) -> bool:
    """Tell whether the grant at a log index stands for these parties and was not confirmed."""
    choices = (state.choices.get((scope.sender, scope.recipient)) for state in states)
    return any(one and one.idx == index and one.confirmable_ms and not one.withdrawn_ms for one in choices)


def representatives(states: Iterable[SubjectState]) -> Iterator[Representative]:
    """Yield everybody who was invited to act for the resident of these states, as often as there are rows."""
    return (one for others in _others(states) for one in others.representatives)


def codes(states: Iterable[SubjectState]) -> Iterator[Code]:
    """Yield the codes that were sent to the resident of these states, as often as there are rows."""
    return (code for others in _others(states) for code in others.codes)


def code_of(states: Iterable[SubjectState], proof: bytes) -> Code | None:
    """Return the code that a hash of a proof is of, used or not."""
    return next((code for code in codes(states) if proof and hmac.compare_digest(code.code_hash, proof)), None)


def _others(states: Iterable[SubjectState]) -> Iterator[Others]:
    return (state.others for state in states if state.others is not None)
