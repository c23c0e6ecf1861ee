"""`regie serve ROLE...`: run roles of a home until told to stop."""

from __future__ import annotations

import asyncio
import json as jsonlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consent_ledger.errors import RegieError
from gateway.home import Home, HomeError

if TYPE_CHECKING:
    from gateway.server import Serving  # it loads gRPC and the rest: only a running server needs them

DEFAULT_HOME = Path(".regie")
ROLES_HELP = "Roles to run: ledger, pseudonyms, gateway; or all, in a home marked demo."


def serve(
    roles: Annotated[list[str], typer.Argument(help=ROLES_HELP, show_default=False)],
    home: Annotated[
        Path, typer.Option("--home", envvar="REGIE_HOME", help="Folder of settings and keys.")
    ] = DEFAULT_HOME,
    json: Annotated[bool, typer.Option("--json", help="One JSON line on standard output when ready.")] = False,
) -> None:
    """Run roles of this home until SIGTERM or Ctrl-C; calls in flight are finished first.

    In production each role is run by its own organisation. `serve all` runs them in one process, without any separation
    of trust.
    """
    import uvloop

    from gateway.telemetry import logs

    logs.configure()
    try:
        opened = Home.open(home)
        chosen = choose(opened, roles)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            refusal = runner.run(run(opened, chosen, json=json))
    except (HomeError, RegieError, ValueError, OSError) as error:
        raise typer.Exit(fail(error, json=json)) from None
    if refusal is not None:
        raise typer.Exit(fail(refusal, json=json))


def choose(home: Home, roles: list[str]) -> list[str]:
    """Return the roles to run, in no order; raises HomeError when they are not to be run (here)."""
    known = ("ledger", "pseudonyms", "gateway")
    if roles == ["all"]:
        if not home.demo:
            raise HomeError(
                "this home is not marked demo: one process with every role separates nobody's trust, so run each role "
                "at its own operator with `regie serve ROLE`"
            )
        return list(known)
    wrong = [role for role in roles if role not in known]
    if wrong:
        raise HomeError(f"there is no role {wrong[0]} to serve: choose of {', '.join(known)}, or all")
    return sorted(set(roles))


async def run(home: Home, roles: list[str], *, json: bool) -> RegieError | None:
    """Serve until a signal; returns the reason when a role had to stop by itself."""
    from gateway.server import serving

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(home, roles) as served:
        waits = [asyncio.create_task(wait) for wait in (stop.wait(), _announce(served, json=json))]
        failed = asyncio.create_task(served.failed())
        await asyncio.wait({waits[0], failed}, return_when=asyncio.FIRST_COMPLETED)
        for task in (*waits, failed):
            task.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        return failed.result() if failed.done() and not failed.cancelled() else None


async def _announce(served: Serving, *, json: bool) -> None:
    """Say that the roles are ready: a line for people on standard error, and a JSON line for programs."""
    await served.ready()
    where = ", ".join(f"{role} at {address}" for role, address in served.addresses.items())
    sys.stderr.write(f"ready: {where}\n")
    sys.stderr.flush()
    if json:
        sys.stdout.write(jsonlib.dumps({"ready": True, "addresses": served.addresses}) + "\n")
        sys.stdout.flush()


def fail(error: Exception, *, json: bool) -> int:
    """Say in one line what is wrong and return the exit code: 2 a home or address to mend, 3 try again later."""
    reason, text = (error.reason, error.message) if isinstance(error, RegieError) else ("FIELD_INVALID", str(error))
    if json:
        sys.stdout.write(jsonlib.dumps({"error": {"reason": reason, "message": text, "field": "", "row": None}}) + "\n")
    sys.stderr.write(f"regie serve: {text}\n")
    return 3 if isinstance(error, RegieError) and error.status == "UNAVAILABLE" else 2
