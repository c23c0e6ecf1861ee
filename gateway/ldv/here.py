"""The books of processing that a home holds: of its ledger, and of its agencies. Nothing needs to run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from consent_ledger.storage.engines import open_for_reading
from gateway.home import Home, HomeError, Organisation
from gateway.ldv.agencybooks import AgencyBook, Maker, agency_books
from gateway.ldv.ledgerbook import LedgerBook
from gateway.ldv.settings import LdvSettings
from gateway.ldv.subjects import Subjects

BOOKS = ("outbox.db", "inbox.db")


@dataclass(frozen=True, slots=True)
class Shelf:
    """The books of one organisation."""

    organisation: Organisation
    books: tuple[LedgerBook | AgencyBook, ...]


def keepers(home: Home) -> list[str]:
    """Return the OINs of the organisations of this home that have books: the ledger's operator first."""
    folder = home.folder / "orgs"
    here = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    ledger = home.operators.get("ledger", "")
    agencies = [oin for oin in here if any((folder / oin / "data" / name).exists() for name in BOOKS)]
    return ([ledger] if ledger in here else []) + [oin for oin in agencies if oin != ledger]


def keeper(home: Home, oin: str | None) -> str:
    """Return whose books are meant; raises HomeError naming the choices when there are several, or none."""
    found = [oin] if oin else keepers(home)
    if len(found) == 1:
        return found[0]
    if not found:
        raise HomeError("no organisation of this home has sent, received or decided anything")
    raise HomeError(f"say whose records to export with --as OIN: {', '.join(found)}")


@contextmanager
def open_shelf(home: Home, oin: str) -> Iterator[Shelf]:
    """Open the books of an organisation; raises HomeError, RegieError LEDGER_UNAVAILABLE."""
    organisation, settings = home.organisation(oin), LdvSettings.of(home)
    subjects = Subjects.of(organisation)
    agency = agency_books(Maker(settings, subjects, organisation))
    if oin != home.operators.get("ledger"):
        yield Shelf(organisation, tuple(agency))
        return
    reader = open_for_reading(home.ledger)
    try:
        own = LedgerBook(reader, settings, subjects, oin, home.operators["gateway"])
        yield Shelf(organisation, (own, *agency))
    finally:
        reader.close()
