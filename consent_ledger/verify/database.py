"""Verification of a ledger's database: its log, and every payload that should open a commitment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consent_ledger.log.errors import VerificationError
from consent_ledger.log.keys import AnyVerifier, parse_verifiers
from consent_ledger.verify.erasures import Erasures
from consent_ledger.verify.log import LogReport, Progress
from consent_ledger.verify.snapshot import open_snapshot
from consent_ledger.verify.sources import Location
from consent_ledger.verify.subjects import Subjects
from consent_ledger.verify.walk import Gone, Opened, Unopenable, Walk, content_error, raising


@dataclass(frozen=True, slots=True)
class DatabaseReport:
    """A ledger that checks: its log, how many commitments its payloads open, and how many were erased lawfully."""

    log: LogReport
    opened: int
    erased: int


def verifiers_of(vkeys: str | Sequence[str]) -> tuple[AnyVerifier, ...]:
    """Read one or several verifier keys of a log; raises NoteError."""
    return parse_verifiers(vkeys if isinstance(vkeys, str) else " ".join(vkeys))


def verify_database(location: Location, vkeys: str | Sequence[str], progress: Progress | None = None) -> DatabaseReport:
    """Check a ledger's database against the log's verifier keys; it may be in use by its writer.

    Derives every hash again from the entries, compares every stored one, and opens every commitment. Raises RowError
    naming the first row that does not check, VerificationError where no row can be named.
    """
    verifiers = verifiers_of(vkeys)
    with open_snapshot(location) as snapshot:
        walk, subjects = Walk(snapshot, verifiers, raising), Subjects()
        for item in walk.items(progress):
            if isinstance(item, Opened):
                try:
                    subjects.add(item.idx, item.commitment, item.private)
                except VerificationError as error:
                    raise content_error(item.idx, error) from None
            elif isinstance(item, Gone):
                subjects.skip(item.idx, item.commitment)
            elif isinstance(item, Unopenable):
                raise item.error
        report = walk.finish()
        Erasures.read(snapshot).check(walk.missing, walk.head.time_ms, raising)
        return DatabaseReport(report, walk.opened, len(walk.missing))
