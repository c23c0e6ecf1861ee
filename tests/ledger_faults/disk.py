"""A disk that loses power: what of a recorded run reaches it is chosen within what POSIX allows.

A write is on the disk when its file was synchronised after it; before that any 512 bytes of it may be there or not, in
any order. A new or removed name is on the disk when the folder was synchronised. When fsync fails, Linux drops the
pages: a later fsync succeeds without them (as PostgreSQL learned in 2018), though whoever reads them still finds them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.ledger_faults.tracer import FOLDER, Made

SECTOR = 512
VOLATILE = ("-shm", ".lock")
"""Nobody reads these after the machine started again."""

Chooses = Callable[[], bool]


@dataclass(slots=True)
class _Change:
    """``data`` at ``offset``, or the file cut to ``offset`` bytes where it is None."""

    offset: int
    data: bytes | None
    durable: bool = False
    dropped: bool = False


@dataclass(slots=True)
class _File:
    content: bytes = b""
    changes: list[_Change] = field(default_factory=list)

    def sync(self, done: bool) -> None:
        for change in self.changes:
            if done and not change.dropped:
                change.durable = True
            elif not done and not change.durable:
                change.dropped = True

    def after_power_loss(self, reached: Chooses) -> bytes:
        content = bytearray(self.content)
        for change in self.changes:
            if change.data is None:
                if change.durable or reached():
                    del content[change.offset :]
                    content.extend(bytes(change.offset - len(content)))
                continue
            for at in range(0, len(change.data), SECTOR):
                if change.durable or reached():
                    _put(content, change.offset + at, change.data[at : at + SECTOR])
        return bytes(content)


def _put(content: bytearray, offset: int, data: bytes) -> None:
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


class _Name(NamedTuple):
    """A pending change of the folder: a new name, or one that is gone (None)."""

    name: str
    file: _File | None


class Disk:
    """The folder of a ledger, as its disk and its page cache hold it."""

    def __init__(self, folder: Path) -> None:
        """Begin with the files in ``folder``, all of them durable."""
        self._cached = {
            path.name: _File(path.read_bytes()) for path in folder.iterdir() if not path.name.endswith(VOLATILE)
        }
        self._durable = dict(self._cached)
        self._names: list[_Name] = []
        self.told = 0

    def apply(self, made: Made) -> None:
        """Take over one system call."""
        name, file = made.call.name, made.call.file
        if file == "told":
            self.told += name == "write"
        elif file == FOLDER:
            if name == "fsync" and made.done:
                self._sync_folder()
        elif not file.endswith(VOLATILE):
            self._apply(made)

    def _apply(self, made: Made) -> None:
        name, file = made.call.name, made.call.file
        if name == "openat" and made.done and file not in self._cached:
            self._rename(file, _File())
        elif name == "link" and made.done:
            self._rename(Path(made.data.decode()).name, self._cached[file])
        elif name == "unlink" and made.done:
            self._rename(file, None)
        elif name == "pwrite64" and made.done:
            self._cached[file].changes.append(_Change(int(made.last), made.data))
        elif name == "ftruncate" and made.done:
            self._cached[file].changes.append(_Change(int(made.last), None))
        elif name in ("fsync", "fdatasync"):
            self._cached[file].sync(made.done)

    def _rename(self, name: str, file: _File | None) -> None:
        self._names.append(_Name(name, file))
        _rename(self._cached, name, file)

    def _sync_folder(self) -> None:
        for name, file in self._names:
            _rename(self._durable, name, file)
        self._names.clear()

    def cached(self, name: str) -> bytes | None:
        """Return a file as a process would read it; None when there is no such file."""
        file = self._cached.get(name)
        return None if file is None else file.after_power_loss(lambda: True)

    def after_power_loss(self, folder: Path, reached: Chooses) -> None:
        """Write what the machine finds when it starts again; ``reached`` says of each thing in doubt if it is there."""
        names = dict(self._durable)
        for name, file in self._names:  # the folder's journal is in order: what comes after one that is lost, is lost
            if not reached():
                break
            _rename(names, name, file)
        folder.mkdir(parents=True)
        for name, file in names.items():
            (folder / name).write_bytes(file.after_power_loss(reached))


def _rename(names: dict[str, _File], name: str, file: _File | None) -> None:
    if file is None:
        names.pop(name)
    else:
        names[name] = file


def never() -> bool:
    """Nothing that is in doubt reached the disk."""
    return False


def some(seed: int) -> Chooses:
    """Each thing in doubt reached the disk or not, by chance."""
    chance = random.Random(seed)
    part = chance.random()
    return lambda: chance.random() < part
