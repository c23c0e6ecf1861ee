from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.witness import RealWitness


@pytest.fixture(scope="session")
def pool():
    with ThreadPoolExecutor(2) as threads:
        yield threads


@pytest.fixture
def real(tmp_path):
    found = RealWitness(tmp_path / "witness.db")
    yield found
    found.stop()
