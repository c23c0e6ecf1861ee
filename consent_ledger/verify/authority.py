"""Judging again whether whoever wrote an entry was allowed to (R36-R38): a desk's yes has its code.

The presence proof in an event is the hash that the code's own entry holds, so that a yes recorded at a desk names the
code that went to the resident; one without it was planted by somebody with the ledger's keys.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from consent_ledger.authority import Act, awaits_confirmation, check_act, granted_in_time
from consent_ledger.errors import RegieError
from consent_ledger.state import SubjectState
from consent_ledger.v1 import events_pb2 as pb

_NOT_JUDGED = frozenset({"attempt_refused"})


def wrong_authority(
    event: pb.Event, states: Sequence[SubjectState], used: Collection[bytes] = frozenset()
) -> str | None:
    """Return why an entry cannot have been written so; None: it can.

    ``states`` are those of its subjects before it, ``used`` the proofs of presence of all entries before it.
    """
    kind = str(event.WhichOneof("body"))
    body: Any = getattr(event, kind)
    if kind in _NOT_JUDGED or "capture" not in body.DESCRIPTOR.fields_by_name:
        return None
    scope: pb.Scope | None = body.scope if "scope" in body.DESCRIPTOR.fields_by_name else None
    act = Act(
        kind=kind,
        via=body.capture.via,
        by=body.capture.by,
        no=event.HasField("ask_answered") and not event.ask_answered.yes,
        proof=body.capture.presence_proof,
        purposes=frozenset({scope.purpose}) if scope else frozenset(),
        reference=event.representative_ended.reference,
        used=bool(body.capture.presence_proof) and body.capture.presence_proof in used,
    )
    try:
        check_act(act, states, event.time_ms)
    except RegieError as refusal:
        return refusal.message
    return _wrong_terms(event, states)


def _wrong_terms(event: pb.Event, states: Sequence[SubjectState]) -> str | None:
    if event.HasField("consent_granted") and not granted_in_time(event.consent_granted, event.time_ms):
        return "expected a yes that waits for some days or a confirmation, within its longest time"
    if event.HasField("grant_confirmed"):
        body = event.grant_confirmed
        if not awaits_confirmation(states, body.scope, body.granted_index):
            return "confirms what did not wait to be confirmed"
    if event.HasField("representative_accepted"):
        known = (one for state in states if state.others for one in state.others.representatives)
        reference = event.representative_accepted.reference
        if not any(one.reference == reference and one.invited(event.time_ms) for one in known):
            return "takes up an invitation that does not wait"
    return None
