"""A municipality's DDAS delivery, from its inbox, what it reported, and its own register of residents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from consent_ledger.dates import at_hour
from gateway.home import Organisation
from gateway.sdk import ddas, outcomestore
from gateway.sdk.csvfile import RESIDENTS, CsvFile, FileRefusedError
from gateway.sdk.enrolment import enrolment_database, resolve
from gateway.sdk.formats import Rejected, read, resident_row, today
from gateway.sdk.inbox import SignalRecord, received_between
from gateway.sdk.rows import Resident
from gateway.v1 import signals_pb2

CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Export:
    """A delivery and what is not in it. ``unknown``: signals about nobody that the register names."""

    delivery: dict[str, Any]
    signals: int
    cases: int
    unknown: int
    other: int
    """Signals that are no arrears: DDAS has no place for them."""


def read_register(path: Path, now_ms: int) -> dict[str, Resident]:
    """Return the residents of a register by their reference.

    Raises FileRefusedError for a file that is none, or with a row that cannot be read: a delivery goes to CBS whole.
    """
    found: dict[str, Resident] = {}
    with path.open("rb") as stream:
        for row in read(CsvFile(stream, RESIDENTS), today(now_ms), resident_row):
            if isinstance(row, Rejected):
                error = row.errors[0]
                raise FileRefusedError(error.field, f"row {row.record.row} of the register {error.reason}")
            found[row[1].resident_ref] = row[1].resident
    return found


async def export(organisation: Organisation, header: ddas.Header, register: dict[str, Resident], now_ms: int) -> Export:
    """Return the delivery of what was received in the header's period (days in the Netherlands).

    A signal about a resident who is not enrolled or not in the register cannot be delivered, and is counted.
    """
    first, end = at_hour(header.first, 0), at_hour(header.last + timedelta(days=1), 0)
    with outcomestore.outcome_database(organisation) as database:
        records = await received_between(database, first, end)
        outcomes = await database.run(outcomestore.all_reported)
    references = await _references(organisation, records)
    known: list[ddas.Signalled] = []
    unknown = other = 0
    for record in records:
        signal = signals_pb2.Signal.FromString(record.signal)
        if not signal.HasField("arrears"):
            other += 1
            continue
        resident = register.get(references.get(record.stored_index, ""))
        if resident is None:
            unknown += 1
            continue
        name = f"{record.batch_id.hex()}-{record.position}"
        done = outcomes.get((record.header_hash, record.position), [])
        known.append(ddas.Signalled(name, signal.arrears, resident, done))
    made = ddas.delivery(header, known, now_ms)
    return Export(made, len(known), len(made["leveringen"][0]["vroegsignaalzaken"]), unknown, other)


async def _references(organisation: Organisation, records: Sequence[SignalRecord]) -> dict[bytes, str]:
    found: dict[bytes, str] = {}
    with enrolment_database(organisation) as database:
        for at in range(0, len(records), CHUNK):
            found |= await resolve(database, [record.stored_index for record in records[at : at + CHUNK]])
    return found
