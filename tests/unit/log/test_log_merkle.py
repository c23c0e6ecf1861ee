"""merkle.py against the vectors of ledger.md, a naive tree, and proofs of every wrong shape."""

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_rfc6962 import NaiveTree

from consent_ledger.log.errors import ProofError
from consent_ledger.log.merkle import (
    EMPTY_ROOT,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

EVERY = 300
TREE = NaiveTree([b"leaf %d" % i for i in range(EVERY)])
LEAVES = [leaf_hash(entry) for entry in TREE.leaves]
OTHER = hashlib.sha256(b"other").digest()


def root(size):
    return TREE.root(0, size)


def broken(path):
    """Every wrong shape of a path that is right."""
    yield [*path, OTHER]
    yield [OTHER, *path]
    for i, value in enumerate(path):
        yield path[:i] + path[i + 1 :]
        yield [*path[:i], value, *path[i:]]
        yield [*path[:i], bytes([value[0] ^ 1]) + value[1:], *path[i + 1 :]]
        yield [*path[:i], value[:-1] + bytes([value[-1] ^ 0x80]), *path[i + 1 :]]
        yield [*path[:i], value[:31], *path[i + 1 :]]
        yield [*path[:i], value + b"\0", *path[i + 1 :]]
        yield [*path[:i], b"", *path[i + 1 :]]
    for i, (first, second) in enumerate(pairwise(path)):
        yield [*path[:i], second, first, *path[i + 2 :]]
    if len(path) > 1:
        yield path[::-1]
        yield []


def test_vectors():
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert leaf_hash(b"L123456").hex() == "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    assert node_hash(b"N123", b"N456").hex() == "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
    leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    of_8 = root_of([leaf_hash(bytes.fromhex(leaf)) for leaf in leaves])
    assert of_8.hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    assert hashlib.sha256(b"").digest() == EMPTY_ROOT == root_of([])


def test_root_of_every_size():
    for size in range(EVERY + 1):
        assert root_of(LEAVES[:size]) == root(size)


def test_every_inclusion():
    for size in range(1, EVERY + 1):
        for index in range(size):
            verify_inclusion(index, size, LEAVES[index], root(size), TREE.path(index, 0, size))


def test_every_consistency():
    for new in range(1, EVERY + 1):
        for old in range(1, new + 1):
            verify_consistency(old, new, root(old), root(new), TREE.proof(old, new))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 11, 16, 21, 33])
def test_broken_inclusion_raises(size):
    for index in range(size):
        path = TREE.path(index, 0, size)
        for wrong in broken(path):
            with pytest.raises(ProofError):
                verify_inclusion(index, size, LEAVES[index], root(size), wrong)
        for other in range(size):
            if other != index:
                with pytest.raises(ProofError):
                    verify_inclusion(other, size, LEAVES[index], root(size), path)
        for leaf, root_ in ((OTHER, root(size)), (LEAVES[index], OTHER), (b"", root(size)), (LEAVES[index], b"")):
            with pytest.raises(ProofError):
                verify_inclusion(index, size, leaf, root_, path)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (5, 5), (6, 5), (-1, 5), (2**64, 5), (0, -1)])
def test_index_outside_the_tree_raises(index, size):
    path = TREE.path(0, 0, 5)
    with pytest.raises(ProofError, match=f"expected an index from 0 to {size - 1}, got {index}"):
        verify_inclusion(index, size, LEAVES[0], root(5), path)


def test_the_error_says_which_way_the_length_is_wrong():
    path = TREE.path(4, 0, 7)
    for wrong, what in (([*path, OTHER], "too long"), ([], "too short"), (path[:-1], "too short")):
        with pytest.raises(ProofError, match=what):
            verify_inclusion(4, 7, LEAVES[4], root(7), wrong)
    path = TREE.proof(3, 7)
    for wrong, what in (([*path, OTHER], "too long"), ([], "too short"), (path[:-1], "too short")):
        with pytest.raises(ProofError, match=what):
            verify_consistency(3, 7, root(3), root(7), wrong)


@pytest.mark.parametrize("new", [2, 3, 4, 6, 7, 8, 13, 16, 17, 32])
def test_broken_consistency_raises(new):
    for old in range(1, new):
        path = TREE.proof(old, new)
        for wrong in broken(path):
            with pytest.raises(ProofError):
                verify_consistency(old, new, root(old), root(new), wrong)
        for other in range(1, new):
            if other != old:
                with pytest.raises(ProofError):
                    verify_consistency(other, new, root(old), root(new), path)
        for roots in (
            (root(new), root(old)),
            (OTHER, root(new)),
            (root(old), OTHER),
            (b"", root(new)),
            (root(old), b""),
        ):
            with pytest.raises(ProofError):
                verify_consistency(old, new, *roots, path)


def test_consistency_of_the_empty_tree_and_of_equal_sizes():
    verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])
    verify_consistency(0, 9, EMPTY_ROOT, root(9), [])
    verify_consistency(9, 9, root(9), root(9), [])
    for old, new, old_root, new_root, path in [
        (0, 0, OTHER, OTHER, []),
        (0, 0, EMPTY_ROOT, OTHER, []),
        (0, 9, OTHER, root(9), []),
        (0, 9, EMPTY_ROOT, root(9), [OTHER]),
        (9, 9, root(9), OTHER, []),
        (9, 9, root(9), root(9), [OTHER]),
        (3, 8, root(3), root(8), []),
        (4, 8, root(8), root(8), []),
    ]:
        with pytest.raises(ProofError):
            verify_consistency(old, new, old_root, new_root, path)


def test_a_tree_does_not_shrink():
    for old, new in [(9, 8), (-1, 8), (1, 0)]:
        with pytest.raises(ProofError, match=f"expected an old size from 0 to {new}, got {old}"):
            verify_consistency(old, new, root(1), root(8), TREE.proof(1, 8))


def test_the_error_says_what_was_expected():
    with pytest.raises(ProofError, match=f"expected {OTHER.hex()}, got {root(3).hex()}"):
        verify_inclusion(1, 3, LEAVES[1], OTHER, TREE.path(1, 0, 3))


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=400), st.data())
def test_property_any_tree(entries, data):
    tree, hashes = NaiveTree(entries), [leaf_hash(entry) for entry in entries]
    size = len(entries)
    assert root_of(hashes) == tree.root(0, size)
    index = data.draw(st.integers(0, size - 1))
    verify_inclusion(index, size, hashes[index], tree.root(0, size), tree.path(index, 0, size))
    old = data.draw(st.integers(1, size))
    verify_consistency(old, size, tree.root(0, old), tree.root(0, size), tree.proof(old, size))


def test_hashes_have_32_bytes_even_where_other_lengths_would_hash_to_the_root():
    joined = LEAVES[0] + LEAVES[1]
    for cut in (0, 31, 33, 64):
        with pytest.raises(ProofError, match="32 bytes"):
            verify_inclusion(0, 2, joined[:cut], root(2), [joined[cut:]])
    path = TREE.proof(3, 7)
    for at in range(len(path)):
        with pytest.raises(ProofError, match="32 bytes"):
            verify_consistency(3, 7, root(3), root(7), [*path[:at], path[at] + b"\0", *path[at + 1 :]])
