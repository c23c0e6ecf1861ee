"""tiles.py against a naive tree; the reader refuses every tile that a log of that size would not serve."""

import base64
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_rfc6962 import NaiveTree

from consent_ledger.log import tiles
from consent_ledger.log.errors import ProofError
from consent_ledger.log.merkle import EMPTY_ROOT, leaf_hash, verify_consistency, verify_inclusion
from consent_ledger.log.tiles import Frontier

BIG = 70_000
TREE = NaiveTree([b"entry %d" % i for i in range(BIG)])
LEAVES = [leaf_hash(entry) for entry in TREE.leaves]
EVERY = 300


def reader(size):
    return lambda level, index, width: TREE.tile(level, index, width, size)


def test_every_inclusion_and_consistency_path():
    for size in range(1, EVERY + 1):
        assert tiles.root(size, reader(size)) == TREE.root(0, size)
        paths = tiles.inclusion_paths(range(size), size, reader(size))
        assert paths == [TREE.path(index, 0, size) for index in range(size)]
        assert tiles.packed_paths(range(size), size, reader(size)) == [b"".join(path) for path in paths]
        for old in range(1, size + 1):
            assert tiles.consistency_path(old, size, reader(size)) == TREE.proof(old, size)


def test_second_anchor():
    root = base64.b64decode("o5IPun8jmgcam9EHIfE0Gt3vuu3ttBx+JEN6nRa98Ao=")
    frontier = Frontier()
    frontier.append(LEAVES)
    assert frontier.root() == root
    assert tiles.root(BIG, reader(BIG)) == root
    assert Frontier.load(BIG, reader(BIG)).root() == root


@settings(max_examples=60, deadline=None)
@given(st.integers(1, BIG), st.data())
def test_property_paths_of_large_trees(size, data):
    indices = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=5))
    old = data.draw(st.integers(1, size))
    root = TREE.root(0, size)
    for index, path in zip(indices, tiles.inclusion_paths(indices, size, reader(size)), strict=True):
        assert path == TREE.path(index, 0, size) == tiles.inclusion_path(index, size, reader(size))
        verify_inclusion(index, size, LEAVES[index], root, path)
        assert tiles.packed_paths([index], size, reader(size)) == [b"".join(path)]
    path = tiles.consistency_path(old, size, reader(size))
    assert path == TREE.proof(old, size)
    verify_consistency(old, size, TREE.root(0, old), root, path)


@pytest.mark.parametrize("size", [255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 65_792])
def test_paths_around_tile_borders(size):
    for index in {0, 1, 254, size // 2, size - 2, size - 1}:
        assert tiles.inclusion_path(index, size, reader(size)) == TREE.path(index, 0, size)
    for old in {1, 2, 254, 255, size // 2, size - 1, size}:
        assert tiles.consistency_path(old, size, reader(size)) == TREE.proof(old, size)


def test_each_tile_is_read_once():
    reads = Counter()

    def counting(level, index, width):
        reads[level, index, width] += 1
        return TREE.tile(level, index, width, BIG)

    tiles.inclusion_paths(range(60_000, 61_000), BIG, counting)
    assert set(reads.values()) == {1}
    assert sum(1 for level, _, _ in reads if level == 0) <= 6
    assert len(reads) <= 6 + 3


@pytest.mark.parametrize("cut", [slice(0, -1), slice(0, 0), slice(0, -32), slice(1, None)])
def test_short_tile_raises(cut):
    def cutting(level, index, width):
        return TREE.tile(level, index, width, 300)[cut]

    for call in (
        lambda: tiles.root(300, cutting),
        lambda: tiles.inclusion_path(7, 300, cutting),
        lambda: tiles.consistency_path(7, 300, cutting),
        lambda: Frontier.load(300, cutting),
    ):
        with pytest.raises(ProofError, match=r"tile [01]/[01]: expected (8192|1408|32) bytes, got"):
            call()


def test_outside_the_tree_raises():
    for index, size in [(0, 0), (5, 5), (-1, 5)]:
        with pytest.raises(ProofError, match=f"expected an index from 0 to {size - 1}, got {index}"):
            tiles.inclusion_path(index, size, reader(size))
    for old, new in [(6, 5), (-1, 5)]:
        with pytest.raises(ProofError):
            tiles.consistency_path(old, new, reader(5))


def test_nothing_is_read_where_nothing_is_needed():
    def never(level, index, width):
        raise AssertionError

    assert tiles.root(0, never) == EMPTY_ROOT
    assert tiles.consistency_path(0, 5, never) == tiles.consistency_path(5, 5, never) == []
    assert Frontier.load(0, never).root() == EMPTY_ROOT == Frontier().root()


def test_tile_widths_of_the_specifications_example():
    widths = {(level, index): tiles.tile_width(level, index, 70_000) for level in range(3) for index in range(275)}
    assert [widths[0, 272], widths[0, 273], widths[0, 274]] == [256, 112, 0]
    assert [widths[1, 0], widths[1, 1], widths[1, 2]] == [256, 17, 0]
    assert [widths[2, 0], widths[2, 1]] == [1, 0]
    assert tiles.tile_width(1, 0, 256) == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, BIG - 3000), st.lists(st.integers(0, 700), max_size=5))
def test_property_frontier_in_any_portions(start, portions):
    frontier = Frontier.load(start, reader(start))
    stored = []
    for portion in portions:
        stored += frontier.append(LEAVES[frontier.size : frontier.size + portion])
        assert frontier.root() == TREE.root(0, frontier.size)
    expected = [
        (level, index, TREE.root(index * 256**level, (index + 1) * 256**level))
        for level in (1, 2)
        for index in range(start // 256**level, frontier.size // 256**level)
    ]
    assert sorted(stored) == expected


def test_frontier_knows_every_size():
    frontier = Frontier()
    for size in range(EVERY * 5):
        assert frontier.size == size
        assert frontier.root() == TREE.root(0, size)
        frontier.append(LEAVES[size : size + 1])


def test_tiles_of_the_frontier_are_those_the_paths_need():
    """What a writer stores of append() serves every later proof: tile 1/n from rows, tile 0/n from the leaves."""
    size = 70_000
    rows = {(level, index): value for level, index, value in Frontier().append(LEAVES[:size])}

    def stored(level, index, width):
        slots = range(index * 256, index * 256 + width)
        return b"".join(LEAVES[slot] if level == 0 else rows[level, slot] for slot in slots)

    assert tiles.inclusion_path(12_345, size, stored) == TREE.path(12_345, 0, size)
    assert tiles.consistency_path(65_537, size, stored) == TREE.proof(65_537, size)
    assert Frontier.load(size, stored).root() == TREE.root(0, size)


def test_a_copy_is_independent():
    frontier = Frontier()
    frontier.append(LEAVES[:1000])
    other = frontier.copy()
    other.append(LEAVES[1000:1300])
    assert frontier.root() == TREE.root(0, 1000)
    assert other.root() == TREE.root(0, 1300)


def test_frontier_refuses_what_is_no_hash_and_stays_as_it_was():
    frontier = Frontier()
    frontier.append(LEAVES[:3])
    with pytest.raises(ValueError, match="32 bytes"):
        frontier.append([LEAVES[3], b"short"])
    assert frontier.size == 3
    assert frontier.root() == TREE.root(0, 3)
