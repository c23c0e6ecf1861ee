"""The engines that a ledger may be kept in, for tests that hold for each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from consent_ledger.log.keys import LogKeys
from consent_ledger.opening import create_ledger, write_first
from consent_ledger.storage.engines import open_for_writing
from consent_ledger.storage.memory import MemoryLedger
from consent_ledger.storage.ports import Location, Store
from tests.support.ledger import SIGNER, Time, first_events

BACKENDS = [
    "memory",
    "sqlite",
    "postgres18",
    pytest.param("postgres15", marks=pytest.mark.needs("postgres15")),
]


@dataclass(frozen=True)
class Backend:
    """A ledger with its first events, closed. ``location`` is where ``open_ledger`` finds it; memory has none."""

    name: str
    open: Callable[[], Store]
    location: Location | None = None


def make(name: str, request: pytest.FixtureRequest, folder: Path) -> Backend:
    """Make a new ledger on the engine of this name."""
    if name == "memory":
        memory = MemoryLedger()
        store = memory.open()
        write_first(store, LogKeys.of(SIGNER), first_events(), Time()(), bytes)
        store.close()
        return Backend(name, memory.open)
    location: Location = folder / "ledger.db"
    if name != "sqlite":
        server = request.getfixturevalue(name)
        location = server.uri(server.database())
    create_ledger(location, SIGNER, first_events(), Time())
    return Backend(name, lambda: open_for_writing(location), location)
