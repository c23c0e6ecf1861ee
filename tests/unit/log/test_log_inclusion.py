"""Many leaves under one root: what the one-leaf verifier accepts, and nothing else, in whatever order they come."""

import random

import pytest
from naive_rfc6962 import NaiveTree

from consent_ledger.log.errors import ProofError
from consent_ledger.log.inclusion import InclusionVerifier
from consent_ledger.log.merkle import leaf_hash

MOST = 70
TREE = NaiveTree([b"entry %d" % number for number in range(MOST)])
LEAVES = [leaf_hash(entry) for entry in TREE.leaves]


def path(index, size):
    return b"".join(TREE.path(index, 0, size))


def verifier(size):
    return InclusionVerifier(size, TREE.root(0, size))


@pytest.mark.parametrize("order", [1, -1, 0])
def test_every_leaf_of_every_tree(order):
    for size in range(1, MOST + 1):
        indices = list(range(size))[:: order or 1]
        if not order:
            random.Random(size).shuffle(indices)
        under = verifier(size)
        for index in indices:
            under.verify(index, LEAVES[index], path(index, size))


@pytest.mark.parametrize("size", [2, 3, 8, 13, 64, 70])
def test_any_changed_byte_is_seen_also_where_neighbours_were_checked_before(size):
    under = verifier(size)
    for index in range(0, size, 2):
        under.verify(index, LEAVES[index], path(index, size))
    for index in range(size):
        good = path(index, size)
        for at in range(0, len(good), 16):
            bad = bytearray(good)
            bad[at] ^= 1
            with pytest.raises(ProofError):
                under.verify(index, LEAVES[index], bytes(bad))
        with pytest.raises(ProofError):
            under.verify(index, LEAVES[index - 1], good)
        under.verify(index, LEAVES[index], good)  # what was refused binds nothing


@pytest.mark.parametrize("change", [lambda good: good[:-32], lambda good: good + bytes(32), lambda good: good[1:]])
def test_a_path_of_another_length(change):
    for size in (2, 13, 64):
        under = verifier(size)
        under.verify(0, LEAVES[0], path(0, size))
        for index in (0, 1, size - 1):
            with pytest.raises(ProofError):
                under.verify(index, LEAVES[index], change(path(index, size)))


@pytest.mark.parametrize("index", [-1, 13])
def test_an_index_outside(index):
    with pytest.raises(ProofError, match="index from 0 to 12"):
        verifier(13).verify(index, LEAVES[0], path(0, 13))


def test_another_root():
    with pytest.raises(ProofError):
        InclusionVerifier(13, bytes(32)).verify(3, LEAVES[3], path(3, 13))
    with pytest.raises(ProofError, match="32 bytes"):
        InclusionVerifier(13, b"")


def test_a_node_that_is_no_leaf_stands_nowhere():
    # The parent of leaves 0 and 1, given as a leaf with the shorter path of its own.
    parent = TREE.root(0, 2)
    with pytest.raises(ProofError):
        verifier(8).verify(0, parent, path(0, 8)[32:])
