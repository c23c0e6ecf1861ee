"""A5: refusals by reason and by sender, and prohibited attempts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.v1 import events_pb2 as pb
from gateway.auditor.console import console_of, pseudonyms_of
from gateway.auditor.filters import Filter, filter_of
from gateway.auditor.index import queries, standing
from gateway.auditor.naming import naming_of
from gateway.auditor.showing import AUDIT, Menu, show

PATH = f"{AUDIT}/weigeringen"
_ATTEMPTS = 20


async def refusals(request: Request) -> Response:
    """Show them, of the whole log or of a period."""
    asked = filter_of(request.query_params)
    chosen = Filter(vanaf=asked.vanaf, tot=asked.tot)
    found = await console_of(request).ask(lambda connection: _read(connection, chosen))
    return show(
        request,
        "audit_refusals.html",
        chosen=chosen,
        names=naming_of(request),
        shown=pseudonyms_of(request).shown,
        prohibited=pb.REASON_PURPOSE_PROHIBITED,
        **found,
    )


def _read(connection: Connection, chosen: Filter) -> dict[str, Any]:
    refused = queries.by_reason_and_sender(connection, chosen.but(stand="refused"))
    stopped = queries.by_reason_and_sender(connection, chosen.but(stand="withheld"))
    everything = {count.value: count.number for count in queries.facet(connection, chosen, "van")}
    prohibited = chosen.but(reden=pb.REASON_PURPOSE_PROHIBITED)
    counts: dict[int, dict[str, int]] = {}
    for reason, sender, number in refused:
        counts.setdefault(reason, {})[sender] = number
    return {
        "state": standing.state(connection),
        "counts": counts,
        "senders": sorted({sender for _, sender, _ in refused}),
        "sent": everything,
        "refused": sum(number for _, _, number in refused),
        "stopped": stopped,
        "attempts": queries.page(connection, prohibited, None, _ATTEMPTS),
        "attempts_all": queries.total(connection, prohibited),
    }


menu = Menu(30, PATH, "refusals.menu")
routes = [Route(PATH, refusals, name="refusals")]
