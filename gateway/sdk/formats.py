"""The kinds of files, as rows: every field at fault is named, and nothing is guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TypeVar

from consent_ledger.dates import at_hour
from gateway.sdk.csvfile import ARREARS, INCOME, CsvFile, FieldError, Record
from gateway.sdk.ddas import NOT_PICKED_UP, PARTS_OF_DAY
from gateway.sdk.fields import (
    Fields,
    RowError,
    as_address_form,
    as_answer,
    as_band,
    as_contact,
    as_delivery,
    as_flag,
    as_items,
    as_language,
    as_months,
    as_oin,
    as_part_of_day,
    as_period,
    as_purpose,
    as_real_date,
    as_reference,
    as_result,
    as_steps,
    as_text,
    as_validity,
)
from gateway.sdk.rows import ArrearsRow, ChoiceRow, IncomeRow, OutcomeRow, Resident, ResidentRow, SignalRow

T = TypeVar("T")

_DUTCH_SUMMER_MS = 2 * 3_600_000


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that makes no row."""

    record: Record
    errors: tuple[FieldError, ...]


def today(now_ms: int) -> date:
    """Return the latest date it can be in the Netherlands, so that no signal of today counts as of tomorrow."""
    return datetime.fromtimestamp((now_ms + _DUTCH_SUMMER_MS) / 1000, UTC).date()


def arrears_row(record: Record, now: date) -> ArrearsRow:
    """Return the row of an arrears file. Raises RowError."""
    fields = Fields(record, now)
    reference = fields.take("reference", as_reference)
    person = fields.address()
    months = fields.take("months", as_months)
    end_of_supply, warm_handover = fields.take("end_of_supply", as_flag), fields.take("warm_handover", as_flag)
    signal_date = fields.take("signal_date", as_real_date)
    steps = fields.take("steps", as_steps)
    if signal_date and signal_date > now:
        fields.fail("signal_date", "is in the future")

    def make() -> ArrearsRow:
        assert reference
        assert person
        assert months is not None
        assert signal_date
        return ArrearsRow(reference, person, months, bool(end_of_supply), bool(warm_handover), signal_date, steps or ())

    return fields.row(make)


def income_row(record: Record, now: date) -> IncomeRow:
    """Return the row of an income file. Raises RowError."""
    fields = Fields(record, now)
    reference, person = fields.take("reference", as_reference), fields.bsn()
    band, period = fields.take("drop_band", as_band), fields.take("period", as_period)

    def make() -> IncomeRow:
        assert reference
        assert person
        assert band
        assert period
        return IncomeRow(reference, person, band, period)

    return fields.row(make)


def resident_row(record: Record, now: date) -> ResidentRow:
    """Return the row of a residents file. Raises RowError."""
    fields = Fields(record, now)
    reference, resident = fields.take("resident_ref", as_reference), fields.resident()
    return fields.row(lambda: ResidentRow(reference or "", resident))


def one_resident(record: Record, now: date) -> Resident:
    """Return the resident of a file with identifiers only. Raises RowError."""
    fields = Fields(record, now)
    resident = fields.resident()
    return fields.row(lambda: resident)


def choice_row(record: Record, now: date) -> ChoiceRow:
    """Return the row of a choices file. Raises RowError."""
    fields = Fields(record, now)
    resident = fields.resident()
    sender, recipient = fields.take("sender", as_oin), fields.take("recipient", as_oin)
    purpose, items = fields.take("purpose", as_purpose), fields.take("items", as_items)
    answer = fields.take("answer", as_answer)
    months = None if answer in {None, "NEE"} else fields.take("months", as_validity)
    return fields.row(
        lambda: ChoiceRow(resident, sender or "", recipient or "", purpose or "", items or (), answer or "", months)
    )


def outcome_row(record: Record, now_ms: int) -> OutcomeRow:
    """Return the row of an outcomes file. Raises RowError."""
    fields = Fields(record, today(now_ms))
    delivery, when = fields.take("delivery_id", as_delivery), fields.take("date", as_real_date)
    part, channel = fields.take("part_of_day", as_part_of_day), fields.take("channel", as_contact)
    reached = fields.take("reached", as_flag) if fields.filled("reached") else None
    offer, result = fields.take("offer", as_text), fields.take("result", as_result)
    language, form = fields.take("language", as_language), fields.take("form_of_address", as_address_form)
    other_person = fields.take("other_person", as_flag)
    if when and when > fields.now:
        fields.fail("date", "is in the future")
    if not (fields.filled("offer") or fields.filled("result")):
        fields.fail("offer", "is empty, and so is result: say what was offered, or how it ended")
    if channel == "" and result is not None and result not in NOT_PICKED_UP:
        fields.fail("channel", "is empty: say how the resident was approached, unless the signal was not taken up")

    def make() -> OutcomeRow:
        assert delivery
        assert when
        moment = min(now_ms, at_hour(when, PARTS_OF_DAY.get(part or "", 12)))
        return OutcomeRow(
            delivery,
            moment,
            channel or "",
            offer or "",
            result or "",
            reached,
            part or "",
            language or "",
            form or "",
            bool(other_person),
        )

    return fields.row(make)


def read(file: CsvFile, now: date, parse: Callable[[Record, date], T]) -> Iterator[tuple[Record, T] | Rejected]:
    """Yield every record with its row, or as rejected, in the order of the file."""
    for record in file:
        if record.errors and not record.values:  # not readable at all: its fields have no more to say
            yield Rejected(record, record.errors)
            continue
        try:
            yield record, parse(record, now)
        except RowError as error:
            yield Rejected(record, error.errors)


def read_signals(file: CsvFile, now: date) -> Iterator[tuple[Record, SignalRow] | Rejected]:
    """Yield the rows of an arrears or income file; a reference that stood in the file before is rejected."""
    assert file.layout in {ARREARS, INCOME}
    parse: Callable[[Record, date], SignalRow] = arrears_row if file.layout is ARREARS else income_row
    seen: set[str] = set()
    for found in read(file, now, parse):
        if isinstance(found, Rejected):
            yield found
            continue
        record, row = found
        if row.reference in seen:
            yield Rejected(record, (FieldError("reference", "stands in the file twice"),))
        else:
            seen.add(row.reference)
            yield record, row
