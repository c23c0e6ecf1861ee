"""What every test starts from."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import structlog

from tests.support import tools

pytest_plugins = ["tests.support.postgres"]

_LEFT_OUT = pytest.StashKey[dict[str, int]]()


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Commands configure logging for their process; a test in this process leaves none of it behind."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True, scope="module")
def _settings_as_they_were() -> Iterator[None]:
    """A module that leaves a setting behind changes what those after it serve, whichever they are today."""
    before = _settings()
    yield
    assert _settings() == before, "use monkeypatch.setenv"


def _settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("REGIE_")}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests whose tools (``@pytest.mark.needs("go")``) this machine lacks, and remember how many."""
    kept, left_out = [], config.stash.setdefault(_LEFT_OUT, {})
    for item in items:
        needed = [name for mark in item.iter_markers("needs") for name in mark.args]
        missing = [name for name in needed if tools.find(name) is None]
        if missing and not tools.required():
            left_out[missing[0]] = left_out.get(missing[0], 0) + 1
        else:
            kept.append(item)
    items[:] = kept


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what did not run here and how to have it."""
    for name, count in sorted(config.stash.get(_LEFT_OUT, {}).items()):
        packages = tools.TOOLS[name][1]
        terminalreporter.write_line(f"{count} tests left out: they need {name} (Debian: {packages})", yellow=True)
