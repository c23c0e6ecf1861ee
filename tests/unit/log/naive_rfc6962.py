"""RFC 6962 section 2.1 as it is written: recursive, slow, and nothing shared with the code under test."""

import hashlib
from functools import cache


class NaiveTree:
    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves = leaves
        self.root = cache(self._root)

    def _root(self, start: int, end: int) -> bytes:
        """MTH(D[start:end])."""
        if start == end:
            return hashlib.sha256(b"").digest()
        if end - start == 1:
            return hashlib.sha256(b"\x00" + self.leaves[start]).digest()
        middle = start + split(end - start)
        return hashlib.sha256(b"\x01" + self.root(start, middle) + self.root(middle, end)).digest()

    def path(self, index: int, start: int, end: int) -> list[bytes]:
        """PATH(index - start, D[start:end])."""
        if end - start == 1:
            return []
        middle = start + split(end - start)
        if index < middle:
            return [*self.path(index, start, middle), self.root(middle, end)]
        return [*self.path(index, middle, end), self.root(start, middle)]

    def proof(self, old: int, size: int) -> list[bytes]:
        """PROOF(old, D[0:size])."""
        return self._subproof(old, 0, size, whole=True)

    def _subproof(self, old: int, start: int, end: int, *, whole: bool) -> list[bytes]:
        if old == end:
            return [] if whole else [self.root(start, end)]
        middle = start + split(end - start)
        if old <= middle:
            return [*self._subproof(old, start, middle, whole=whole), self.root(middle, end)]
        return [*self._subproof(old, middle, end, whole=False), self.root(start, middle)]

    def tile(self, level: int, index: int, width: int, size: int) -> bytes:
        """Tile hashes by the formula of c2sp.org/tlog-tiles; refuses tiles that this tree does not have."""
        span = 256**level
        hashes = []
        for slot in range(index * 256, index * 256 + width):
            assert (slot + 1) * span <= size, f"tile {level}/{index} of width {width} is not in a tree of {size}"
            hashes.append(self.root(slot * span, (slot + 1) * span))
        assert 1 <= width <= 256
        assert width == 256 or width == (size // span) % 256, "neither full nor the partial tile of this size"
        return b"".join(hashes)


def split(n: int) -> int:
    """The largest power of two strictly below n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k
