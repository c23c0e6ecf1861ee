"""Overwriting what SQLite leaves behind inside its pages.

``secure_delete`` overwrites a row where it lies when it is deleted. It does not overwrite the copies that an earlier
split or merge of pages left in the unallocated part of a page: measured, about one in a hundred deleted rows could
still be read in the file (docs/adr/0007). Rewriting the whole file (VACUUM) would stop the ledger for as long as that
takes, so the unallocated parts are set to zero where they lie, a few megabytes between two commits.

Why that is safe: only the ledger's writer changes this file, in a checkpoint, and it is the one that calls; the -wal
file is empty; the bytes belong to no row (sqlite.org/fileformat2.html section 1.6), so readers never look at them, and
a crash leaves each of them old or zero. The file stays open until the store closes, because closing any descriptor of a
file drops SQLite's own locks on it (sqlite.org/howtocorrupt.html section 2.2).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

_BTREE = {2: 12, 5: 12, 10: 8, 13: 8}  # type of page -> size of its header
_HEADER = struct.Struct(">BHHHB")  # type, first free block, cells, start of cells, fragments
_FIRST = 100  # page 1 begins with the header of the file
# Pages without a header of their own begin with the number of another page: below this many, that number's first byte
# is 0 or 1, and no such page is taken for one with rows.
_MOST_PAGES = 2 << 24


class Scrub:
    """One pass over a file's pages, in steps; begun anew whenever something was deleted."""

    def __init__(self, path: Path) -> None:
        """Open the file of a ledger for its writer."""
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._next = 0
        self._page_size = 0
        self.done = False

    def close(self) -> None:
        """Close the file: after SQLite's last connection to it, never before."""
        os.close(self._file)

    def anew(self) -> None:
        """Begin at the first page."""
        self._next, self.done = 0, False

    def step(self, most_bytes: int) -> int:
        """Scrub the next pages and return how many were changed; the caller has emptied the -wal file.

        The writer's cache may hold changed pages as they were: it must be dropped before anything is written again.
        """
        size = self._size()
        first, last = self._next, min(self._next + max(1, most_bytes // size), os.fstat(self._file).st_size // size)
        data = os.pread(self._file, (last - first) * size, first * size)
        changed = 0
        for page in range(len(data) // size):
            start, end = unallocated(data, page * size, size, _FIRST if first + page == 0 else 0)
            if data[start:end].strip(b"\0"):
                os.pwrite(self._file, bytes(end - start), first * size + start)
                changed += 1
        if changed:
            os.fsync(self._file)
        self._next, self.done = last, last * size >= os.fstat(self._file).st_size
        return changed

    def _size(self) -> int:
        """Return the size of a page; raises RuntimeError for a file whose pages cannot be told apart."""
        if not self._page_size:
            header = os.pread(self._file, _FIRST, 0)
            stored = int.from_bytes(header[16:18], "big")
            self._page_size = 65_536 if stored == 1 else stored
            if int.from_bytes(header[52:56], "big"):
                raise RuntimeError("auto_vacuum is on: pages that map pages look like pages with rows")
        if os.fstat(self._file).st_size // self._page_size >= _MOST_PAGES:
            raise RuntimeError("the file is too large for its pages to be told apart: move to PostgreSQL")
        return self._page_size


def unallocated(data: bytes, start: int, size: int, header: int) -> tuple[int, int]:
    """Return where the unallocated part of the page at ``start`` begins and ends; empty for any other kind of page.

    ``header`` is the offset of the page's own header in it.
    """
    kind, _, cells, content, _ = _HEADER.unpack_from(data, start + header)
    if kind not in _BTREE:
        return start, start
    begin = header + _BTREE[kind] + 2 * cells
    end = content or 65_536
    if not begin <= end <= size:
        return start, start  # no such page has rows: a page of another kind
    return start + begin, start + end
