"""What commands share: options, the choice of the organisation, and errors turned into exit codes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from consent_ledger.errors import RegieError
from gateway.cli.output import STOPPED, UNAVAILABLE, USAGE, Output
from gateway.home import Home, HomeError

if TYPE_CHECKING:
    from gateway.sdk.agency import Agency

HomeOption = Annotated[Path, typer.Option("--home", envvar="REGIE_HOME", help="Folder of settings and keys.")]
AsOption = Annotated[
    str | None,
    typer.Option("--as", metavar="OIN", help="Whose keys to use; needed when the home holds several that fit."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output on standard output.")]
HOME = Path(".regie")
T = TypeVar("T")

SENDERS = frozenset({"energy_supplier", "tax_office"})
RECIPIENTS = frozenset({"municipality"})
PORTALS = frozenset({"viewer"})
ANYBODY: frozenset[str] = frozenset()


@contextmanager
def reporting(output: Output) -> Iterator[None]:
    """Turn errors into one line and an exit code."""
    from gateway.sdk.local import Busy

    try:
        yield
    except RegieError as error:
        raise typer.Exit(output.refusal(error)) from None
    except Busy as error:
        output.error("OVERLOADED", str(error))
        raise typer.Exit(UNAVAILABLE) from None
    except HomeError as error:
        output.error("USAGE", str(error))
        raise typer.Exit(USAGE) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        output.error("USAGE", f"{error.filename or 'a file'}: {error.strerror or 'cannot be used'}")
        raise typer.Exit(USAGE) from None
    except KeyboardInterrupt:
        output.note("stopped; the same command goes on where this one was")
        raise typer.Exit(STOPPED) from None


def work(
    output: Output,
    home: Path,
    oin: str | None,
    kinds: frozenset[str],
    do: Callable[[Agency], Awaitable[int]],
) -> None:
    """Do something as an organisation of this home; ends the command with the code that ``do`` returns."""
    with reporting(output):
        code = run(_as_agency(Home.open(home), oin, kinds, do))
    if code:
        raise typer.Exit(code)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the fast event loop, with a garbage collector that fits batches."""
    import uvloop

    # A batch makes tens of thousands of tuples that no cycle holds; looking for cycles after every 700 costs some 5 %.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


async def _as_agency(home: Home, oin: str | None, kinds: frozenset[str], do: Callable[[Agency], Awaitable[int]]) -> int:
    from gateway.sdk.agency import Agency

    chosen = oin or await choose(home, kinds)
    async with Agency.open(home, chosen) as agency:
        return await do(agency)


async def choose(home: Home, kinds: frozenset[str]) -> str:
    """Return the only organisation of this home that fits; raises HomeError naming the choices when there are more."""
    if kinds == PORTALS:
        return home.operators["viewer"]
    folder = home.folder / "orgs"
    here = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    agencies = [oin for oin in here if oin not in home.operators.values()]
    if not kinds:
        return (agencies or here or [home.operators["viewer"]])[0]
    if len(agencies) == 1:
        return agencies[0]
    if not agencies:
        raise HomeError("this home has no keys of an agency")
    return await _choose_by_kind(home, agencies, kinds)


async def _choose_by_kind(home: Home, agencies: list[str], kinds: frozenset[str]) -> str:
    """Ask the directory which of several agencies are of a fitting kind."""
    from gateway.sdk.agency import Agency

    async with Agency.open(home, agencies[0]) as agency:
        registry = await agency.registry()
    known = [found for oin in agencies if (found := registry.find_participant(oin))]
    fitting = [participant for participant in known if participant.kind in kinds]
    if len(fitting) == 1:
        return fitting[0].oin
    choices = ", ".join(f"{participant.oin} ({participant.name})" for participant in fitting or known)
    raise HomeError(f"say whose keys to use with --as OIN: {choices}")


def day(time_ms: int) -> str:
    """Return a time as a date, for people; empty for none."""
    return moment(time_ms)[:10]


def moment(time_ms: int) -> str:
    """Return a time as ISO 8601 in UTC; empty for none."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds") if time_ms else ""
