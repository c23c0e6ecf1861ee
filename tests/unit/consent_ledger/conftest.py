import pytest

from tests.support.ledger_services import Services


@pytest.fixture
def services(tmp_path):
    found = Services(tmp_path / "ledger.db")
    yield found
    found.pool.shutdown()
    found.ledger.close()
