"""Names of tiles and entry bundles below a log's URL prefix (c2sp.org/tlog-tiles), and what a bundle holds."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from consent_ledger.log.encoding import MAX_SIZE
from consent_ledger.log.errors import FormatError
from consent_ledger.log.tiles import TILE_WIDTH

MAX_ENTRY_BYTES = 0xFFFF
"""Longest entry that a bundle can carry, so the longest that a log may append."""
MAX_TILE_LEVEL = 63

_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/)*[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True)
class TilePath:
    """A tile of hashes, or a bundle of entries when ``level`` is None; ``width`` 256 is a full one."""

    level: int | None
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        """Refuse tiles that no log serves: empty, too wide, or out of range."""
        if self.level is not None and not 0 <= self.level <= MAX_TILE_LEVEL:
            raise FormatError("a tile's level is from 0 to 63")
        if not 0 <= self.index <= MAX_SIZE:
            raise FormatError("a tile's index is from 0 to 2^63-1")
        if not 1 <= self.width <= TILE_WIDTH:
            raise FormatError("a tile's width is from 1 to 256")

    def format(self) -> str:
        """Write the path without a leading slash: ``tile/0/x001/x234/067.p/8``."""
        digits = str(self.index)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        index = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
        partial = f".p/{self.width}" if self.width < TILE_WIDTH else ""
        return f"tile/{'entries' if self.level is None else self.level}/{index}{partial}"

    @classmethod
    def parse(cls, path: str) -> TilePath:
        """Read a path; raises FormatError on everything that ``format`` would not write."""
        match = _PATH.fullmatch(path)
        if match is None or len(path) > 64:
            raise FormatError("expected a tile path")
        level = None if match["level"] == "entries" else int(match["level"])
        index = int(match["index"].replace("x", "").replace("/", ""))
        tile = cls(level, index, int(match["width"]) if match["width"] else TILE_WIDTH)
        # Leading groups of zeroes and `.p/256` would be second names of one immutable file.
        if tile.format() != path:
            raise FormatError(f"expected {tile.format()}, got another path of the same tile")
        return tile


def format_bundle(entries: Sequence[bytes]) -> bytes:
    """Join 1..256 entries, each behind its length as u16 big-endian; raises FormatError."""
    if not 1 <= len(entries) <= TILE_WIDTH:
        raise FormatError(f"an entry bundle has 1 to {TILE_WIDTH} entries, not {len(entries)}")
    if any(len(entry) > MAX_ENTRY_BYTES for entry in entries):
        raise FormatError(f"an entry has at most {MAX_ENTRY_BYTES} bytes")
    return b"".join(struct.pack(">H", len(entry)) + entry for entry in entries)


def parse_bundle(data: bytes) -> list[bytes]:
    """Split a bundle into its entries; raises FormatError when it is cut off, empty or too long."""
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        start = at + 2
        at = start + int.from_bytes(data[at:start])
        if at > len(data):
            raise FormatError(f"entry bundle is cut off in entry {len(entries)}")
        entries.append(data[start:at])
    if not 1 <= len(entries) <= TILE_WIDTH:
        raise FormatError(f"expected 1 to {TILE_WIDTH} entries, got {len(entries)}")
    return entries
