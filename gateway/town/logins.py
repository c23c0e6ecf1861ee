"""As whom one can log in at the pages of the made-up town, and what there is to see: HOME/town/logins.csv."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gateway.home import HomeError
from gateway.town.generator import Town
from gateway.town.story import NAMES, Words

FILE = "logins.csv"
_WHO = ("bsn", "birth_date", "postcode", "house_number", "house_letter", "house_addition")
COLUMNS = ("key", "name", "story_nl", "story_en", "represents", *_WHO)
NOTHING_YET = Words("Hier is nog niets gebeurd.", "Nothing has happened here yet.")


class Login(NamedTuple):
    """Somebody of the cast, and what the demo left on their pages; ``represents``: somebody who looks for them."""

    name: str
    story: Words
    represents: str = ""


LOGINS = (
    Login("Petra", Words("Hier is alles te zien. Er wacht een vraag.", "Everything is here. A question waits.")),
    Login("Els", Words("Koos nog niets. Er is iets tegengehouden.", "Chose nothing yet. Something was blocked.")),
    Login("Fatima", Words("Zei ja. Wil een brief, en niet gebeld worden.", "Said yes. Wants a letter, no phone call.")),
    Login("Gijs", Words("Wil elke keer eerst een vraag.", "Wants to be asked each time.")),
    Login("Ivo", Words("Loste het zelf op. Er is niets gedeeld.", "Solved it himself. Nothing was shared.")),
    Login("Karim", Words("Zei ja, en stopte net op tijd.", "Said yes, and stopped just in time.")),
    Login("Milan", Words("Zei ja, en zette alles op pauze.", "Said yes, and paused everything.")),
    Login("Otto", Words("Koos nog niets. Er is niets gebeurd.", "Chose nothing. Nothing has happened.")),
    Login("Petra", Words("Kijkt mee met Petra en mag stoppen.", "Looks along with Petra, and may stop."), "Hulp"),
)
"""In the order in which they are offered."""


def write_logins(town: Town, folder: Path, *, played: bool) -> Path:
    """Write the file; before the story was ``played`` nothing is on anybody's pages."""
    path = folder / FILE
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_rows(town, played=played))
    return path


def _rows(town: Town, *, played: bool) -> Iterator[dict[str, str]]:
    for login in LOGINS:
        resident = town.cast[NAMES.index(login.name)]
        story = login.story if played or login.represents else NOTHING_YET
        helper = f"{login.represents} van {login.name}" if login.represents else ""
        yield {
            "key": (helper or login.name).lower().replace(" ", "-"),
            "name": helper or login.name,
            "story_nl": story.nl,
            "story_en": story.en,
            "represents": "ja" if helper else "nee",
            **{name: getattr(resident, name) for name in _WHO},
        }


def read_logins(folder: Path) -> list[dict[str, str]]:
    """Return the rows of the file, none when there is no town; raises HomeError when it has other columns."""
    path = folder / FILE
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise HomeError(f"{path} cannot be read: nobody could log in at the residents' pages") from None
    if not rows or set(rows[0]) != set(COLUMNS) or any(None in row.values() for row in rows):
        raise HomeError(f"{path} has other columns than {', '.join(COLUMNS)}")
    return rows
