"""Proofs and roots read from tiles (c2sp.org/tlog-tiles), each tile read once, and the right edge of a growing tree.

A tile holds up to 256 hashes of one level; hash i of tile n at level l is the root of the leaves
[(256 n + i) 256^l, (256 n + i + 1) 256^l). So it also stands for the eight levels of the binary tree above it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce

from consent_ledger.log.errors import ProofError
from consent_ledger.log.merkle import EMPTY_ROOT, node_hash, parents

TILE_HEIGHT = 8
TILE_WIDTH = 256

TileReader = Callable[[int, int, int], bytes]
"""(level, index, width) -> width hashes of 32 bytes, concatenated. Only tiles of the tree at hand are asked for."""


def tile_width(level: int, index: int, size: int) -> int:
    """Return how many hashes (0..256) a tile holds in the tree of ``size`` leaves (tlog-tiles, "Partial Tiles")."""
    return max(0, min(TILE_WIDTH, (size >> (TILE_HEIGHT * level)) - index * TILE_WIDTH))


def root(size: int, tiles: TileReader) -> bytes:
    """Return the root (32 bytes) of the tree of ``size`` leaves; raises ProofError when a tile has a wrong length."""
    return Nodes(size, tiles).edge(0)


def inclusion_path(index: int, size: int, tiles: TileReader) -> list[bytes]:
    """Return the audit path of a leaf, its sibling first (RFC 6962 section 2.1.1); raises ProofError."""
    return inclusion_paths([index], size, tiles)[0]


def inclusion_paths(indices: Iterable[int], size: int, tiles: TileReader) -> list[list[bytes]]:
    """Return the audit path of each leaf; every tile is read and hashed once, whatever the number of leaves."""
    nodes = Nodes(size, tiles)
    paths = []
    for index in indices:
        if not 0 <= index < size:
            raise ProofError(f"expected an index from 0 to {size - 1}, got {index}")
        paths.append(nodes.path(0, index))
    return paths


def packed_paths(indices: Iterable[int], size: int, tiles: TileReader) -> list[bytes]:
    """Return the audit path of each leaf, 32 bytes a hash: as ``inclusion_paths``, for thousands of neighbours."""
    nodes = Nodes(size, tiles)
    above: dict[int, bytes] = {}  # by full tile: what its leaves share
    paths = []
    for index in indices:
        if not 0 <= index < size:
            raise ProofError(f"expected an index from 0 to {size - 1}, got {index}")
        tile, slot = divmod(index, TILE_WIDTH)
        if tile == (size - 1) // TILE_WIDTH:
            paths.append(b"".join(nodes.path(0, index)))
            continue
        shared = above.get(tile)
        if shared is None:
            shared = above[tile] = b"".join(nodes.path(TILE_HEIGHT, tile))
        within = [hashes[slot >> height ^ 1] for height, hashes in enumerate(nodes.pyramid(tile))]
        paths.append(b"".join(within) + shared)
    return paths


def consistency_path(old: int, new: int, tiles: TileReader) -> list[bytes]:
    """Return the proof that the tree of ``new`` leaves begins with that of ``old`` (RFC 6962 section 2.1.2).

    Empty for ``old`` of 0 or ``new``. Raises ProofError when ``old`` is larger than ``new``.
    """
    if not 0 <= old <= new:
        raise ProofError(f"expected an old size from 0 to {new}, got {old}")
    if old in (0, new):
        return []
    # The last complete subtree of the old tree is the smallest piece that both trees share.
    level = (old & -old).bit_length() - 1
    index = (old - 1) >> level
    nodes = Nodes(new, tiles)
    path = nodes.path(level, index)
    # A verifier knows this subtree already when it is the whole old tree.
    return path if index == 0 else [nodes.node(level, index), *path]


class Nodes:
    """The nodes of the tree of ``size`` leaves: node (level, index) is the root of leaves [index, index + 1) * 2^level.

    Keeps what it has read and hashed, so it is made per question, not per ledger.
    """

    def __init__(self, size: int, tiles: TileReader) -> None:
        """Remember where the tiles come from; nothing is read yet."""
        self.size = size
        self._read = tiles
        self._pyramids: dict[tuple[int, int], list[list[bytes]]] = {}
        self._edges: dict[int, bytes] = {}
        self._paths: dict[tuple[int, int], list[bytes]] = {}

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree of 2^level leaves."""
        tile_level, height = divmod(level, TILE_HEIGHT)
        tile, slot = divmod(index, TILE_WIDTH >> height)
        pyramid = self._pyramids.get((tile_level, tile)) or self._load(tile_level, tile)
        return pyramid[height][slot]

    def pyramid(self, tile: int) -> list[list[bytes]]:
        """Return a tile of leaf hashes and the seven levels of complete subtrees above it."""
        return self._pyramids.get((0, tile)) or self._load(0, tile)

    def edge(self, start: int) -> bytes:
        """Return the root of the leaves [start, size), where start is a multiple of a power of two >= size - start."""
        if start not in self._edges:
            hashes = [self.node(level, index) for level, index in complete_subtrees(start, self.size)]
            # Subtrees grow from right to left, so the tree is hashed together from its right end.
            self._edges[start] = reduce(lambda right, left: node_hash(left, right), hashes) if hashes else EMPTY_ROOT
        return self._edges[start]

    def path(self, level: int, index: int) -> list[bytes]:
        """Return the siblings of a complete subtree, from its own up to the child of the root."""
        last = (self.size - 1) >> level
        inner = (index ^ last).bit_length()
        if inner > TILE_HEIGHT:
            # 256 neighbours share all but the lowest eight siblings.
            siblings = [self.node(level + height, (index >> height) ^ 1) for height in range(TILE_HEIGHT)]
            return siblings + self._shared_path(level + TILE_HEIGHT, index >> TILE_HEIGHT)
        # Below the fork of the ways to this node and to the last leaf, every sibling is complete...
        path = [self.node(level + height, (index >> height) ^ 1) for height in range(inner - 1)]
        # ...at the fork the sibling is the right edge of the tree...
        if inner:
            path.append(self.edge(((index >> (inner - 1)) ^ 1) << (level + inner - 1)))
        # ...and above it only left siblings exist.
        above = (height for height in range(inner, index.bit_length()) if index >> height & 1)
        path += [self.node(level + height, (index >> height) ^ 1) for height in above]
        return path

    def _shared_path(self, level: int, index: int) -> list[bytes]:
        if (level, index) not in self._paths:
            self._paths[level, index] = self.path(level, index)
        return self._paths[level, index]

    def _load(self, level: int, index: int) -> list[list[bytes]]:
        width = tile_width(level, index, self.size)
        data = self._read(level, index, width)
        if len(data) != 32 * width:
            raise ProofError(f"tile {level}/{index}: expected {32 * width} bytes, got {len(data)}")
        pyramid = [[data[at : at + 32] for at in range(0, len(data), 32)]]
        for _ in range(TILE_HEIGHT - 1):
            pyramid.append(parents(pyramid[-1]))
        self._pyramids[level, index] = pyramid
        return pyramid


def complete_subtrees(start: int, end: int) -> list[tuple[int, int]]:
    """Split [start, end) into complete subtrees (level, index), smallest and rightmost first.

    ``start`` must be a multiple of a power of two that is at least end - start, as 0 is.
    """
    subtrees = []
    while start < end:
        level = ((end - start) & -(end - start)).bit_length() - 1
        subtrees.append((level, (end >> level) - 1))
        end -= 1 << level
    return subtrees


class Frontier:
    """The right edge of a growing tree: at most one complete subtree per level, as the bits of ``size`` say.

    Mutable and cheap to copy: a writer appends to a copy and keeps it once its transaction is durable.
    """

    __slots__ = ("_pending", "size")

    def __init__(self) -> None:
        """Begin with the empty tree."""
        self.size = 0
        # Level -> root of the complete subtree of 2^level leaves that waits for its right neighbour.
        self._pending: dict[int, bytes] = {}

    @classmethod
    def load(cls, size: int, tiles: TileReader) -> Frontier:
        """Read the right edge of a stored tree: one tile per level at most; raises ProofError on short tiles."""
        frontier = cls()
        nodes = Nodes(size, tiles)
        frontier.size = size
        frontier._pending = {level: nodes.node(level, index) for level, index in complete_subtrees(0, size)}
        return frontier

    def copy(self) -> Frontier:
        """Return an independent frontier of the same tree."""
        other = Frontier()
        other.size = self.size
        other._pending = self._pending.copy()
        return other

    @classmethod
    def unpack(cls, size: int, packed: bytes) -> Frontier:
        """Return what ``pack`` packed of a tree of this size; raises ProofError when it is another one's."""
        levels = [level for level in range(size.bit_length()) if size >> level & 1]
        if len(packed) != 32 * len(levels):
            raise ProofError(f"expected {32 * len(levels)} bytes for a tree of {size}, got {len(packed)}")
        frontier = cls()
        frontier.size = size
        frontier._pending = {level: packed[32 * at : 32 * at + 32] for at, level in enumerate(levels)}
        return frontier

    def pack(self) -> bytes:
        """Return the roots of its complete subtrees, smallest first, 32 bytes each; with the size that is all of it."""
        return b"".join(self._pending[level] for level in sorted(self._pending))

    def append(self, leaf_hashes: Sequence[bytes]) -> list[tuple[int, int, bytes]]:
        """Append leaf hashes (32 bytes each) and return the full-tile roots that this completed.

        Each is (level >= 1, index, hash): the hash that a tile of that level holds at that index over all its tiles,
        which is the root of full tile ``index`` one level down. Lower levels and smaller indices come first.
        """
        if any(len(value) != 32 for value in leaf_hashes):
            raise ValueError("leaf hashes have 32 bytes")
        completed: list[tuple[int, int, bytes]] = []
        nodes, level = list(leaf_hashes), 0
        while nodes:
            first = self.size >> level  # index of nodes[0] at this level
            if level and level % TILE_HEIGHT == 0:
                completed.extend((level // TILE_HEIGHT, first + i, value) for i, value in enumerate(nodes))
            if first & 1:
                nodes.insert(0, self._pending.pop(level))
            if len(nodes) & 1:
                self._pending[level] = nodes[-1]
            nodes, level = parents(nodes), level + 1
        self.size += len(leaf_hashes)
        return completed

    def root(self) -> bytes:
        """Return the root of the tree (32 bytes); costs one hash per set bit of the size."""
        if not self._pending:
            return EMPTY_ROOT
        levels = sorted(self._pending)
        found = self._pending[levels[0]]
        for level in levels[1:]:
            found = node_hash(self._pending[level], found)
        return found
