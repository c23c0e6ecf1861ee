"""The decision whether one signal may go ahead (ledger.md "Events"; residents.md "Reason codes").

Pure: the same registry, state, request and time give the same decision, for the writer and for whoever replays the
log (I3). Each rule answers for one reason; the first that objects decides, and no consent is ever assumed (R1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from consent_ledger.clock import DAY_MS
from consent_ledger.purpose import Purpose
from consent_ledger.registry import Participant, Registry
from consent_ledger.state import COUNTED_MS, EMPTY, Choice, Exchange, SubjectState
from consent_ledger.v1 import batch_pb2
from consent_ledger.v1 import events_pb2 as pb

_LETTER = frozenset({pb.CHANNEL_BRIEF})
_POSITIVE = frozenset({pb.MODE_JA, pb.MODE_VRAAG_MIJ_EERST, pb.MODE_EERST_ZELF})


@dataclass(frozen=True, slots=True)
class ExchangeRequest:
    """What is asked: one signal. ``recheck`` is the decided index of a permit that is judged again at its release."""

    sender: str
    recipient: str
    purpose: str
    purpose_version: int
    items: tuple[str, ...]
    basis: int = batch_pb2.BASIS_OBSERVED
    severity: int = 0  # 0: the sender states none
    recheck: int | None = None


class Decision(NamedTuple):
    """Why, by which events (log indices), and the date that the reason speaks of (ms; 0: it speaks of none)."""

    reason: int
    decided_by: tuple[int, ...] = ()
    date_ms: int = 0

    @property
    def permitted(self) -> bool:
        """Whether the signal may go ahead."""
        return self.reason == pb.REASON_ALLOWED


def decide(registry: Registry, state: SubjectState | None, request: ExchangeRequest, now_ms: int) -> Decision:
    """Judge one signal about one subject (None: the ledger knows nothing of it); never raises, never guesses."""
    return judge_of(registry, request, now_ms)(state, request.recheck, request.severity)


Judge = Callable[["SubjectState | None", "int | None", int], Decision]
"""(state, recheck, severity) -> decision. At a recheck the severity is the one that the permit was given for."""


def judge_of(registry: Registry, request: ExchangeRequest, now_ms: int) -> Judge:
    """Return ``decide`` for many subjects of one request: what is the same for all of them is looked up once."""
    refusal = refused_for_all(registry, request)
    if refusal is not None:
        return lambda _state, _recheck, _severity: refusal
    terms = terms_of(registry, request)
    return lambda state, recheck, severity: decide_for(terms, state, now_ms, recheck, severity)


def refused_for_all(registry: Registry, request: ExchangeRequest) -> Decision | None:
    """Return the refusal that holds whoever the signal is about, or None: the first three reasons."""
    purpose = registry.find_purpose(request.purpose)
    # An inferred signal is a prohibited basis, whatever the purpose (R17); a retired purpose stays prohibited.
    if request.basis != batch_pb2.BASIS_OBSERVED or (purpose and purpose.prohibited):
        return Decision(pb.REASON_PURPOSE_PROHIBITED)
    if purpose is None or purpose.retired or purpose.version != request.purpose_version:
        return Decision(pb.REASON_PURPOSE_UNKNOWN)
    sender = registry.find_participant(request.sender)
    recipient = registry.find_participant(request.recipient)
    if not (_serves(sender, purpose.sender_kinds) and _serves(recipient, purpose.recipient_kinds)):
        return Decision(pb.REASON_PARTY_UNKNOWN)
    return None


def _serves(participant: Participant | None, kinds: tuple[str, ...]) -> bool:
    return participant is not None and not participant.suspended and participant.kind in kinds


@dataclass(frozen=True, slots=True)
class Terms:
    """What a request is judged by besides the subject's state; the same for a whole batch."""

    request: ExchangeRequest
    purpose: Purpose
    party: tuple[str, str]
    items: frozenset[str]
    within_purpose: bool
    channels: frozenset[int]  # the recipient's; empty: every channel


def terms_of(registry: Registry, request: ExchangeRequest) -> Terms:
    """Collect the terms of a request that ``refused_for_all`` lets through."""
    purpose = registry.purpose(request.purpose)
    items = frozenset(request.items)
    return Terms(
        request=request,
        purpose=purpose,
        party=(request.sender, request.recipient),
        items=items,
        within_purpose=bool(items) and items <= purpose.item_names,
        channels=frozenset(registry.participant(request.recipient).channels),
    )


def decide_for(
    terms: Terms, state: SubjectState | None, now_ms: int, recheck: int | None, severity: int = 0
) -> Decision:
    """Judge one subject under the terms of its batch: the reasons from PAUSED on."""
    state = state or EMPTY
    if state.pause and state.paused(now_ms):
        return Decision(pb.REASON_PAUSED, (state.pause.idx,), state.pause.until_ms)
    choice = state.choices.get(terms.party)
    if choice is None:
        return Decision(pb.REASON_NO_CONSENT)
    judged_ms = now_ms
    if recheck is not None:
        judged_ms, severity = _as_permitted(state, recheck, now_ms, severity)
    case = Case(terms, state, choice, now_ms, recheck, judged_ms, severity)
    for rule in _RULES_OF.get(choice.mode, RULES):
        decision = rule(case)
        if decision is not None:
            return decision
    return _allowed(case)


def _as_permitted(state: SubjectState, recheck: int, now_ms: int, severity: int) -> tuple[int, int]:
    """Return the time that answers and windows are judged at, and the severity, of a permit that is being released.

    They are those of when it was given. A resident's stop, pause or expiry counts until the last moment; the days to
    answer or to try it alone do not run out for a signal that came in time and waits at the recipient's door.
    """
    for permit in state.exchanges:
        if permit.decided_index == recheck:
            return permit.decided_ms, permit.severity
    return now_ms, severity


class Case(NamedTuple):
    """One subject's choice for the parties of a request, at a time."""

    terms: Terms
    state: SubjectState
    choice: Choice
    now_ms: int
    recheck: int | None
    judged_ms: int
    severity: int = 0

    def usable(self, used_by: int | None) -> bool:
        """Tell whether an answer or window is still free, or is the one that let this very permit through."""
        return used_by is None or used_by == self.recheck


Rule = Callable[[Case], "Decision | None"]


def _no_consent(case: Case) -> Decision | None:
    """A yes to an older version of the purpose is no yes to this one."""
    choice = case.choice
    stale = choice.mode in _POSITIVE and choice.purpose_version != case.terms.purpose.version
    return Decision(pb.REASON_NO_CONSENT) if stale and not choice.withdrawn_ms else None


def _refused(case: Case) -> Decision | None:
    """NEE; or the question was answered with no, or not at all in time (R3)."""
    choice, question = case.choice, case.choice.question
    if choice.mode == pb.MODE_NEE:
        return Decision(pb.REASON_REFUSED, (choice.idx,), choice.recorded_ms)
    if choice.mode != pb.MODE_VRAAG_MIJ_EERST or question is None:
        return None
    if question.yes is False:
        return Decision(pb.REASON_REFUSED, _indices(choice.idx, question.answer_index), question.answered_ms)
    deadline = question.opened_ms + case.terms.purpose.ask_days * DAY_MS
    if question.yes is None and case.judged_ms > deadline:
        return Decision(pb.REASON_REFUSED, (choice.idx, question.idx), deadline)
    return None


def _withdrawn(case: Case) -> Decision | None:
    choice = case.choice
    if not choice.withdrawn_ms and choice.mode in _POSITIVE:
        return None
    return Decision(pb.REASON_WITHDRAWN, _indices(choice.idx, choice.withdrawn_index), choice.withdrawn_ms)


def _expired(case: Case) -> Decision | None:
    choice = case.choice
    if case.now_ms < choice.valid_until_ms:
        return None
    return Decision(pb.REASON_EXPIRED, (choice.idx,), choice.valid_until_ms)


def _not_yet_valid(case: Case) -> Decision | None:
    choice = case.choice
    if case.now_ms >= choice.valid_from_ms:
        return None
    return Decision(pb.REASON_NOT_YET_VALID, (choice.idx,), choice.valid_from_ms)


def _scope_exceeded(case: Case) -> Decision | None:
    """More than the purpose lists or the resident allows: nothing partial (R16)."""
    terms, allowed = case.terms, case.choice.items
    if terms.within_purpose and (terms.request.items == allowed or terms.items.issubset(allowed)):
        return None
    return Decision(pb.REASON_SCOPE_EXCEEDED, (case.choice.idx,), case.choice.recorded_ms)


def _below_threshold(case: Case) -> Decision | None:
    """A sender that states no severity cannot show that it reaches a threshold (R4)."""
    if case.severity >= case.choice.threshold:
        return None
    return Decision(pb.REASON_BELOW_THRESHOLD, (case.choice.idx,), case.choice.recorded_ms)


def _general_only(case: Case) -> Decision | None:
    contact = case.state.contact
    if contact is None or not contact.general_only:
        return None
    return Decision(pb.REASON_GENERAL_ONLY, (case.choice.idx, contact.idx))


def _rate_cap(case: Case) -> Decision | None:
    """The resident's cap and the purpose's, over what was permitted or released in the last 30 days (R29)."""
    contact, exchanges = case.state.contact, case.state.exchanges
    wished = contact.most_per_30_days if contact else 0
    most = case.terms.purpose.most_exchanges_per_30_days
    cap = min(wished, most) if wished and most else wished or most
    if not cap or len(exchanges) < cap:
        return None
    counted = _counted(exchanges, case.now_ms - COUNTED_MS, case.recheck)
    if len(counted) < cap:
        return None
    by_wish = contact.idx if contact and wished == cap else None
    return Decision(pb.REASON_RATE_CAP, _indices(case.choice.idx, by_wish, *counted))


def _counted(exchanges: Sequence[Exchange], since_ms: int, recheck: int | None) -> list[int]:
    """Return which exchanges count (decided indices); the one that is being released is not one before itself."""
    recent = [e.decided_index for e in exchanges if (e.released_ms or e.decided_ms) > since_ms]
    return recent if recheck is None else [index for index in recent if index != recheck]


def _self_first_window(case: Case) -> Decision | None:
    """EERST_ZELF: the first signal opens a window; one that comes in the days after it may go (R3)."""
    choice, window = case.choice, case.choice.window
    if choice.mode != pb.MODE_EERST_ZELF:
        return None
    days_ms = case.terms.purpose.self_first_days * DAY_MS
    if window and case.usable(window.used_by):
        since = case.judged_ms - window.opened_ms
        if since <= days_ms:
            return Decision(pb.REASON_SELF_FIRST_WINDOW, (choice.idx, window.idx), window.opened_ms + days_ms)
        if since <= 2 * days_ms:
            return None
    return Decision(pb.REASON_SELF_FIRST_WINDOW, (choice.idx,), case.now_ms + days_ms)


def _awaiting_resident(case: Case) -> Decision | None:
    """VRAAG_MIJ_EERST: a yes lets one exchange through within the days to answer; else a question opens or is open."""
    choice, question = case.choice, case.choice.question
    if choice.mode != pb.MODE_VRAAG_MIJ_EERST:
        return None
    days_ms = case.terms.purpose.ask_days * DAY_MS
    if question and question.yes is None:
        return Decision(pb.REASON_AWAITING_RESIDENT, (choice.idx, question.idx), question.opened_ms + days_ms)
    if question and case.usable(question.used_by) and case.judged_ms <= question.answered_ms + days_ms:
        return None
    return Decision(pb.REASON_AWAITING_RESIDENT, (choice.idx,), case.now_ms + days_ms)


def _receiver_cannot_honour(case: Case) -> Decision | None:
    """No channel that the resident accepts is one that the recipient has (R34)."""
    contact, offered = case.state.contact, case.terms.channels
    accepted = contact.usable() if contact else _LETTER
    if not accepted.isdisjoint(offered) if offered else accepted:
        return None
    return Decision(pb.REASON_RECEIVER_CANNOT_HONOUR, _indices(case.choice.idx, contact.idx if contact else None))


RULES: tuple[Rule, ...] = (
    _no_consent,
    _refused,
    _withdrawn,
    _expired,
    _not_yet_valid,
    _scope_exceeded,
    _below_threshold,
    _general_only,
    _rate_cap,
    _self_first_window,
    _awaiting_resident,
    _receiver_cannot_honour,
)
"""After PAUSED, in the order of the reason codes; LEDGER_UNAVAILABLE is said by who cannot reach the ledger."""

_ONLY_OF: dict[Rule, frozenset[int]] = {
    _no_consent: _POSITIVE,
    _refused: frozenset({pb.MODE_NEE, pb.MODE_VRAAG_MIJ_EERST}),
    _self_first_window: frozenset({pb.MODE_EERST_ZELF}),
    _awaiting_resident: frozenset({pb.MODE_VRAAG_MIJ_EERST}),
}
"""Rules that object to some modes of a choice only: a batch does not ask them of the others, a thousand times."""
_RULES_OF: dict[int, tuple[Rule, ...]] = {
    mode: tuple(rule for rule in RULES if mode in _ONLY_OF.get(rule, (mode,))) for mode in (*_POSITIVE, pb.MODE_NEE)
}


class Asked(NamedTuple):
    """One rule that was asked, by the reason it answers for, and its objection if it had one."""

    reason: int
    objection: Decision | None


def asked_in_order(
    registry: Registry, state: SubjectState | None, request: ExchangeRequest, now_ms: int
) -> tuple[Asked, ...]:
    """Return the rules that ``decide`` asks, in order: all pass but perhaps the last, whose objection is the decision.

    A second walk over the same rules, for whoever wants to see them; ``decide`` itself is not slowed by it.
    """
    general = refused_for_all(registry, request)
    if general is not None:
        return (
            *(Asked(reason, None) for reason in _FOR_ALL if reason < general.reason),
            Asked(general.reason, general),
        )
    asked = [Asked(reason, None) for reason in _FOR_ALL]
    terms, state = terms_of(registry, request), state or EMPTY
    choice = state.choices.get(terms.party)
    if state.paused(now_ms) or choice is None:
        decision = decide_for(terms, state, now_ms, request.recheck, request.severity)
        before = [Asked(pb.REASON_PAUSED, None)] if decision.reason == pb.REASON_NO_CONSENT else []
        return (*asked, *before, Asked(decision.reason, decision))
    asked.append(Asked(pb.REASON_PAUSED, None))
    judged_ms, severity = now_ms, request.severity
    if request.recheck is not None:
        judged_ms, severity = _as_permitted(state, request.recheck, now_ms, severity)
    case = Case(terms, state, choice, now_ms, request.recheck, judged_ms, severity)
    for reason, rule in zip(_BY_CHOICE, RULES, strict=True):
        asked.append(Asked(reason, rule(case)))
        if asked[-1].objection is not None:
            break
    return tuple(asked)


_FOR_ALL = (pb.REASON_PURPOSE_PROHIBITED, pb.REASON_PURPOSE_UNKNOWN, pb.REASON_PARTY_UNKNOWN)
_BY_CHOICE = tuple(range(pb.REASON_NO_CONSENT, pb.REASON_RECEIVER_CANNOT_HONOUR + 1))
"""What each of ``RULES`` answers for."""
RULES_IN_ORDER: tuple[int, ...] = (*_FOR_ALL, pb.REASON_PAUSED, *_BY_CHOICE)
"""Every rule by the reason it answers for, in the order they are asked."""


def _allowed(case: Case) -> Decision:
    choice, contact = case.choice, case.state.contact
    answer = choice.question.answer_index if choice.question else None
    window = choice.window.idx if choice.window else None
    if answer is None and window is None and contact is None:
        return Decision(pb.REASON_ALLOWED, (choice.idx,), choice.recorded_ms)
    indices = _indices(choice.idx, answer, window, contact.idx if contact else None)
    return Decision(pb.REASON_ALLOWED, indices, choice.recorded_ms)


def _indices(*found: int | None) -> tuple[int, ...]:
    """Return the log indices that are there, increasing and once each."""
    return tuple(sorted({index for index in found if index is not None}))


_OUTCOMES: dict[int, pb.Outcome.ValueType] = {
    pb.REASON_ALLOWED: pb.OUTCOME_ACCEPTED,
    pb.REASON_PURPOSE_PROHIBITED: pb.OUTCOME_DOEL_VERBODEN,
    pb.REASON_SCOPE_EXCEEDED: pb.OUTCOME_GEGEVENS_NIET_TOEGESTAAN,
    pb.REASON_SELF_FIRST_WINDOW: pb.OUTCOME_LATER_OPNIEUW,
    pb.REASON_AWAITING_RESIDENT: pb.OUTCOME_LATER_OPNIEUW,
    pb.REASON_LEDGER_UNAVAILABLE: pb.OUTCOME_PROBEER_LATER,
}


def outcome_of(reason: int, purpose: Purpose | None) -> pb.Outcome.ValueType:
    """Return what an agency is told: one coarse answer for reasons it may not tell apart (R10)."""
    outcome = _OUTCOMES.get(reason, pb.OUTCOME_GEEN_TOESTEMMING)
    if outcome == pb.OUTCOME_LATER_OPNIEUW and purpose and purpose.fold_later:
        return pb.OUTCOME_GEEN_TOESTEMMING
    return outcome
