"""Who may see what opens a commitment. Entries and proofs are everybody's; the events behind them are not."""

from __future__ import annotations

from consent_ledger.registry import Participant
from consent_ledger.v1 import events_pb2 as pb

OPENS_ALL = frozenset({"ledger", "auditor", "viewer"})
SEES_PRIVATE = frozenset({"ledger", "auditor"})
"""The private part holds reasons and subjects: the viewer has the resident's own through ConsentService."""


def may_open(who: Participant, event: pb.Event) -> bool:  # noqa: PLR0911  (one return per kind of event)
    """Tell whether a participant may see an event: the ledger, auditors and the viewer all, an agency its own part.

    A sender: the decisions on its signals, which it was told. A recipient: what was released to it, and what it said
    itself. Not a sender the release, since its absence would tell of a withdrawal or a pause; nor a recipient the
    decision, since a refusal would tell of a signal that it must not know of; nor either a resident's choices, nor a
    question as it was recorded, since that says who helped the resident to ask: it is told what it has to know.
    """
    if who.kind in OPENS_ALL:
        return True
    match event.WhichOneof("body"):
        case "exchange_decided":
            return event.exchange_decided.sender == who.oin
        case "exchange_released":
            return event.exchange_released.recipient == who.oin
        case "exchange_acknowledged":
            return event.exchange_acknowledged.recipient == who.oin
        case "outcome_reported":
            return event.outcome_reported.recipient == who.oin
        case "question_answered":
            return event.question_answered.organisation == who.oin
        case "stop_use_noticed":
            return event.stop_use_noticed.recipient == who.oin
        case "notice_acknowledged":
            return event.notice_acknowledged.recipient == who.oin
        case _:
            return False
