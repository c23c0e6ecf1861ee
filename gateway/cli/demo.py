"""`regie demo`: a synthetic town, a story, and a check of everything that happened in it."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import reporting, run
from gateway.cli.output import FAILED, Output
from gateway.home import HomeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.town.count import Count
    from gateway.town.tell import Teller

ROLES = ("gateway", "pseudonyms", "ledger", "witness", "viewer", "auditor")
ExitOption = Annotated[bool, typer.Option("--exit", help="Stop after the summary instead of serving the town.")]
OnlyJsonOption = Annotated[bool, typer.Option("--json", help="Print nothing but one JSON object, at the end.")]
KeepOption = Annotated[Path | None, typer.Option(help="Keep the town in this folder, which must be new or empty.")]


def demo(leave: ExitOption = False, as_json: OnlyJsonOption = False, home: KeepOption = None) -> None:
    """Make a synthetic town, play the acceptance scenarios as a story, and verify the log and all receipts.

    Afterwards the town is served until Ctrl-C. Exit code 1 when a scene went otherwise than described, or something did
    not verify.
    """
    from rich.console import Console

    from gateway.town.tell import Teller

    output, teller = Output(as_json), Teller(Console(quiet=as_json))
    with reporting(output), _folder(home) as folder:
        count = run(_demo(folder, output, teller, leave=leave))
    if not count.holds:
        raise typer.Exit(FAILED)


@contextmanager
def _folder(home: Path | None) -> Iterator[Path]:
    """Yield the folder to make the town in: the one that was asked for, or one that is removed afterwards."""
    if home is None:
        with tempfile.TemporaryDirectory(prefix="regie-demo-") as name:
            yield Path(name) / "home"
        return
    if (home / "regie.toml").exists():
        raise HomeError(
            f"there is a town in {home} already: serve it with `regie serve all --home {home}`, or name another folder"
        )
    yield home


async def _demo(folder: Path, output: Output, teller: Teller, *, leave: bool) -> Count:
    from datetime import UTC, datetime
    from time import monotonic

    import structlog

    from gateway.auditor.settings import audit_settings, demo_auditors
    from gateway.directory.founding import found_home
    from gateway.server import serving
    from gateway.settings import load_settings
    from gateway.telemetry import logs
    from gateway.town.auditor_day import MOST_REFUSALS
    from gateway.town.clock import DemoClock
    from gateway.town.files import write_town
    from gateway.town.generator import make_town
    from gateway.town.logins import write_logins
    from gateway.town.participants import TOWN
    from gateway.town.play import play
    from gateway.viewer.settings import demo_names, demo_staff, desk_settings, viewer_settings

    begun, clock = monotonic(), DemoClock()
    home = found_home(folder, TOWN, clock, demo=True)
    town = make_town(datetime.now(UTC).date())
    write_town(town, folder / "town")
    write_logins(town, folder / "town", played=True)
    async with AsyncExitStack() as stack:
        # The servers' own log lines would stand in the middle of the story.
        logs.configure(stack.enter_context((folder / "demo.log").open("a", encoding="utf-8")))
        stack.callback(structlog.reset_defaults)
        # The limit of an hour's refusals is one that somebody in a town of this size can run into.
        settings = load_settings().model_copy(update={"sender_refusals_per_hour": MOST_REFUSALS})
        served = await stack.enter_async_context(serving(home, ROLES, clock, settings=settings))
        await served.ready()
        count = await play(home, town, clock, teller)
        count.seconds = monotonic() - begun
        teller.closing(count, folder, serving=not leave)
        if not leave:
            teller.pages(viewer_settings(home).origin, demo_names(home))
            teller.desk(desk_settings(home).origin, demo_staff(home))
            teller.console_of(audit_settings(home).origin, demo_auditors(home))
        output.result(count.as_json(), [])
        if not leave:
            await _until_told()
    return count


async def _until_told() -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
