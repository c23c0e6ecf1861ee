"""What an auditor asks of the list of exchanges, in the address: so that a page can be kept, sent and recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any
from urllib.parse import urlencode

from consent_ledger.v1 import events_pb2 as pb
from gateway.auditor.index import states

PERMITTED = "permitted"
"""Every state but refused."""
_LONGEST = 128
_MOST_INDEX = 2**62


class QueryError(ValueError):
    """An address that means nothing; ``field`` is the part of it."""

    def __init__(self, field: str) -> None:
        """Name the part."""
        super().__init__(field)
        self.field = field


@dataclass(frozen=True, slots=True)
class Filter:
    """Each field names one thing to choose by; None or "" chooses all. Fields are called as in the address."""

    van: str = ""  # sender
    aan: str = ""  # recipient
    doel: str = ""  # purpose
    reden: int | None = None  # Reason
    stand: str = ""  # name of a state, or PERMITTED
    vanaf: int | None = None  # first day
    tot: int | None = None  # last day
    bewoner: int | None = None  # the resident of the decision at this index: no number of a person is in an address

    @property
    def states(self) -> tuple[int, ...]:
        """Numbers of the states chosen; () chooses all."""
        if self.stand == PERMITTED:
            return tuple(range(1, len(states.STATES)))
        return (states.STATES.index(self.stand),) if self.stand else ()

    @property
    def query(self) -> dict[str, str]:
        """The filter as parts of an address."""
        return {name: _written(name, value) for name, value in self._set()}

    @property
    def address(self) -> str:
        """The filter as the end of an address, "" or beginning with a question mark."""
        return f"?{urlencode(self.query)}" if self.query else ""

    def but(self, **changes: Any) -> Filter:
        """Return the filter with other values."""
        return replace(self, **changes)

    def _set(self) -> Iterable[tuple[str, Any]]:
        values = ((each.name, getattr(self, each.name)) for each in fields(self))
        return [(name, value) for name, value in values if value not in (None, "")]


def filter_of(said: Mapping[str, str], more: Iterable[str] = ()) -> Filter:
    """Read a filter; ``more`` are parts of the address that are no part of it. Raises QueryError."""
    known = {each.name for each in fields(Filter)}
    for name in said:
        if name not in known and name not in more:
            raise QueryError(name if name.isidentifier() and len(name) < _LONGEST else "?")
    return Filter(
        van=_oin(said, "van"),
        aan=_oin(said, "aan"),
        doel=_short(said, "doel"),
        reden=_reason(said),
        stand=_state(said),
        vanaf=_day(said, "vanaf"),
        tot=_day(said, "tot"),
        bewoner=index_of(said, "bewoner"),
    )


def index_of(said: Mapping[str, str], name: str) -> int | None:
    """Return a log index of the address, None when it names none; raises QueryError."""
    value = said.get(name, "")
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 19 and int(value) < _MOST_INDEX):
        raise QueryError(name)
    return int(value)


def _oin(said: Mapping[str, str], name: str) -> str:
    value = said.get(name, "")
    if value and not (value.isascii() and value.isdigit() and len(value) == 20):
        raise QueryError(name)
    return value


def _short(said: Mapping[str, str], name: str) -> str:
    value = said.get(name, "")
    if len(value) > _LONGEST or not value.isprintable():
        raise QueryError(name)
    return value


def _reason(said: Mapping[str, str]) -> int | None:
    value = said.get("reden", "")
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 4 and int(value) in pb.Reason.values()):
        raise QueryError("reden")
    return int(value)


def _state(said: Mapping[str, str]) -> str:
    value = said.get("stand", "")
    if value and value not in (*states.STATES, PERMITTED):
        raise QueryError("stand")
    return value


def _day(said: Mapping[str, str], name: str) -> int | None:
    value = said.get(name, "")
    if not value:
        return None
    try:
        found = date.fromisoformat(value)
    except ValueError:
        raise QueryError(name) from None
    if found.year < 1971:
        raise QueryError(name)
    return states.day_number(found)


def _written(name: str, value: Any) -> str:
    return states.date_of(value).isoformat() if name in {"vanaf", "tot"} else str(value)
