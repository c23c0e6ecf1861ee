"""Verification of a log as strangers see it (c2sp.org/tlog-tiles): checkpoint, every tile, every entry.

It goes from the signed root down: each tile is believed once the tile above it says so, each entry once its tile does.
So what is named as wrong is wrong, and not merely below or beside something that is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint
from consent_ledger.log.errors import FormatError, VerificationError
from consent_ledger.log.merkle import leaf_hash, root_of
from consent_ledger.log.note import NoteVerifier
from consent_ledger.log.paths import TilePath, parse_bundle
from consent_ledger.log.tiles import TILE_HEIGHT, TILE_WIDTH, root, tile_width
from consent_ledger.verify.log import LogReplay, LogReport, Progress

Fetch = Callable[[TilePath], Awaitable[bytes]]
"""Returns a tile or an entry bundle; raises VerificationError when the log has none of that name."""

AHEAD = 32
"""Resources asked for before the first of them is needed."""
Item = TypeVar("Item")
Result = TypeVar("Result")


async def verify_published(
    note: str, verifiers: Sequence[NoteVerifier], fetch: Fetch, progress: Progress | None = None
) -> LogReport:
    """Check everything that a log publishes under a checkpoint; the log may grow meanwhile.

    Raises VerificationError naming the resource, and the entry, that does not check; and whatever ``fetch`` raises.
    """
    checkpoint = open_checkpoint(note, verifiers)
    tree = _Tree(checkpoint, fetch)
    await tree.verify_edge()
    await tree.verify_inner()
    replay = LogReplay()
    async for entries, hashes in _ahead(range(-(-checkpoint.size // TILE_WIDTH)), tree.leaves):
        replay.add(entries, hashes)
        if progress is not None:
            progress(replay.size, checkpoint.size)
    return replay.finish(checkpoint)


class _Tree:
    """The tiles of one signed tree, as far as they are known to be right."""

    def __init__(self, checkpoint: Checkpoint, fetch: Fetch) -> None:
        self._checkpoint, self._fetch = checkpoint, fetch
        self._top = (checkpoint.size.bit_length() - 1) // TILE_HEIGHT if checkpoint.size else -1
        self._edge: dict[int, bytes] = {}  # level -> its partial tile
        self._levels: dict[int, bytes] = {}  # level >= 1 -> all its hashes

    async def verify_edge(self) -> None:
        """Check the partial tiles, one a level at most: together they give the root that was signed."""
        size = self._checkpoint.size
        for level in range(self._top + 1):
            count = size >> (TILE_HEIGHT * level)
            if count % TILE_WIDTH:
                self._edge[level] = await self._tile(TilePath(level, count // TILE_WIDTH, count % TILE_WIDTH))
        found = root(size, lambda level, _index, _width: self._edge[level])
        if found != self._checkpoint.root:
            names = ", ".join(self._partial(level).format() for level in sorted(self._edge))
            raise VerificationError(
                f"root of size {size}: expected {self._checkpoint.root.hex()} as signed, got {found.hex()} by the "
                f"partial tiles ({names or 'none'})"
            )

    async def verify_inner(self) -> None:
        """Check the full tiles above the leaves, from the top down."""
        for level in range(self._top, 0, -1):
            count = self._checkpoint.size >> (TILE_HEIGHT * level)
            paths = [TilePath(level, index) for index in range(count // TILE_WIDTH)]
            tiles = [tile async for tile in _ahead(paths, self._full)]
            self._levels[level] = b"".join(tiles) + self._edge.get(level, b"")

    async def leaves(self, index: int) -> tuple[list[bytes], list[bytes]]:
        """Return the entries of a bundle and their leaf hashes, both checked."""
        width = tile_width(0, index, self._checkpoint.size)
        tile = await self._full(TilePath(0, index)) if width == TILE_WIDTH else self._edge[0]
        path = TilePath(None, index, width)
        try:
            entries = parse_bundle(await self._fetch(path))
        except FormatError as error:
            raise VerificationError(f"{path.format()}: {error}") from None
        if len(entries) != width:
            raise VerificationError(f"{path.format()}: expected {width} entries, got {len(entries)}")
        hashes = [leaf_hash(entry) for entry in entries]
        for slot, value in enumerate(hashes):
            expected = tile[32 * slot : 32 * slot + 32]
            if value != expected:
                raise VerificationError(
                    f"{path.format()}: leaf {index * TILE_WIDTH + slot}: expected an entry that hashes to "
                    f"{expected.hex()}, got one that hashes to {value.hex()}"
                )
        return entries, hashes

    async def _full(self, path: TilePath) -> bytes:
        """Fetch a full tile and compare it with the hash that stands for it one level up."""
        tile = await self._tile(path)
        assert path.level is not None
        expected = self._levels[path.level + 1][32 * path.index : 32 * path.index + 32]
        found = root_of([tile[at : at + 32] for at in range(0, len(tile), 32)])
        if found != expected:
            raise VerificationError(
                f"{path.format()}: expected hashes under {expected.hex()}, got hashes under {found.hex()}"
            )
        return tile

    async def _tile(self, path: TilePath) -> bytes:
        tile = await self._fetch(path)
        if len(tile) != 32 * path.width:
            raise VerificationError(f"{path.format()}: expected {32 * path.width} bytes, got {len(tile)}")
        return tile

    def _partial(self, level: int) -> TilePath:
        index, width = divmod(self._checkpoint.size >> (TILE_HEIGHT * level), TILE_WIDTH)
        return TilePath(level, index, width)


async def _ahead(items: Iterable[Item], work: Callable[[Item], Awaitable[Result]]) -> AsyncIterator[Result]:
    """Yield the results in order while the next ones are under way; the first failure ends them all."""
    waiting: deque[asyncio.Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(asyncio.ensure_future(work(item)))
            if len(waiting) == AHEAD:
                yield await waiting.popleft()
        while waiting:
            yield await waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
