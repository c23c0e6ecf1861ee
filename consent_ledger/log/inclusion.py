"""Many leaves under one root: neighbours share most of their paths, and no node is hashed twice."""

from __future__ import annotations

from consent_ledger.log.errors import ProofError
from consent_ledger.log.merkle import node_hash

HASH_BYTES = 32


class InclusionVerifier:
    """Checks inclusion paths (RFC 9162 section 2.1.3.2) in one tree of ``size`` leaves.

    A node that was on the way of a checked leaf, or beside it, is bound by the root together with its own path, so the
    way of the next leaf ends where it meets one: with the same hash and the same path from there on.
    """

    def __init__(self, size: int, root: bytes) -> None:
        """Take the size and the root (32 bytes) that a checkpoint signs."""
        if len(root) != HASH_BYTES:
            raise ProofError(f"expected a root of {HASH_BYTES} bytes, got {len(root)}")
        self._size = size
        # (last node of its level, number in its level) -> its hash and its path
        self._bound: dict[tuple[int, int], tuple[bytes, bytes]] = {(0, 0): (root, b"")}

    def verify(self, index: int, leaf: bytes, path: bytes) -> None:
        """Check the leaf hash at ``index``; ``path`` is 32 bytes a hash, its sibling first. Raises ProofError."""
        if not 0 <= index < self._size:
            raise ProofError(f"expected an index from 0 to {self._size - 1}, got {index}")
        if len(leaf) != HASH_BYTES or len(path) % HASH_BYTES:
            raise ProofError(f"expected hashes of {HASH_BYTES} bytes")
        here, last, node, rest = index, self._size - 1, leaf, path
        met: dict[tuple[int, int], tuple[bytes, bytes]] = {}
        while True:
            while here == last and here and not here & 1:  # the right edge: this node has no sibling, its parent is it
                here, last = here >> 1, last >> 1
            known = self._bound.get((last, here))
            if known is not None:
                break
            sibling, after = rest[:HASH_BYTES], rest[HASH_BYTES:]
            if not sibling:
                raise ProofError(f"path too short for index {index} of {self._size}")
            met[last, here] = (node, rest)
            met[last, here ^ 1] = (sibling, node + after)
            node = node_hash(sibling, node) if here & 1 else node_hash(node, sibling)
            here, last, rest = here >> 1, last >> 1, after
        if known != (node, rest):
            raise ProofError(f"expected a path from entry {index} to the root of the tree of {self._size}")
        self._bound.update(met)
