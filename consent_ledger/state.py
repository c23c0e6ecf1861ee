"""What the log says about one subject, folded: the state that ``decide`` judges by.

A subject is one resident at the ledger, for one purpose and identifier scheme. The writer, the replay audit and a
rebuild all use the same ``fold``; the state is a projection and can be thrown away. Its values are named tuples: a
batch makes thousands of them, and frozen dataclasses cost four times as much.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

from consent_ledger.clock import DAY_MS
from consent_ledger.others import EVENTS, NOBODY, Others, fold_others, proof_in, used_up
from consent_ledger.v1 import events_pb2 as pb

COUNTED_MS = 30 * DAY_MS
"""Exchanges of the last 30 days count towards a cap."""

LONGEST_USE_MS = 730 * DAY_MS
"""What was delivered longer ago is in use nowhere any more: no purpose lets a recipient keep it for so long."""
_KEPT_DONE = 32
_KEPT_SOLVED = 16

Party = tuple[str, str]
"""(sender OIN, recipient OIN)."""


class Question(NamedTuple):
    """VRAAG_MIJ_EERST: a question put to the resident when a signal came, and its answer."""

    idx: int  # of the leaf that says so
    opened_ms: int
    yes: bool | None = None
    answered_ms: int = 0
    answer_index: int | None = None
    used_by: int | None = None  # decided index of the one exchange that the answer let through


class Window(NamedTuple):
    """EERST_ZELF: the days in which the resident solves it alone, and as many for the sender to report it again."""

    idx: int  # of the leaf that says so
    opened_ms: int
    used_by: int | None = None
    reported: bool = False  # the sender came again, and was told something else than to wait


class Choice(NamedTuple):
    """The resident's last choice for one sender and recipient. Mode UNSPECIFIED: withdrawn without a grant before."""

    mode: int
    idx: int  # of the leaf that says so
    recorded_ms: int
    purpose_version: int = 0
    items: tuple[str, ...] = ()
    threshold: int = 0
    valid_from_ms: int = 0
    valid_until_ms: int = 0
    withdrawn_ms: int = 0
    withdrawn_index: int | None = None
    question: Question | None = None
    window: Window | None = None
    confirmable_ms: int = 0  # recorded at a desk or on paper: once confirmed it holds, not before this time (R37)
    confirmed_index: int | None = None


class Pause(NamedTuple):
    """Everything is paused; ``until_ms`` 0 is until resumed."""

    idx: int  # of the leaf that says so
    since_ms: int
    until_ms: int


class Contact(NamedTuple):
    """How the resident wants to be approached (Preferences), and the leaf that says so."""

    idx: int  # of the leaf that says so
    channels: tuple[int, ...] = ()
    never: tuple[int, ...] = ()
    language: str = ""
    same_person: bool = False
    general_only: bool = False
    most_per_30_days: int = 0
    form_of_address: str = ""
    answer_days: int = 0
    quiet: tuple[int, ...] = ()
    companion: bool = False
    detail: int = 0
    neutral_envelope: bool = False
    one_offer: bool = False

    def usable(self) -> frozenset[int]:
        """Channels the resident accepts; letter only until chosen (R26)."""
        return frozenset(self.channels or (pb.CHANNEL_BRIEF,)) - frozenset(self.never)

    def to_proto(self) -> pb.Preferences:
        """Write them as they travel with a delivered signal."""
        return pb.Preferences(
            channels=self.channels or (pb.CHANNEL_BRIEF,),  # type: ignore[arg-type]  # enum values are ints
            never=self.never,  # type: ignore[arg-type]  # enum values are ints
            language=self.language,
            same_person=self.same_person,
            general_only=self.general_only,
            most_per_30_days=self.most_per_30_days,
            form_of_address=self.form_of_address,
            answer_days=self.answer_days,
            quiet=self.quiet,  # type: ignore[arg-type]  # enum values are ints
            companion=self.companion,
            detail=self.detail,  # type: ignore[arg-type]  # enum values are ints
            neutral_envelope=self.neutral_envelope,
            one_offer=self.one_offer,
        )


class Exchange(NamedTuple):
    """A permitted exchange that counts towards the cap."""

    decided_index: int
    decided_ms: int
    released_ms: int = 0  # 0: not released
    severity: int = 0  # as the sender stated it; 0: not at all

    @property
    def counted_ms(self) -> int:
        """The time it counts from."""
        return self.released_ms or self.decided_ms


class Delivered(NamedTuple):
    """A released signal that its recipient may be using: when the resident stops, it has to stop too (R5)."""

    idx: int  # of the release
    released_ms: int
    sender: str
    recipient: str
    purpose: str


QUESTION, STOP_USE = 1, 2


class Task(NamedTuple):
    """What an organisation is asked to do about this resident: answer a question, or acknowledge a stop-use notice."""

    idx: int  # of the leaf that asks
    kind: int  # QUESTION or STOP_USE
    organisation: str
    due_ms: int
    done_idx: int | None = None
    done_ms: int = 0


class SubjectState(NamedTuple):
    """Everything that decides about a subject; a value, never changed in place."""

    written_ms: int = 0  # created_ms of the last choice: an older write is stale
    choices: Mapping[Party, Choice] = MappingProxyType({})
    pause: Pause | None = None
    contact: Contact | None = None
    exchanges: tuple[Exchange, ...] = ()
    delivered: tuple[Delivered, ...] = ()  # in use, as far as is known; oldest first
    solved: tuple[int, ...] = ()  # windows of EERST_ZELF (opening leaf) after which the sender did not come again
    tasks: tuple[Task, ...] = ()  # all that are open, and the newest that are done; oldest first
    others: Others | None = None  # who else acts or looks; None: nobody ever did

    def paused(self, now_ms: int) -> bool:
        """Tell whether a pause is in force."""
        return self.pause is not None and (self.pause.until_ms == 0 or now_ms < self.pause.until_ms)


EMPTY = SubjectState()


def fold(  # noqa: C901, PLR0911  (one branch per kind of event)
    state: SubjectState, index: int, event: pb.Event, private: pb.PrivatePart
) -> SubjectState:
    """Return the state after one committed event of this subject, at its log index."""
    kind = event.WhichOneof("body")
    if state.others is not None and state.others.codes and kind and (proof := proof_in(event)):
        state = state._replace(others=used_up(state.others, proof))
    match kind:
        case "exchange_decided":
            body = event.exchange_decided
            party = (body.sender, body.recipient)
            return after_decision(
                state,
                index,
                event.time_ms,
                party,
                reason=private.reason,
                decided_by=private.decided_by,
                severity=private.severity,
            )
        case "exchange_released":
            released = event.exchange_released
            party = (released.sender, released.recipient)
            return after_release(state, index, event.time_ms, party, released.purpose, released.decided_index)
        case "exchange_withheld":
            gone = event.exchange_withheld.decided_index
            # Stopped at delivery, so it does not count; what was delivered before stays counted.
            kept = tuple(e for e in state.exchanges if e.decided_index != gone or e.released_ms)
            return state._replace(exchanges=kept)
        case "exchange_acknowledged" | "outcome_reported":
            return state
        case "record_erased":
            return _erased(state, event.record_erased)
        case "stop_use_noticed":
            return _noticed(state, index, event.stop_use_noticed)
        case "question_answered":
            return _done(state, event.question_answered.asked_index, index, event.time_ms)
        case "notice_acknowledged":
            return _done(state, event.notice_acknowledged.noticed_index, index, event.time_ms)
        case kind if kind in EVENTS:
            return state._replace(others=fold_others(state.others or NOBODY, index, event))
        case _:
            return _chosen(state, index, event)


def after_decision(
    state: SubjectState,
    index: int,
    time_ms: int,
    party: Party,
    *,
    reason: int,
    decided_by: Collection[int],
    severity: int = 0,
) -> SubjectState:
    """Return the state after ``ExchangeDecided``: a permit counts; a question or window opens unless it was open."""
    choice = state.choices.get(party)
    if reason == pb.REASON_ALLOWED:
        since = time_ms - COUNTED_MS
        recent = [e for e in state.exchanges if (e.released_ms or e.decided_ms) > since]
        counted = (*recent, Exchange(index, time_ms, 0, severity))
        state = SubjectState(*state[:4], counted, *state[5:])
    if choice is None:
        return state
    # The decision names the open question or window among what decided; if it names none, it opened one.
    if reason == pb.REASON_AWAITING_RESIDENT and not (choice.question and choice.question.idx in decided_by):
        return _with(state, party, choice._replace(question=Question(index, time_ms)))
    window = choice.window
    if reason != pb.REASON_SELF_FIRST_WINDOW:
        if window is None or window.reported:
            return state
        return _with(state, party, choice._replace(window=window._replace(reported=True)))
    if window and window.idx in decided_by:
        return state
    if window and not window.reported:  # it is over, and until now nobody came
        state = state._replace(solved=(*state.solved, window.idx)[-_KEPT_SOLVED:])
    return _with(state, party, choice._replace(window=Window(index, time_ms)))


def _erased(state: SubjectState, body: pb.RecordErased) -> SubjectState:
    """After the resident's request nothing stands, not even if some entry stayed; a choice written before is stale."""
    if body.ground == pb.ERASURE_GROUND_RETENTION:
        return state  # what was erased decided nothing any more
    return SubjectState(written_ms=max(state.written_ms, body.created_ms))


def _with(state: SubjectState, party: Party, choice: Choice) -> SubjectState:
    return state._replace(choices={**state.choices, party: choice})


def after_release(  # noqa: PLR0917  (what a release says, for a thousand at a time)
    state: SubjectState, index: int, time_ms: int, party: Party, purpose: str, used: int
) -> SubjectState:
    """Return the state after ``ExchangeReleased`` of the decision at index ``used``.

    It counts from its release, the answer or window that let it through is used up, and it is in use from now on.
    """
    exchanges = tuple([e._replace(released_ms=time_ms) if e.decided_index == used else e for e in state.exchanges])
    in_use = [one for one in state.delivered if one.released_ms > time_ms - LONGEST_USE_MS]
    in_use.append(Delivered(index, time_ms, *party, purpose))
    state = SubjectState(*state[:4], exchanges, tuple(in_use), *state[6:])
    choice = state.choices.get(party)
    if choice is None:
        return state
    if choice.mode == pb.MODE_VRAAG_MIJ_EERST and choice.question and choice.question.yes:
        return _with(state, party, choice._replace(question=choice.question._replace(used_by=used)))
    if choice.mode == pb.MODE_EERST_ZELF and choice.window:
        return _with(state, party, choice._replace(window=choice.window._replace(used_by=used)))
    return state


def _noticed(state: SubjectState, index: int, body: pb.StopUseNoticed) -> SubjectState:
    """The recipient is told once: what it was told of is in use no more, and it has to say so."""
    released = frozenset(body.released)
    state = state._replace(delivered=tuple(one for one in state.delivered if one.idx not in released))
    return _asked(state, Task(index, STOP_USE, body.recipient, body.due_ms))


def _asked(state: SubjectState, task: Task) -> SubjectState:
    return state._replace(tasks=(*state.tasks, task))


def _done(state: SubjectState, asked: int, index: int, time_ms: int) -> SubjectState:
    """Note that a task is done; of those that are, only the newest are kept: the others are in the log."""
    tasks = [t._replace(done_idx=index, done_ms=time_ms) if t.idx == asked else t for t in state.tasks]
    done = [task.idx for task in tasks if task.done_idx is not None]
    gone = frozenset(done[: max(0, len(done) - _KEPT_DONE)])
    return state._replace(tasks=tuple(task for task in tasks if task.idx not in gone))


def _chosen(  # noqa: PLR0911  (one return per kind of event)
    state: SubjectState, index: int, event: pb.Event
) -> SubjectState:
    """Fold an event by which the resident chose something."""
    name = event.WhichOneof("body")
    if name is None:
        return state
    body = getattr(event, name)
    state = state._replace(written_ms=max(state.written_ms, body.created_ms))
    match name:
        case "consent_granted":
            return _with(state, _party(body.scope), _granted(body, index, event.time_ms))
        case "consent_refused":
            refusal = Choice(pb.MODE_NEE, index, event.time_ms, body.scope.purpose_version)
            return _with(state, _party(body.scope), refusal)
        case "consent_withdrawn":
            return _withdrawn(state, _party(body.scope), index, event.time_ms)
        case "sharing_paused":
            return state._replace(pause=Pause(index, event.time_ms, body.until_ms))
        case "sharing_resumed":
            return state._replace(pause=None)
        case "ask_answered":
            return _answered(state, _party(body.scope), index, event.time_ms, yes=body.yes)
        case "grant_confirmed":
            return _confirmed(state, index, event)
        case "question_asked":
            return _asked(state, Task(index, QUESTION, body.organisation, body.due_ms))
        case _:  # preferences_set, the last of the oneof
            return state._replace(contact=contact(body.preferences, index))


def _party(scope: pb.Scope) -> Party:
    return scope.sender, scope.recipient


def _granted(body: pb.ConsentGranted, index: int, time_ms: int) -> Choice:
    return Choice(
        mode=body.mode,
        idx=index,
        recorded_ms=time_ms,
        purpose_version=body.scope.purpose_version,
        items=tuple(body.items),
        threshold=body.threshold,
        valid_from_ms=body.valid_from_ms,
        valid_until_ms=body.valid_until_ms,
        confirmable_ms=body.confirmable_from_ms,
    )


def _confirmed(state: SubjectState, index: int, event: pb.Event) -> SubjectState:
    """What was recorded at a desk or on paper holds from its confirmation, if that comes before its own start."""
    party, named = _party(event.grant_confirmed.scope), event.grant_confirmed.granted_index
    choice = state.choices.get(party)
    if choice is None or choice.idx != named or not choice.confirmable_ms:
        return state
    starts_ms = min(choice.valid_from_ms, max(event.time_ms, choice.confirmable_ms))
    return _with(state, party, choice._replace(valid_from_ms=starts_ms, confirmable_ms=0, confirmed_index=index))


def _withdrawn(state: SubjectState, party: Party, index: int, time_ms: int) -> SubjectState:
    before = state.choices.get(party) or Choice(pb.MODE_UNSPECIFIED, index, time_ms)
    if before.withdrawn_ms:
        return state  # the first withdrawal is the one that stopped it
    return _with(state, party, before._replace(withdrawn_ms=time_ms, withdrawn_index=index))


def _answered(state: SubjectState, party: Party, index: int, time_ms: int, *, yes: bool) -> SubjectState:
    choice = state.choices.get(party)
    if choice is None or choice.question is None:
        return state
    question = choice.question._replace(yes=yes, answered_ms=time_ms, answer_index=index)
    return _with(state, party, choice._replace(question=question))


def contact(preferences: pb.Preferences, index: int) -> Contact:
    """Read preferences; ``index`` is the leaf that set them."""
    return Contact(
        idx=index,
        channels=tuple(preferences.channels),
        never=tuple(preferences.never),
        language=preferences.language,
        same_person=preferences.same_person,
        general_only=preferences.general_only,
        most_per_30_days=preferences.most_per_30_days,
        form_of_address=preferences.form_of_address,
        answer_days=preferences.answer_days,
        quiet=tuple(preferences.quiet),
        companion=preferences.companion,
        detail=preferences.detail,
        neutral_envelope=preferences.neutral_envelope,
        one_offer=preferences.one_offer,
    )
