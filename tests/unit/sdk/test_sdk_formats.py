"""Files: what is read, and that everything else is named by row and field."""

import csv
import io
from contextlib import suppress
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_ledger.errors import RegieError
from gateway.sdk.csvfile import (
    ARREARS,
    CHOICES,
    INCOME,
    RESIDENTS,
    CsvFile,
    FileRefusedError,
    RejectedFile,
    rejected_path,
)
from gateway.sdk.formats import Rejected, choice_row, read, read_signals, resident_row, today
from gateway.sdk.rows import duration_band
from gateway.v1 import signals_pb2

NOW = date(2026, 11, 23)
HEADER = ",".join(ARREARS.columns)
GOOD = "K1,1980-02-29,1234AB,12,a,,2,ja,nee,2026-11-01,reminder;contact"


def signals(text: str | bytes) -> list:
    data = text if isinstance(text, bytes) else text.encode()
    return list(read_signals(CsvFile(io.BytesIO(data), ARREARS, INCOME), NOW))


def errors_of(text: str | bytes) -> list[tuple[int, str]]:
    return [
        (found.record.row, error.field)
        for found in signals(text)
        if isinstance(found, Rejected)
        for error in found.errors
    ]


def row_of(line: str, header: str = HEADER):
    (found,) = signals(f"{header}\n{line}\n")
    assert not isinstance(found, Rejected), found.errors
    return found[1]


def test_a_good_row_is_read():
    row = row_of(GOOD)
    assert (row.reference, row.months, row.end_of_supply, row.warm_handover) == ("K1", Decimal(2), True, False)
    assert row.person.house_letter == "A"
    assert row.signal_date == date(2026, 11, 1)
    assert row.steps == ("reminder", "contact")


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_byte_order_mark_delimiter_and_line_ends_do_not_matter(bom, delimiter, newline):
    line = GOOD.replace(";", "|").replace(",", delimiter)
    text = newline.join((HEADER.replace(",", delimiter), line, ""))
    (found,) = signals(bom + text.encode())
    assert found[1].steps == ("reminder", "contact")


def test_the_order_of_the_header_is_free():
    columns = list(reversed(ARREARS.columns))
    line = ",".join(reversed(GOOD.split(",")))
    assert row_of(line, ",".join(columns)).reference == "K1"


def test_quoted_fields_may_hold_the_delimiter():
    assert row_of(GOOD.replace("K1", '"K,""1"""')).reference == 'K,"1"'


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (("1980-02-29", "1980-02"), "birth_date"),
        (("1980-02-29", "1980-00-00"), "birth_date"),
        (("1980-02-29", "1980-13-01"), "birth_date"),
        (("1980-02-29", "1981-02-29"), "birth_date"),
        (("1980-02-29", "2027-01-01"), "birth_date"),
        (("1234AB", "0123AB"), "postcode"),
        ((",12,a", ",0,a"), "house_number"),
        ((",12,a", ",12,ab"), "house_letter"),
        ((",2,ja", ",veel,ja"), "months"),
        ((",2,ja", ",121,ja"), "months"),
        ((",2,ja", ",-1,ja"), "months"),
        ((",ja,", ",misschien,"), "end_of_supply"),
        ((",nee,", ",misschien,"), "warm_handover"),
        (("2026-11-01", "2026-11-24"), "signal_date"),
        (("2026-11-01", "01-11-2026"), "signal_date"),
        (("reminder;contact", "reminder;geld"), "steps"),
        (("K1", ""), "reference"),
        (("K1", "K" * 65), "reference"),
    ],
)
def test_a_bad_field_is_named_and_the_rest_goes_through(change, field):
    bad = GOOD.replace(*change, 1)
    found = signals(f"{HEADER}\n{bad}\n{GOOD.replace('K1', 'K2')}\n")
    assert [error.field for error in found[0].errors] == [field]
    assert found[0].record.row == 2
    assert found[1][1].reference == "K2"


def test_every_bad_field_of_a_row_is_named_at_once():
    bad = "K1,1980,0123AB,x,aa,,veel,misschien,nee,2026,geld"
    fields = {
        "birth_date",
        "postcode",
        "house_number",
        "house_letter",
        "months",
        "end_of_supply",
        "signal_date",
        "steps",
    }
    assert {field for _, field in errors_of(f"{HEADER}\n{bad}\n")} == fields


def test_errors_do_not_repeat_values():
    (found,) = signals(f"{HEADER}\nK1,geheim1,geheim2,geheim3,geheim4,geheim5,geheim6,geheim7,,geheim8,geheim9\n")
    assert "geheim" not in str([error.reason for error in found.errors])


def test_an_unknown_column_costs_the_rows_that_fill_it():
    header, filled, empty = f"{HEADER},naam", f"{GOOD},Jan", f"{GOOD},".replace("K1", "K2")
    assert errors_of(f"{header}\n{filled}\n{empty}\n") == [(2, "naam")]


def test_latin_1_bytes_cost_their_row_only():
    text = f"{HEADER}\n".encode() + GOOD.replace("K1", "Ré").encode("latin-1") + f"\n{GOOD}\n".encode()
    assert errors_of(text) == [(2, "reference")]


def test_an_open_quote_costs_its_line_only():
    assert errors_of(f'{HEADER}\n"{GOOD}\n{GOOD}\n') == [(2, "line")]


def test_a_line_without_end_is_rejected_without_being_held():
    assert errors_of(f"{HEADER}\n{'x' * 200_000}\n{GOOD}\n") == [(2, "line")]


@pytest.mark.parametrize(("line", "field"), [("K1,1980-02-29", "postcode"), (f"{GOOD},more", "column 12")])
def test_a_row_of_another_width_is_rejected(line, field):
    assert (2, field) in errors_of(f"{HEADER}\n{line}\n")


def test_a_reference_stands_in_a_file_once():
    assert errors_of(f"{HEADER}\n{GOOD}\n{GOOD}\n") == [(3, "reference")]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"", "header"),
        (b"\n\n", "header"),
        (HEADER.replace(",months", "").encode(), "months"),
        (f"{HEADER},months".encode(), "months"),
        (HEADER.encode("utf-16"), "encoding"),
        ("réference,bsn,drop_band,period".encode("latin-1"), "encoding"),
    ],
)
def test_a_file_without_its_header_is_refused_as_a_whole(data, field):
    with pytest.raises(FileRefusedError) as refused:
        signals(data)
    assert (refused.value.row, refused.value.field, refused.value.reason) == (1, field, "FIELD_INVALID")
    assert isinstance(refused.value, RegieError)


def test_the_header_tells_arrears_from_income():
    row = row_of("T1,123456782,25-50,2026-Q3", ",".join(INCOME.columns))
    assert row.drop_band == (25, 50)
    assert row.signal_of(row.fact, signals_pb2.PARTNER_KIND_BELASTINGDIENST).income_drop.period == "2026-Q3"


@pytest.mark.parametrize(
    ("text", "band"),
    [("25-50", (25, 50)), ("25%-50%", (25, 50)), ("<10", (0, 10)), (">50", (50, 100)), ("> 50%", (50, 100))],
)
def test_bands(text, band):
    assert row_of(f"T1,123456782,{text},2026", ",".join(INCOME.columns)).drop_band == band


@pytest.mark.parametrize("text", ["", "25", "23-50", "25-30", "50-25", "90-110", "<5", ">95", "25-50 euro", "1e1-50"])
def test_what_is_no_band(text):
    assert errors_of(f"{','.join(INCOME.columns)}\nT1,123456782,{text},2026\n") == [(2, "drop_band")]


@pytest.mark.parametrize("text", ["2026", "2026-Q4", "2026-12", "2025-11/2026-01"])
def test_periods(text):
    assert row_of(f"T1,123456782,25-50,{text}", ",".join(INCOME.columns)).period == text


@pytest.mark.parametrize("text", ["26", "2026-Q5", "2026-13", "2026-00", "2026-02/2026-01", "2026-Q1/2026-Q2"])
def test_what_is_no_period(text):
    assert errors_of(f"{','.join(INCOME.columns)}\nT1,123456782,25-50,{text}\n") == [(2, "period")]


def test_the_11_test():
    assert errors_of(f"{','.join(INCOME.columns)}\nT1,123456789,25-50,2026\n") == [(2, "bsn")]


@pytest.mark.parametrize(
    ("months", "band"),
    [("0", 1), ("0.99", 1), ("1", 2), ("2", 2), ("2.01", 3), ("3", 3), ("3.5", 4), ("120", 4)],
)
def test_months_become_a_band(months, band):
    assert duration_band(Decimal(months)) == band


CHOICE = "123456782,1980-02-29,1234AB,12,,,00000099000000000001,00000099000000000002,vroegsignalering-energie,,JA,12"


def choice_errors(line: str) -> list[str]:
    file = CsvFile(io.BytesIO(f"{','.join(CHOICES.columns)}\n{line}\n".encode()), CHOICES)
    (found,) = read(file, NOW, choice_row)
    return [error.field for error in found.errors] if isinstance(found, Rejected) else []


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (("JA,12", "JA,13"), ["months"]),
        (("JA,12", "JA,"), ["months"]),
        (("JA,12", "ja,6"), []),
        (("JA,12", "NEE,"), []),
        (("JA,12", "NEE,13"), []),
        (("JA,12", "SOMS,12"), ["answer"]),
        (("00000099000000000001", "99"), ["sender"]),
        (("energie,,JA", "energie,a;b|c d,JA"), []),
        (("energie,,JA", "energie,Bedrag!,JA"), ["items"]),
        (("123456782,", ","), []),
        (("123456782,", "123456789,"), ["bsn"]),
        (("1234AB,12", ","), []),
        (("1980-02-29,1234AB,12", ",1234AB,12"), ["birth_date"]),
        (("123456782,1980-02-29,1234AB,12", ",,,"), ["bsn"]),
        (("1980-02-29,1234AB,12", "1980-13-29,,"), ["birth_date"]),
    ],
)
def test_choices(change, fields):
    assert choice_errors(CHOICE.replace(*change, 1)) == fields


cell = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


@given(st.lists(st.lists(cell, min_size=7, max_size=7), max_size=5))
def test_what_is_rejected_can_be_read_again(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("f") / "residents.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([RESIDENTS.columns, *rows])

    def bad(source):
        with source.open("rb") as stream:
            file = CsvFile(stream, RESIDENTS)
            return file, [found for found in read(file, NOW, resident_row) if isinstance(found, Rejected)]

    file, first = bad(path)
    rejected = RejectedFile(path, file.header, file.delimiter)
    for found in first:
        rejected.add(found.record.row, found.record.cells, found.errors)
    rejected.close()
    if first:
        _, second = bad(rejected_path(path))
        assert [found.record.values for found in second] == [found.record.values for found in first]
        assert [found.errors for found in second] == [found.errors for found in first]
    else:
        assert rejected.path is None


@given(st.binary(max_size=400))
def test_no_bytes_make_it_crash(data):
    head = (HEADER + "\n").encode()
    for found in signals(head + data):
        assert not isinstance(found, Rejected) or found.errors
    with suppress(FileRefusedError):
        signals(data)


def test_a_clean_run_removes_the_rejected_file_of_an_earlier_one(tmp_path):
    source = tmp_path / "arrears.csv"
    stale = RejectedFile(source, ("a", "b"))
    stale.add(2, ("1", "2"), [])
    stale.close()
    assert rejected_path(source).read_text() == "row,field,reason,a,b\n2,,,1,2\n"
    assert rejected_path(source).stat().st_mode & 0o777 == 0o600
    RejectedFile(source, ("a", "b")).close()
    assert not rejected_path(source).exists()


def test_today_is_the_latest_it_can_be_in_the_netherlands():
    assert today(1_763_938_799_000) == date(2025, 11, 24)  # 22:59:59 UTC on the 23rd
