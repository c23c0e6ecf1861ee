"""Exports hold what pages hold, and no spreadsheet computes them."""

from __future__ import annotations

import csv
import io

import pytest

from gateway.auditor.exporting import COLUMNS, Manifest, csv_lines, pack, safe


@pytest.mark.parametrize("cell", ["=1+1", "+31", "-2", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("x")'])
def test_a_cell_that_would_be_computed_gets_an_apostrophe(cell):
    assert safe(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "a=b", "2026-11-23", "Gemeente Zonneveen", 12, None])
def test_other_cells_stay(cell):
    assert safe(cell) == ("" if cell is None else str(cell))


def test_every_column_of_a_row_is_escaped_and_comes_back_from_a_reader():
    row = {column: f'={column}, "a"\nb' for column in COLUMNS}
    (back,) = csv.DictReader(io.StringIO("".join(csv_lines([row])), newline=""))
    assert back == {column: f"'{value}" for column, value in row.items()}


def test_the_manifest_names_question_time_head_and_hash():
    manifest = Manifest("csv", {"stand": "refused"}, "2026-014", 0, 7, b"\x01" * 32, "note\n")
    with pack(manifest, "x.csv", ["a\n", "b\n"], lambda: 2) as file:
        content = file.read()
    assert content.startswith(b"PK")
    text = manifest.text("x.csv", "ab" * 32, 2)
    for part in ('"stand": "refused"', '"case": "2026-014"', '"time": "1970-01-01T00:00:00.000Z"', '"size": 7', "abab"):
        assert part in text
