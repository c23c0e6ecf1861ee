import pytest

from tests.support.ledger import Ledger
from tests.support.ledger_services import Services


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path):
    found = Ledger(path)
    yield found
    found.close()


@pytest.fixture
def services(tmp_path):
    found = Services(tmp_path / "ledger.db")
    yield found
    found.pool.shutdown()
    found.ledger.close()
