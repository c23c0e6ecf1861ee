"""The Merkle tree of RFC 6962: hashes, roots, and the verification of proofs (RFC 9162 section 2.1)."""

from collections.abc import Iterable, Sequence
from hashlib import sha256

from consent_ledger.log.errors import ProofError

EMPTY_ROOT = sha256(b"").digest()
"""Root of the tree without leaves."""


def leaf_hash(entry: bytes) -> bytes:
    """Return SHA-256(0x00 || entry), 32 bytes (RFC 6962 section 2.1)."""
    return sha256(b"\x00" + entry).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """Return the leaf hash of each entry: the same as ``leaf_hash``, many at a time."""
    return [sha256(b"\x00" + entry).digest() for entry in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 || left || right), 32 bytes (RFC 6962 section 2.1)."""
    return sha256(b"\x01" + left + right).digest()


def parents(nodes: Sequence[bytes]) -> list[bytes]:
    """Hash neighbours together: one level up. A last node without a right neighbour is left out."""
    return [sha256(b"\x01" + left + right).digest() for left, right in zip(nodes[::2], nodes[1::2], strict=False)]


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the Merkle tree hash over leaf hashes of 32 bytes (RFC 6962 section 2.1)."""
    if not leaf_hashes:
        return EMPTY_ROOT
    nodes = list(leaf_hashes)
    while len(nodes) > 1:
        # A node without a right neighbour rises unchanged: the same tree as splitting at the largest power of two.
        last = nodes[-1:] if len(nodes) % 2 else []
        nodes = parents(nodes) + last
    return nodes[0]


def verify_inclusion(index: int, size: int, leaf: bytes, root: bytes, path: Sequence[bytes]) -> None:
    """Check that the leaf hash stands at ``index`` in the tree of ``size`` leaves with this root.

    Hashes are 32 bytes; the path runs from the leaf's sibling up. Raises ProofError (RFC 9162 section 2.1.3.2).
    """
    _require_hashes(root)
    _require_root(root, root_by_path(index, size, leaf, path), size)


def root_by_path(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """Return the root that an inclusion path leads to; whoever trusts no root yet has to prove it by another.

    Raises ProofError on a path that fits no such tree.
    """
    if not 0 <= index < size:
        raise ProofError(f"expected an index from 0 to {size - 1}, got {index}")
    _require_hashes(leaf, *path)
    here, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise ProofError(f"path too long for index {index} of {size}: {len(path)} hashes")
        if here & 1 or here == last:
            found = node_hash(sibling, found)
            here, last = _to_left_sibling(here, last)
        else:
            found = node_hash(found, sibling)
        here, last = here >> 1, last >> 1
    if last != 0:
        raise ProofError(f"path too short for index {index} of {size}: {len(path)} hashes")
    return found


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> None:
    """Check that the tree of ``new`` leaves begins with the tree of ``old`` leaves.

    The empty tree begins every tree; it and equal sizes have the empty path. Raises ProofError (RFC 9162 section
    2.1.4.2).
    """
    if not 0 <= old <= new:
        raise ProofError(f"expected an old size from 0 to {new}, got {old}")
    _require_hashes(old_root, new_root, *path)
    if old in (0, new):
        if path:
            raise ProofError(f"expected an empty path from {old} to {new}, got {len(path)} hashes")
        _require_root(old_root, EMPTY_ROOT if old == 0 else new_root, old)
        if new == 0:
            _require_root(new_root, EMPTY_ROOT, new)
        return
    hashes = [old_root, *path] if old & (old - 1) == 0 else list(path)
    if not path:
        raise ProofError(f"path too short from {old} to {new}: no hashes")
    _check_both_roots(old, new, old_root, new_root, hashes)


def _check_both_roots(old: int, new: int, old_root: bytes, new_root: bytes, hashes: Sequence[bytes]) -> None:
    """Walk up once and derive both roots from the same hashes (RFC 9162 section 2.1.4.2 steps 3-7)."""
    here, last = old - 1, new - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    old_found = new_found = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise ProofError(f"path too long from {old} to {new}")
        if here & 1 or here == last:
            old_found, new_found = node_hash(sibling, old_found), node_hash(sibling, new_found)
            here, last = _to_left_sibling(here, last)
        else:
            new_found = node_hash(new_found, sibling)
        here, last = here >> 1, last >> 1
    if last != 0:
        raise ProofError(f"path too short from {old} to {new}")
    _require_root(old_root, old_found, old)
    _require_root(new_root, new_found, new)


def _to_left_sibling(here: int, last: int) -> tuple[int, int]:
    """Rise along the right edge, where nodes have no sibling, to the next node that is a right child."""
    while here and not here & 1:
        here, last = here >> 1, last >> 1
    return here, last


def _require_hashes(*hashes: bytes) -> None:
    for value in hashes:
        if len(value) != 32:
            raise ProofError(f"expected hashes of 32 bytes, got one of {len(value)}")


def _require_root(expected: bytes, got: bytes, size: int) -> None:
    if expected != got:
        raise ProofError(f"root of size {size}: expected {expected.hex()}, got {got.hex()}")
