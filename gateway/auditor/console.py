"""What every page of the console has: the index, the log, the directory, and who is looking for which case."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeVar, cast
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from consent_ledger.clock import DAY_MS, Clock
from consent_ledger.registry import Registry
from consent_ledger.v1 import events_pb2, log_pb2
from consent_ledger.viewer.context import language_of, session_of, viewer_of
from consent_ledger.viewer.rendering import go
from consent_ledger.viewer.session import LONGEST_MS
from gateway.auditor.filters import QueryError
from gateway.auditor.log import Log
from gateway.auditor.pseudonyms import Pseudonyms
from gateway.auditor.runs import Runs, runs_at
from gateway.auditor.showing import AUDIT, CASE, PERSON, case_of, person_of, show
from gateway.database import Database
from gateway.home import Home, Organisation

LOGIN = f"{AUDIT}/inloggen"
_REMEMBERED = 2_000
T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]
VIEW, EXPORT = events_pb2.AUDIT_ACT_VIEW, events_pb2.AUDIT_ACT_EXPORT


@dataclass(slots=True)
class Console:
    """``reader`` runs queries beside the follower.

    ``registry`` is the directory as it was verified last, ``registry_at`` as it stood before a log index.
    """

    home: Home
    organisation: Organisation
    reader: Database
    log: Log
    registry: Callable[[], Registry]
    registry_at: Callable[[int], Registry]
    key: bytes = field(repr=False)
    clock: Clock
    _recorded: dict[bytes, None] = field(default_factory=dict)
    _runs: Runs | None = None

    @property
    def runs(self) -> Runs:
        """Checks of the whole ledger, where this home has it; the reports of earlier ones are read at first use."""
        if self._runs is None:
            self._runs = runs_at(self.home, self.organisation, self.clock)
        return self._runs

    def close(self) -> None:
        """Interrupt a check that is under way."""
        if self._runs is not None:
            self._runs.close()

    async def ask(self, work: Callable[[Connection], T]) -> T:
        """Run a query of ``index.queries``."""
        return await self.reader.run(work)

    async def record(self, request: log_pb2.RecordAccessRequest) -> None:
        """Record that somebody looks, once a day; raises RegieError, and then nothing may be shown."""
        day = self.clock() // DAY_MS
        name = sha256(f"{day}/".encode() + request.SerializeToString(deterministic=True)).digest()
        if name in self._recorded:
            return
        await self.log.record_access(request)
        self._recorded[name] = None
        while len(self._recorded) > _REMEMBERED:
            self._recorded.pop(next(iter(self._recorded)))


def console_of(request: Request) -> Console:
    """Return the application's console."""
    return cast("Console", request.app.state.console)


def pseudonyms_of(request: Request) -> Pseudonyms:
    """Return how this case names residents: ``pseudonyms_of(request).shown(row.resident)``."""
    return Pseudonyms(console_of(request).key, case_of(request))


def enter(request: Request, person: str, case: str) -> None:
    """Begin a visit for a case, under a new cookie."""
    session = session_of(request)
    session.log_out()
    session.began_ms = viewer_of(request).clock()
    session.remember(PERSON, person)
    session.remember(CASE, case)


def looked(name: str, *, act: events_pb2.AuditAct.ValueType = VIEW, about: str = "") -> Callable[[Endpoint], Endpoint]:
    """Say what a page is called in the record, where that is not its route's name; ``about``: path part with an index.

    A page about one decision stands in that resident's record: the resident reads it.
    """

    def mark(endpoint: Endpoint) -> Endpoint:
        @functools.wraps(endpoint)
        async def marked(request: Request) -> Response:
            return await endpoint(request)

        marked.looked = (name, act, about)  # type: ignore[attr-defined]  # for `audited`
        return marked

    return mark


def audited(endpoint: Endpoint, name: str) -> Endpoint:
    """Let in who is logged in for a case, and record that they look before anything is shown (R23)."""
    recorded, act, about = getattr(endpoint, "looked", (name, VIEW, ""))

    @functools.wraps(endpoint)
    async def guarded(request: Request) -> Response:
        session = session_of(request)
        if not person_of(request) or viewer_of(request).clock() - session.began_ms > LONGEST_MS:
            return go(request, LOGIN)
        index = request.path_params[about] + 1 if about else 0
        await console_of(request).record(
            log_pb2.RecordAccessRequest(
                person=person_of(request),
                case=case_of(request),
                page=recorded,
                act=act,
                query=query_hash(request),
                about=index,
            )
        )
        try:
            return await endpoint(request)
        except QueryError as error:
            return show(request, "audit_wrong.html", 400, field=error.field)

    return guarded


def query_hash(request: Request) -> bytes:
    """Return SHA-256 of the question: the path without its language, and its parts in their order by name."""
    path = request.url.path.removeprefix(f"/{language_of(request)}")
    parts = urlencode(sorted(request.query_params.multi_items()))
    return sha256(f"{path}?{parts}".encode()).digest()
