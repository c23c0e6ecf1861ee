"""One town for all scenarios that leave it whole: they share its event loop, and each brings its own people."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.scenario import Town, served_town


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/tests/scenarios/" in item.path.as_posix() and inspect.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """At the end the log verifies, every decision is explained, and every receipt holds."""
    async with served_town(tmp_path_factory.mktemp("scenarios") / "home") as served:
        yield served
    served.check_everything()
