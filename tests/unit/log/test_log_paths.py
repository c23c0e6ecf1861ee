"""paths.py: the golden bundle and tile, and every spelling that must be refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_ledger.log.errors import FormatError
from consent_ledger.log.merkle import leaf_hash
from consent_ledger.log.paths import TilePath, format_bundle, parse_bundle

GOOD = {
    "tile/0/000": TilePath(0, 0),
    "tile/0/000.p/2": TilePath(0, 0, 2),
    "tile/0/x001/x234/067": TilePath(0, 1_234_067),
    "tile/63/999.p/255": TilePath(63, 999, 255),
    "tile/1/x001/000.p/1": TilePath(1, 1000, 1),
    "tile/entries/000.p/2": TilePath(None, 0, 2),
    "tile/entries/x273/112": TilePath(None, 273_112),
    "tile/0/x009/x223/x372/x036/x854/x775/807": TilePath(0, 2**63 - 1),
}
BAD = [
    "tile/0/001/",
    "tile/0/x001",
    "tile/0/000.p/0",
    "tile/0/000.p/256",
    "tile/0/000.p/00",
    "tile/0/000.p/01",
    "tile/0/000.p/",
    "tile/0/000.p",
    "tile/0/1",
    "tile/0/01",
    "tile/0/0001",
    "tile/0/x000/001",
    "tile/0/001/002",
    "tile/0/x001/x002",
    "tile/0/x01/002",
    "tile/0/x0001/002",
    "tile/0/",
    "tile/00/000",
    "tile/01/000",
    "tile/64/000",
    "tile/100/000",
    "tile/-1/000",
    "tile//000",
    "/tile/0/000",
    "tile/0/000/",
    "tile/0/-01",
    "tile/0/+01",
    "tile/0/x009/x223/x372/x036/x854/x775/808",
    "tile/0/x999/x999/x999/x999/x999/x999/999",
    "tile/0/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/001",
    "tile/entries",
    "tile/entries/",
    "tile/entry/000",
    "tile/data/000",
    "TILE/0/000",
    "tile/0/X001/000",
    "tile/0/000.P/2",
    "tile/0/000.p/2/",
    "tile/0/٠٠١",
    "tile/0/../000",
    "tile/0/000?x",
    "checkpoint",
]


@pytest.mark.parametrize("path", GOOD)
def test_paths(path):
    assert TilePath.parse(path) == GOOD[path]
    assert GOOD[path].format() == path


@pytest.mark.parametrize("path", [*BAD, "", "tile/0/000\n", "tile/0/ 00", "tile/0/000.p/2\n"])
def test_other_spellings_are_refused(path):
    with pytest.raises(FormatError):
        TilePath.parse(path)


def test_a_path_with_more_digits_than_python_converts():
    with pytest.raises(FormatError):
        TilePath.parse("tile/0/" + "x001/" * 2000 + "001")


@pytest.mark.parametrize("parts", [(64, 0, 1), (-1, 0, 1), (0, -1, 1), (0, 2**63, 1), (0, 0, 0), (0, 0, 257)])
def test_tiles_that_no_log_serves(parts):
    with pytest.raises(FormatError):
        TilePath(*parts)


@given(st.one_of(st.none(), st.integers(0, 63)), st.integers(0, 2**63 - 1), st.integers(1, 256))
def test_property_round_trip(level, index, width):
    tile = TilePath(level, index, width)
    assert TilePath.parse(tile.format()) == tile


def test_golden_bundle_and_tile():
    assert format_bundle([b"one", b"two"]).hex() == "00036f6e65000374776f"
    assert parse_bundle(bytes.fromhex("00036f6e65000374776f")) == [b"one", b"two"]
    assert (leaf_hash(b"one") + leaf_hash(b"two")).hex() == (
        "d0d7360ab79f58ab1e1e3fe64ad77e2ea0bc07e36b5f46ed2223edd9298df9e9"
        "ab1ab7f07c7c8fe0eff4ba6faa53c7e4412e91a599153e8aa4e01beece5b7825"
    )


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_property_bundles(entries):
    assert parse_bundle(format_bundle(entries)) == entries


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\3on", b"\0\3one\0", b"\0\3one\0\1", b"\0\0" * 257])
def test_bad_bundles(data):
    with pytest.raises(FormatError):
        parse_bundle(data)


def test_bundles_that_cannot_be_written():
    for entries in ([], [b""] * 257, [b"x" * 65_536]):
        with pytest.raises(FormatError):
            format_bundle(entries)
    assert len(format_bundle([b"x" * 65_535])) == 65_537
    assert parse_bundle(format_bundle([b""] * 256)) == [b""] * 256
