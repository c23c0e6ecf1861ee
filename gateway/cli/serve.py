"""`regie serve ROLE...`: run roles of a home until told to stop."""

from __future__ import annotations

import asyncio
import gc
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from consent_ledger.errors import RegieError
from gateway.cli.common import HOME, HomeOption, JsonOption, reporting
from gateway.cli.common import run as run_loop
from gateway.cli.output import Output
from gateway.home import Home, HomeError

if TYPE_CHECKING:
    from gateway.server import Serving  # it loads gRPC and the rest: only a running server needs them

KNOWN = ("witness", "ledger", "pseudonyms", "gateway", "viewer", "auditor")
RolesArgument = Annotated[
    list[str],
    typer.Argument(metavar="ROLE...", help=f"Roles to run: {', '.join(KNOWN)}; or all, in a home marked demo."),
]


def serve(roles: RolesArgument, home: HomeOption = HOME, json: JsonOption = False) -> None:
    """Run roles of this home until SIGTERM or Ctrl-C; calls in flight are finished first.

    A ledger signs nothing before its witnesses said how far they saw it: `serve witness` comes first, or at once.
    In production each role is run by its own organisation. `serve all` runs them in one process: convenient, and no
    separation of trust. With `--json`, one line on standard output says when all are ready.
    """
    from gateway.telemetry import logs

    logs.configure()
    output = Output(as_json=json)
    with reporting(output):
        opened = Home.open_witness(home) if roles == ["witness"] else Home.open(home)
        run_loop(run(opened, choose(opened, roles), output))


def choose(home: Home, roles: list[str]) -> list[str]:
    """Return the roles to run; raises HomeError when they are not to be run, or not here."""
    if roles == ["all"]:
        if not home.demo:
            raise HomeError(
                "this home is not marked demo: one process with every role separates nobody's trust, so each role is "
                "run by its own operator with `regie serve ROLE`"
            )
        # A home that was made before there was an auditor has none: everything else of it works as before.
        return [role for role in KNOWN if role != "auditor" or role in home.addresses]
    wrong = [role for role in roles if role not in KNOWN]
    if wrong:
        raise HomeError(f"there is no role {wrong[0]} to serve: choose from {', '.join(KNOWN)}, or all")
    return sorted(set(roles))


async def run(home: Home, roles: list[str], output: Output) -> None:
    """Serve until a signal; raises RegieError when a role had to stop by itself."""
    stop, started, loop = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stopped = asyncio.create_task(stop.wait())
    served = asyncio.create_task(_serve(home, roles, output, started, stopped))
    try:
        await asyncio.wait({served, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not started.is_set() and not served.done():
            served.cancel()  # it waits for others to answer: nothing is in flight yet
        with suppress(asyncio.CancelledError):
            await served
    finally:
        stopped.cancel()


async def _serve(
    home: Home, roles: list[str], output: Output, started: asyncio.Event, stopped: asyncio.Task[bool]
) -> None:
    from gateway.server import serving

    async with serving(home, roles) as served:
        started.set()
        failed, ready = asyncio.create_task(served.failed()), asyncio.create_task(_announce(home, served, output))
        try:
            await asyncio.wait({stopped, failed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            refusal = failed.result() if failed.done() else None
            for task in (failed, ready):
                task.cancel()
            await asyncio.gather(failed, ready, return_exceptions=True)
    if refusal is not None:
        raise refusal


async def _announce(home: Home, served: Serving, output: Output) -> None:
    """Say that the roles are ready: a line for people, and a JSON line for programs."""
    try:
        await served.ready()
    except RegieError:
        return  # ``failed`` says so
    # What is there now stays: a collection that goes through all of it again would hold up calls for tens of ms.
    gc.collect()
    gc.freeze()
    where = ", ".join(f"{role} at {address}" for role, address in served.addresses.items())
    output.note(f"ready: {where}")
    pages = _pages(home, output) if "viewer" in served.addresses else {}
    console = _console(home, output) if "auditor" in served.addresses else {}
    if output.as_json:
        output.line({"ready": True, "addresses": served.addresses, **pages, **console})


def _pages(home: Home, output: Output) -> dict[str, str]:
    """Say where the residents' pages are, and in a demo as whom one can log in there."""
    from gateway.viewer.settings import demo_names, demo_staff, desk_settings, viewer_settings

    origin = viewer_settings(home).origin
    names = demo_names(home)
    output.note(f"pages for residents: {origin}" + (f" (log in as {', '.join(names)})" if names else ""))
    if "desk" not in home.addresses:
        return {"pages": origin}
    desk = desk_settings(home).origin
    staff = demo_staff(home)
    output.note(f"pages for the desk's staff: {desk}" + (f" (log in as {', '.join(staff)})" if staff else ""))
    return {"pages": origin, "desk": desk}


def _console(home: Home, output: Output) -> dict[str, str]:
    """Say where the auditor's console is, and in a demo as whom one can log in there."""
    from gateway.auditor.settings import audit_settings, demo_auditors

    origin, names = audit_settings(home).origin, demo_auditors(home)
    output.note(f"the auditor's console: {origin}" + (f" (log in as {', '.join(names)})" if names else ""))
    return {"console": origin}
