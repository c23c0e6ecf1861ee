"""The resident's first page: what is shared now, what waits for an answer, what happened last."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.clock import DAY_MS
from consent_ledger.purpose import Text
from consent_ledger.registry import Registry
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.v1 import events_pb2
from consent_ledger.viewer.charts import months_chart
from consent_ledger.viewer.context import portal_of, resident_of, viewer_of
from consent_ledger.viewer.parties import Party, party, purpose_title
from consent_ledger.viewer.rendering import page
from consent_ledger.viewer.telling import HOLDING, Choice, tell_choices, tell_exchanges

NEWEST = 3
LOOKED_AT = 20
"""Exchanges among which to look for what asks for attention."""
RECENT_MS = 30 * DAY_MS
_MOST_URGENT_FIRST = ("decide", "confirm", "deviation", "late", "answered", "ends", "self_first", "solved")
"""What waits for the resident, in the order in which it is shown."""


class Todo(NamedTuple):
    """Something that asks for attention; ``kind`` is the text, ``path`` where one can do something about it."""

    kind: str
    path: str
    sender: str
    recipient: str
    title: Text
    at_ms: int
    channel: int = 0


async def overview(request: Request) -> Response:
    """Show how things stand, in two questions to the ledger."""
    portal, rows, now_ms = portal_of(request), resident_of(request).rows, viewer_of(request).clock()
    registry, record, summary = await asyncio.gather(
        portal.registry(), portal.record(rows, limit=LOOKED_AT), portal.summary(rows)
    )
    choices = tell_choices(registry, record.choices, now_ms)
    return page(
        request,
        "mijn.html",
        choices=choices,
        holding=[choice for choice in choices if choice.state in HOLDING],
        newest=tell_exchanges(registry, record, now_ms)[:NEWEST],
        paused=bool(record.paused_since_ms),
        paused_until_ms=record.paused_until_ms,
        todo=sorted(_todo(registry, record, choices, now_ms), key=lambda todo: _MOST_URGENT_FIRST.index(todo.kind)),
        parties=_organisations(registry, summary),
        bars=months_chart(summary.months, now_ms),
        more=summary.more,
    )


def _todo(registry: Registry, record: pb.GetRecordResponse, choices: list[Choice], now_ms: int) -> list[Todo]:
    found = [todo for choice in choices for todo in _of_choice(choice, now_ms)]
    found += [_deviation(registry, each) for each in record.exchanges if _recent(each.outcome, now_ms)]
    for question in record.questions:
        kind = "late" if question.overdue else "answered" if question.answered_ms > now_ms - RECENT_MS else ""
        if kind:
            name, title = party(registry, question.organisation).name, purpose_title(registry, question.purpose)
            found.append(Todo(kind, f"/mijn/vraag/{question.reference}", name, name, title, question.due_ms))
    return found


def _recent(outcome: events_pb2.OutcomeReported, now_ms: int) -> bool:
    return outcome.deviation and outcome.when_ms > now_ms - RECENT_MS


def _deviation(registry: Registry, exchange: pb.ExchangeRecord) -> Todo:
    names = (party(registry, exchange.sender).name, party(registry, exchange.recipient).name)
    path, title = f"/mijn/uitwisselingen/{exchange.log_index}", purpose_title(registry, exchange.purpose)
    return Todo("deviation", path, *names, title, exchange.outcome.when_ms, exchange.outcome.channel)


def _of_choice(choice: Choice, now_ms: int) -> list[Todo]:
    record, path = choice.record, f"/mijn/toestemmingen/{choice.record.log_index}"
    found = []
    if record.asked.open:
        found.append(("decide", "/mijn/vragen", record.asked.deadline_ms))
    if choice.state == "confirm":
        found.append(("confirm", path, record.valid_from_ms))
    if choice.state == "ends":
        found.append(("ends", path, record.valid_until_ms))
    if choice.state in HOLDING and record.self_first.log_index:
        entry = f"/mijn/uitwisselingen/{record.self_first.log_index}"
        if record.self_first.solved:
            found.append(("solved", entry, record.self_first.report_until_ms))
        elif now_ms < record.self_first.self_until_ms:
            found.append(("self_first", entry, record.self_first.self_until_ms))
    return [Todo(kind, to, choice.sender.name, choice.recipient.name, choice.title, at) for kind, to, at in found]


class Organisation(NamedTuple):
    """An organisation that sent or received something, or wanted to."""

    party: Party
    shared: int
    blocked: int
    waiting: int
    newest_ms: int


def _organisations(registry: Registry, summary: pb.GetSummaryResponse) -> list[Organisation]:
    """Add up, per organisation, what it sent and received."""
    found: dict[str, Organisation] = {}
    for count in summary.parties:
        for oin in (count.sender, count.recipient):
            before = found.get(oin) or Organisation(party(registry, oin), 0, 0, 0, 0)
            found[oin] = Organisation(
                before.party,
                before.shared + count.count.shared,
                before.blocked + count.count.blocked,
                before.waiting + count.count.waiting,
                max(before.newest_ms, count.newest_ms),
            )
    return sorted(found.values(), key=lambda one: -one.newest_ms)


routes = [Route("/mijn", overview, name="mijn")]
