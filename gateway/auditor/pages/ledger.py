"""A6: the log as the console followed it: head, growth, consistency, keys, chains, and the newest check of all rows."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent_ledger.errors import RegieError
from consent_ledger.log.checkpoint import Checkpoint
from consent_ledger.log.errors import VerificationError
from consent_ledger.viewer.rendering import done, go
from gateway.auditor import reading
from gateway.auditor.checkpoints import Consistency, consistency_of
from gateway.auditor.console import Console, console_of
from gateway.auditor.filters import index_of
from gateway.auditor.growing import columns
from gateway.auditor.index.states import date_of, day_of
from gateway.auditor.loghead import KeyEvent, key_history, newest_checkpoint, trusted_checkpoint
from gateway.auditor.runs import AlreadyRunningError, Check
from gateway.auditor.showing import Menu, show

PATH = "/audit/logboek"
menu = Menu(60, PATH, "audit_log.menu")
_DAYS = 31


class Noted(NamedTuple):
    """Something that must never be, which the console found while it followed the log."""

    found_ms: int
    kind: str
    idx: int | None
    old_size: int
    old_root: bytes


class Asked(NamedTuple):
    """What the log answers now; ``problem`` when that does not check, ``silent`` when it says nothing."""

    newest: Checkpoint | None = None
    keys: tuple[KeyEvent, ...] = ()
    problem: str = ""
    silent: bool = False


async def ledger(request: Request) -> Response:
    """Show the log."""
    console = console_of(request)
    trusted = await trusted_checkpoint(console)
    old, new = index_of(request.query_params, "van"), index_of(request.query_params, "tot")
    proof, unproven = await _proof(console, old, new, trusted)
    asked = await _ask(console)
    values = await console.ask(lambda connection: _read(connection, console.clock()))
    checked, replayed = console.runs.latest(Check.FSCK), console.runs.latest(Check.REPLAY)
    broken = any(run is not None and run.verdict.value == "broken" for run in (checked, replayed))
    return show(
        request,
        "audit_log.html",
        **values,
        trusted=trusted,
        asked=asked,
        old=old,
        new=new,
        proof=proof,
        unproven=unproven,
        checked=checked,
        replayed=replayed,
        running=console.runs.current,
        here_too=console.runs.place is not None,
        red=bool(broken or asked.problem or unproven or values["findings"]),
    )


async def check(request: Request) -> Response:
    """Start a check of every table."""
    try:
        console_of(request).runs.start(Check.FSCK)
    except AlreadyRunningError:
        return done(request, PATH, "audit_run.busy", kind="let_op")
    return go(request, PATH)


async def _ask(console: Console) -> Asked:
    try:
        return Asked(await newest_checkpoint(console), tuple(await key_history(console)))
    except VerificationError as error:
        return Asked(problem=str(error))
    except RegieError:
        return Asked(silent=True)


async def _proof(
    console: Console, old: int | None, new: int | None, trusted: Checkpoint | None
) -> tuple[Consistency | None, str]:
    """Prove that the log at one size begins with the log at another, where somebody asks for it."""
    if old is None or trusted is None:
        return None, ""
    try:
        return await consistency_of(console.log, old, trusted.size if new is None else new, trusted), ""
    except VerificationError as error:
        return None, str(error)


def _read(connection: Connection, now_ms: int) -> dict[str, Any]:
    growth = reading.growth(connection, day_of(now_ms) - _DAYS + 1)
    findings = connection.exec_driver_sql(
        "SELECT found_ms, kind, idx, old_size, old_root FROM finding ORDER BY id DESC LIMIT 50"
    )
    return {
        "growth": growth,
        "chart": columns([(f"{date_of(day):%d-%m}", entries) for day, entries in _each_day(growth)]),
        "heads": reading.heads(connection),
        "chains": reading.chains(connection),
        "findings": [Noted(*row) for row in findings],
    }


def _each_day(growth: list[reading.Growth]) -> list[tuple[int, int]]:
    """Return every day from the first with entries on, days without too."""
    found = {one.day: one.entries for one in growth}
    return [(day, found.get(day, 0)) for day in range(min(found), max(found) + 1)] if found else []


routes = [
    Route(PATH, ledger, name="audit_log"),
    Route(f"{PATH}/controle", check, methods=["POST"], name="audit_log_check"),
]
