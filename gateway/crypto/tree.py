"""The hash tree of a batch: B slots, most of them filler, so that its shape tells nothing but B (RFC 6962 2.1).

B is a power of two, so the tree of RFC 6962 is a perfect binary tree and every path has log2(B) hashes.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from itertools import pairwise

from consent_ledger.errors import RegieError

SLOTS = (8, 64, 1024)
LARGEST_BATCH = 1000
HASH_BYTES = 32


def slot_count(count: int) -> int:
    """Return B, the smallest of 8, 64 and 1024 that holds this many signals; raises RegieError FIELD_INVALID."""
    if not 1 <= count <= LARGEST_BATCH:
        raise RegieError("FIELD_INVALID", f"expected 1 to {LARGEST_BATCH} signals in a batch, got {count}", "count")
    return next(slots for slots in SLOTS if slots >= count)


def encode_positions(positions: Sequence[int]) -> bytes:
    """Return the positions as u16 big-endian."""
    return b"".join(position.to_bytes(2, "big") for position in positions)


def decode_positions(data: bytes, count: int, *, field: str = "positions") -> tuple[int, ...]:
    """Return ``count`` positions; raises RegieError FIELD_INVALID unless strictly increasing and below B."""
    slots = slot_count(count)
    positions = tuple(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    increasing = all(left < right for left, right in pairwise(positions))
    if len(data) != 2 * count or not increasing or positions[-1] >= slots:
        raise RegieError("FIELD_INVALID", f"expected {count} increasing positions below {slots}", field)
    return positions


def leaf(position: int, commitment: bytes, ciphertext: bytes) -> bytes:
    """Return leaf_i = SHA-256(0x00 || i || com_i || ct_i)."""
    return hashlib.sha256(b"\0" + position.to_bytes(2, "big") + commitment + ciphertext).digest()


def filler(seed: bytes, header_hash: bytes, position: int) -> bytes:
    """Return the leaf hash of an empty position: HMAC-SHA256(seed, "regie/filler/v1" || hh || i)."""
    return hmac.digest(seed, b"regie/filler/v1" + header_hash + position.to_bytes(2, "big"), "sha256")


class BatchTree:
    """The hash tree over the leaves of a batch and its filler."""

    def __init__(self, header_hash: bytes, filler_seed: bytes, leaves: Mapping[int, bytes]) -> None:
        """Take the leaf hash of every signal by position."""
        slots = slot_count(len(leaves))
        level = [
            leaves[position] if position in leaves else filler(filler_seed, header_hash, position)
            for position in range(slots)
        ]
        self._levels = [level]
        while len(level) > 1:
            nodes = iter(level)
            level = [hashlib.sha256(b"\1" + left + right).digest() for left, right in zip(nodes, nodes, strict=True)]
            self._levels.append(level)

    @property
    def root(self) -> bytes:
        """The root, 32 bytes."""
        return self._levels[-1][0]

    def path(self, position: int) -> bytes:
        """Return the hashes beside the way from a leaf to the root, lowest first, 32 bytes each."""
        return b"".join(level[position >> height ^ 1] for height, level in enumerate(self._levels[:-1]))


class PathVerifier:
    """Checks that leaves stand under one root (RFC 9162 2.1.3.2), and hashes no node twice.

    Nodes are numbered as in a heap: 1 is the root, and the children of n are 2n and 2n+1. A node that was on the way of
    one leaf, or beside it, is bound by the root, so the way of the next leaf ends where it meets one.
    """

    def __init__(self, root: bytes, count: int) -> None:
        """Take the root that the sender signed and the number of signals in the batch."""
        self._slots = slot_count(count)
        self._bound = {1: root}

    def verify(self, position: int, leaf_hash: bytes, path: bytes) -> None:
        """Check one leaf; raises RegieError PROOF_INVALID."""
        if not 0 <= position < self._slots or len(path) != HASH_BYTES * (self._slots.bit_length() - 1):
            raise RegieError("PROOF_INVALID", f"expected a path in a tree of {self._slots} leaves", "path")
        number, node, height = self._slots + position, leaf_hash, 0
        met = {}
        while number not in self._bound:
            beside = path[HASH_BYTES * height : HASH_BYTES * (height + 1)]
            met[number], met[number ^ 1] = node, beside
            node = hashlib.sha256(b"\1" + beside + node if number & 1 else b"\1" + node + beside).digest()
            number, height = number >> 1, height + 1
        if node != self._bound[number]:
            raise RegieError("PROOF_INVALID", "expected a leaf under the root the sender signed", "path")
        self._bound.update(met)
