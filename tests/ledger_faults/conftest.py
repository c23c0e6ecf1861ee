from __future__ import annotations

from collections.abc import Iterator
from multiprocessing import active_children
from pathlib import Path

import pytest

from tests.ledger_faults.sweep import Sweep, begin


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    """Ledgers to begin with, and the calls that are made when nothing fails."""
    return begin(tmp_path_factory.mktemp("sweep"))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Another one in every run; the header of the run says it, and ``-p randomly_seed=N`` repeats it."""
    return int(request.config.getoption("randomly_seed", 0))


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """End what a failing test left running: it would load the machine, and fill it, for all the tests after it."""
    yield
    for child in active_children():
        child.kill()
        child.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "folder"
