import shutil

import pytest
from ledger_files import town


@pytest.fixture(scope="session")
def ledger():
    return town()


@pytest.fixture(scope="session")
def written(ledger, tmp_path_factory):
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    ledger.write(path)
    return path


@pytest.fixture
def database(written, tmp_path):
    """A ledger's file that a test may break."""
    return shutil.copy(written, tmp_path / "ledger.db")
