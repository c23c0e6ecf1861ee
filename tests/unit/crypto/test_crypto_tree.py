"""The hash tree of a batch."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_ledger.errors import RegieError
from gateway.crypto import tree

HEADER_HASH, SEED = b"h" * 32, b"s" * 32


def naive_root(nodes):
    """RFC 6962 2.1, over leaf hashes."""
    if len(nodes) == 1:
        return nodes[0]
    half = 1 << (len(nodes) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + naive_root(nodes[:half]) + naive_root(nodes[half:])).digest()


def leaves_at(positions):
    return {at: tree.leaf(at, b"c" * 32, b"%d" % at) for at in positions}


@st.composite
def filled(draw):
    count = draw(st.integers(1, 80))
    return sorted(draw(st.permutations(range(tree.slot_count(count))))[:count])


@pytest.mark.parametrize(("count", "slots"), [(1, 8), (8, 8), (9, 64), (64, 64), (65, 1024), (1000, 1024)])
def test_slots(count, slots):
    assert tree.slot_count(count) == slots


@pytest.mark.parametrize("count", [-1, 0, 1001])
def test_batches_have_1_to_1000_signals(count):
    with pytest.raises(RegieError, match="FIELD_INVALID"):
        tree.slot_count(count)


def test_leaf_and_filler():
    assert tree.leaf(258, b"c" * 32, b"ct") == hashlib.sha256(b"\x00\x01\x02" + b"c" * 32 + b"ct").digest()
    message = b"regie/filler/v1" + HEADER_HASH + b"\x01\x02"
    assert tree.filler(SEED, HEADER_HASH, 258) == hmac.digest(SEED, message, "sha256")


@given(filled())
def test_root_and_paths(positions):
    leaves = leaves_at(positions)
    batch_tree = tree.BatchTree(HEADER_HASH, SEED, leaves)
    slots = tree.slot_count(len(positions))
    nodes = [leaves.get(at, tree.filler(SEED, HEADER_HASH, at)) for at in range(slots)]
    assert batch_tree.root == naive_root(nodes)
    verifier = tree.PathVerifier(batch_tree.root, len(positions))
    for position in positions:
        verifier.verify(position, leaves[position], batch_tree.path(position))


@given(filled(), st.data())
def test_a_leaf_stands_at_its_position_only(positions, data):
    leaves = leaves_at(positions)
    batch_tree = tree.BatchTree(HEADER_HASH, SEED, leaves)
    position = data.draw(st.sampled_from(positions))
    before = data.draw(st.lists(st.sampled_from(positions), max_size=3))
    path, bit = batch_tree.path(position), 1 << data.draw(st.integers(0, 7))
    at = data.draw(st.integers(0, 31))  # of the lowest hash: the rest of a way may be bound already
    flipped = path[:at] + bytes([path[at] ^ bit]) + path[at + 1 :]
    slots = tree.slot_count(len(positions))
    moved = data.draw(st.integers(0, slots - 1).filter(lambda other: other != position))

    def refuse(position, leaf, path, trusted):
        verifier = tree.PathVerifier(batch_tree.root, len(positions))
        for other in trusted:
            verifier.verify(other, leaves[other], batch_tree.path(other))
        with pytest.raises(RegieError, match="PROOF_INVALID"):
            verifier.verify(position, leaf, path)

    refuse(position, leaves[position], flipped, [])
    refuse(position, bytes(32), path, before)
    refuse(moved, leaves[position], path, before)
    refuse(moved, leaves[position], batch_tree.path(moved), before)
    for bad in (b"", path[:-1], path + path[:32]):
        refuse(position, leaves[position], bad, before)
    for outside in (-1, slots, slots + position, 65536):
        refuse(outside, leaves[position], path, before)


def test_a_refused_path_binds_nothing():
    leaves = leaves_at([1, 5])
    batch_tree = tree.BatchTree(HEADER_HASH, SEED, leaves)
    verifier = tree.PathVerifier(batch_tree.root, 2)
    forged = bytes(32)
    for _ in range(2):
        with pytest.raises(RegieError, match="PROOF_INVALID"):
            verifier.verify(1, forged, batch_tree.path(1))
    with pytest.raises(RegieError, match="PROOF_INVALID"):
        verifier.verify(0, bytes(32), forged + batch_tree.path(0)[32:])
    verifier.verify(1, leaves[1], batch_tree.path(1))


def test_a_subtree_does_not_pass_for_a_leaf():
    batch_tree = tree.BatchTree(HEADER_HASH, SEED, leaves_at([0, 1]))
    node = hashlib.sha256(b"\1" + leaves_at([0])[0] + leaves_at([1])[1]).digest()
    with pytest.raises(RegieError, match="PROOF_INVALID"):
        tree.PathVerifier(batch_tree.root, 2).verify(0, node, batch_tree.path(0)[32:])


def test_positions():
    assert tree.encode_positions((0, 7, 258)) == b"\x00\x00\x00\x07\x01\x02"
    last = tuple(range(55, 64))
    assert tree.decode_positions(tree.encode_positions(last), 9) == last
    with pytest.raises(RegieError, match="positions"):
        tree.decode_positions(tree.encode_positions([*last[:-1], 64]), 9)


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (b"", 1),
        (b"\x00", 1),
        (b"\x00\x01\x00", 1),
        (b"\x00\x01", 2),
        (b"\x00\x01\x00\x01", 2),
        (b"\x00\x02\x00\x01", 2),
        (b"\x00\x08", 1),
        (b"\x01\x00", 1),
    ],
)
def test_positions_that_are_refused(data, count):
    with pytest.raises(RegieError, match="positions"):
        tree.decode_positions(data, count)
