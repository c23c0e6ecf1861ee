"""A2: exchanges, chosen by filters in the address, with counts for every other choice and what stands out."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.dates import local_time
from consent_ledger.viewer.catalogue import Words
from consent_ledger.viewer.context import words_of
from gateway.auditor.console import console_of, pseudonyms_of
from gateway.auditor.filters import PERMITTED, Filter, filter_of, index_of
from gateway.auditor.index import queries, standing, standout, states
from gateway.auditor.naming import Naming, naming_of
from gateway.auditor.showing import AUDIT, Menu, show

PATH = f"{AUDIT}/uitwisselingen"


class Choice(NamedTuple):
    """A value that a facet offers: its name, how many, the filter with it, and whether it is chosen."""

    name: str
    number: int
    filter: Filter
    chosen: bool


async def exchanges(request: Request) -> Response:
    """Show a page of them."""
    chosen = filter_of(request.query_params, more=("voor",))
    before = index_of(request.query_params, "voor")
    names, words = naming_of(request), words_of(request)
    found = await console_of(request).ask(lambda connection: _read(connection, chosen, before))
    facets = {name: _choices(chosen, name, counts, names, words) for name, counts in found.pop("facets").items()}
    return show(
        request,
        "audit_exchanges.html",
        chosen=chosen,
        before=before,
        facets=facets,
        names=names,
        value_name=lambda dimension, value: value_name(dimension, value, names, words),
        shown=pseudonyms_of(request).shown,
        state_names=states.STATES,
        stamp=stamp,
        **found,
    )


def _read(connection: Connection, chosen: Filter, before: int | None) -> dict[str, Any]:
    rows = queries.page(connection, chosen, before, queries.PAGE + 1)
    return {
        "state": standing.state(connection),
        "total": queries.total(connection, chosen),
        "erased": queries.erased(connection, chosen),
        "facets": queries.facets(connection, chosen),
        "standouts": standout.standouts(connection, chosen),
        "rows": rows[: queries.PAGE],
        "older": rows[queries.PAGE - 1].idx if len(rows) > queries.PAGE else None,
    }


def stamp(time_ms: int) -> str:
    """Write a time in the Netherlands to the second, for a list of many."""
    return local_time(time_ms).strftime("%Y-%m-%d %H:%M:%S")


def value_name(dimension: str, value: Any, names: Naming, words: Words) -> str:
    """Return what a value of a dimension is called."""
    match dimension:
        case "van" | "aan":
            return names.party(value)
        case "doel":
            return names.purpose(value)
        case "reden":
            return names.reason(value)
        case _:
            return words.text(f"audit.state_{states.STATES[value]}")


def _choices(chosen: Filter, dimension: str, counts: list[queries.Count], names: Naming, words: Words) -> list[Choice]:
    """Return what one can choose of a dimension; of states also all that are permitted, together."""
    current = getattr(chosen, dimension)
    found = []
    for value, number in counts:
        said = states.STATES[value] if dimension == "stand" else value
        empty = None if dimension == "reden" else ""
        after = chosen.but(**{dimension: empty if said == current else said})
        found.append(Choice(value_name(dimension, value, names, words), number, after, said == current))
    if dimension == "stand":
        permitted = sum(number for value, number in counts if value != states.REFUSED)
        is_chosen = current == PERMITTED
        after = chosen.but(stand="" if is_chosen else PERMITTED)
        found.append(Choice(words.text("audit.state_permitted"), permitted, after, is_chosen))
    return found


menu = Menu(20, PATH, "exchanges.menu")
routes = [Route(PATH, exchanges, name="exchanges")]
