"""The decision once more, the slow way: from the whole history of a subject, without any folded state.

Written from residents.md alone. It shares no code with decide.py and state.py, so that both have to be wrong in the
same way for the comparison to miss it.
"""

from __future__ import annotations

from dataclasses import dataclass

from consent_ledger.v1 import events_pb2 as pb

DAY = 86_400_000
DAYS_TO_ANSWER = 14 * DAY
DAYS_ALONE = 14 * DAY
PURPOSE_CAP = 5


@dataclass(frozen=True)
class Entry:
    """One event of the subject as the log has it."""

    index: int
    event: pb.Event
    reason: int = 0  # of a decision or a stop

    @property
    def kind(self) -> str:
        return str(self.event.WhichOneof("body"))

    @property
    def body(self):
        return getattr(self.event, self.kind)

    @property
    def time(self) -> int:
        return self.event.time_ms

    @property
    def party(self) -> tuple[str, str]:
        where = self.body.scope if hasattr(self.body, "scope") else self.body
        return where.sender, where.recipient


def paused(history: list[Entry], now: int) -> bool:
    last = [e for e in history if e.kind in ("sharing_paused", "sharing_resumed")][-1:]
    return (
        bool(last) and last[0].kind == "sharing_paused" and (last[0].body.until_ms == 0 or now < last[0].body.until_ms)
    )


def judge(  # noqa: C901  (one step per reason, in their order)
    history: list[Entry], party: tuple[str, str], items: set[str], now: int, permit: Entry | None = None
) -> str:
    """Say the reason for a signal of these parties now; ``permit`` is the decision that is judged again at delivery."""
    if paused(history, now):
        return "PAUSED"
    scoped = (
        "consent_granted",
        "consent_refused",
        "consent_withdrawn",
        "ask_answered",
        "exchange_decided",
        "exchange_released",
    )
    mine = [e for e in history if e.kind in scoped and e.party == party]
    starts = [n for n, e in enumerate(mine) if e.kind in ("consent_granted", "consent_refused")]
    if not starts:
        return "WITHDRAWN" if any(e.kind == "consent_withdrawn" for e in mine) else "NO_CONSENT"
    base, since = mine[starts[-1]], mine[starts[-1] + 1 :]
    if base.kind == "consent_refused":
        return "REFUSED"
    moment = permit.time if permit else now
    talk = _conversation(since) if base.body.mode == pb.MODE_VRAAG_MIJ_EERST else None
    if talk and talk.answer is False:
        return "REFUSED"
    if talk and talk.answer is None and moment > talk.asked + DAYS_TO_ANSWER:
        return "REFUSED"
    if any(e.kind == "consent_withdrawn" for e in since):
        return "WITHDRAWN"
    if now >= base.body.valid_until_ms:
        return "EXPIRED"
    if now < base.body.valid_from_ms:
        return "NOT_YET_VALID"
    if not items <= set(base.body.items):
        return "SCOPE_EXCEEDED"
    if base.body.threshold > 0:
        return "BELOW_THRESHOLD"
    return _by_wishes(history, now, permit) or _by_mode(base, since, talk, moment, permit) or "ALLOWED"


def _by_wishes(history: list[Entry], now: int, permit: Entry | None) -> str | None:
    wishes = [e.body.preferences for e in history if e.kind == "preferences_set"]
    if wishes and wishes[-1].general_only:
        return "GENERAL_ONLY"
    cap = min([PURPOSE_CAP, *(w.most_per_30_days for w in wishes[-1:] if w.most_per_30_days)])
    if _shared_lately(history, now, permit) >= cap:
        return "RATE_CAP"
    return None


def _shared_lately(history: list[Entry], now: int, permit: Entry | None) -> int:
    count = 0
    for e in history:
        if e.kind != "exchange_decided" or not e.body.permitted or (permit and e.index == permit.index):
            continue
        released = [r for r in history if r.kind == "exchange_released" and r.body.decided_index == e.index]
        stopped = [w for w in history if w.kind == "exchange_withheld" and w.body.decided_index == e.index]
        if stopped and not released:
            continue
        count += (released[0].time if released else e.time) > now - 30 * DAY
    return count


@dataclass
class _Talk:
    asked: int
    answer: bool | None = None
    answered: int = 0
    used_for: int | None = None


def _conversation(since: list[Entry]) -> _Talk | None:
    """Follow questions and answers by the clock alone."""
    talk: _Talk | None = None
    for e in since:
        if e.kind == "exchange_decided" and e.reason == pb.REASON_AWAITING_RESIDENT:
            still_open = talk is not None and talk.answer is None
            talk = talk if still_open else _Talk(e.time)
        elif e.kind == "ask_answered" and talk:
            talk.answer, talk.answered = e.body.yes, e.time
        elif e.kind == "exchange_released" and talk and talk.answer:
            talk.used_for = e.body.decided_index
    return talk


def _by_mode(base: Entry, since: list[Entry], talk: _Talk | None, moment: int, permit: Entry | None) -> str | None:
    free = {None, permit.index if permit else None}
    if base.body.mode == pb.MODE_VRAAG_MIJ_EERST:
        ok = talk and talk.answer and talk.used_for in free and moment <= talk.answered + DAYS_TO_ANSWER
        return None if ok else "AWAITING_RESIDENT"
    if base.body.mode != pb.MODE_EERST_ZELF:
        return None
    opened, used = None, None
    for e in since:
        if e.kind == "exchange_decided" and e.reason == pb.REASON_SELF_FIRST_WINDOW:
            inside = opened is not None and used is None and e.time <= opened + DAYS_ALONE
            if not inside:
                opened, used = e.time, None
        elif e.kind == "exchange_released" and opened is not None:
            used = e.body.decided_index
    ok = opened is not None and used in free and opened + DAYS_ALONE < moment <= opened + 2 * DAYS_ALONE
    return None if ok else "SELF_FIRST_WINDOW"
