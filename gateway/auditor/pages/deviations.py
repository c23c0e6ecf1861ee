"""A12: where organisations did otherwise than residents asked, and what they did not answer or acknowledge."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.v1 import events_pb2 as pb
from gateway.auditor import reading
from gateway.auditor.console import console_of, pseudonyms_of
from gateway.auditor.filters import Filter, QueryError, index_of
from gateway.auditor.index import queries, standing
from gateway.auditor.naming import naming_of
from gateway.auditor.showing import Menu, show

PATH = "/audit/wensen"
menu = Menu(120, PATH, "audit_wishes.menu")
SHOWN = ("overdue", "open", "")


async def wishes(request: Request) -> Response:
    """Show deviations, questions and notices; ``stand`` chooses which of the latter two."""
    console, now_ms = console_of(request), console_of(request).clock()
    only = request.query_params.get("stand", "open")
    if only not in SHOWN:
        raise QueryError("stand")
    before = index_of(request.query_params, "voor")
    deviated = await console.ask(lambda connection: queries.page(connection, Filter(stand="deviated"), before))
    return show(
        request,
        "audit_wishes.html",
        state=await console.ask(standing.state),
        counts=await console.ask(reading.deviation_counts),
        deviated=deviated,
        older=deviated[-1].idx if len(deviated) == queries.PAGE else None,
        newer=before is not None,
        tasks=await console.ask(lambda connection: reading.task_counts(connection, now_ms)),
        questions=await console.ask(lambda connection: reading.tasks(connection, "question", now_ms, only=only)),
        notices=await console.ask(lambda connection: reading.tasks(connection, "stop_use", now_ms, only=only)),
        only=only,
        offered=SHOWN,
        now_ms=now_ms,
        channel=_channel,
        deviations=_deviations,
        shown=pseudonyms_of(request).shown,
        names=naming_of(request),
    )


def _channel(number: int) -> str:
    """Return the end of a text id."""
    known = pb.Channel.DESCRIPTOR.values_by_number
    return str(known[number].name).removeprefix("CHANNEL_").lower() if number in known else ""


def _deviations(numbers: str) -> list[str]:
    """Return ends of text ids."""
    known = pb.Deviation.DESCRIPTOR.values_by_number
    found = [known[int(number)] for number in numbers.split() if int(number) in known]
    return [str(one.name).removeprefix("DEVIATION_").lower() for one in found]


routes = [Route(PATH, wishes, name="audit_wishes")]
