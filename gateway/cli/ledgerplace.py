"""Which ledger a command reads: a file, a database, or that of a home, with the keys it is checked by."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from gateway.cli.output import Output
from gateway.home import Home, HomeError

if TYPE_CHECKING:
    from consent_ledger.log.quorum import Quorum
    from consent_ledger.verify.snapshot import RowError

PlaceArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[PLACE]",
        help="A ledger's SQLite file, postgresql://ROLE@HOST/NAME, or a home; default: the ledger of --home.",
        show_default=False,
    ),
]
KeyOption = Annotated[
    str | None, typer.Option(help="The log's verifier key, or several with spaces; default: those of the home.")
]
_SHOWN = 20


class LedgerPlace(NamedTuple):
    """Where a ledger is, the verifier keys of its log, and the witnesses that must have cosigned what is published."""

    location: Path | str
    vkeys: str
    quorum: Quorum


def find_ledger(place: str | None, home: Path, vkey: str | None) -> LedgerPlace:
    """Find a ledger; raises HomeError when there is no such file or home, or no key to check it with."""
    from consent_ledger.log.quorum import NOBODY, Quorum, WitnessKeys

    if place is not None and "://" in place:
        location: Path | str = place
        opened = None if vkey else Home.open(home)
    elif place is None or Path(place).is_dir():
        opened = Home.open(Path(place) if place else home)
        location = opened.ledger
    else:
        location, opened = Path(place), None if vkey else Home.open(home)
    if isinstance(location, Path) and not location.is_file():
        raise HomeError(f"there is no ledger at {location}")
    if isinstance(location, str) and not location.startswith(("postgresql://", "postgres://")):
        raise HomeError("the address of a ledger's database begins with postgresql://")
    if opened is None:
        assert vkey is not None
        return LedgerPlace(location, vkey, NOBODY)
    witnesses = tuple(WitnessKeys.parse(witness.verifier_keys) for witness in opened.witnesses)
    return LedgerPlace(location, vkey or opened.log_verifier_key, Quorum(opened.quorum, witnesses))


def settle_memory() -> None:
    """Let the garbage collector look rarely: a whole log in memory is millions of objects that no cycle holds."""
    gc.freeze()
    gc.set_threshold(200_000, 50, 1_000)


def say_rows(output: Output, rows: tuple[RowError, ...], count: int) -> None:
    """Name rows that do not check, for people."""
    for row in rows[:_SHOWN]:
        output.note(f"    {row}")
    if count > _SHOWN:
        output.note(f"    and {count - min(_SHOWN, len(rows))} more (--json names the first {len(rows)})")
