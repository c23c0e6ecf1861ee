from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.witnessed import scene_in


@pytest.fixture(scope="session")
def pool():
    with ThreadPoolExecutor(2) as threads:
        yield threads


@pytest.fixture
async def scene(tmp_path, pool):
    async with scene_in(tmp_path, pool) as found:
        yield found
