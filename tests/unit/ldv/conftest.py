import pytest

from gateway.ldv.state import State
from tests.support.ldv import organisation
from tests.support.ldv_exporting import play
from tests.support.ledger import Ledger


@pytest.fixture
def small(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db")
    play(ledger, 2, 40)
    yield ledger
    ledger.close()


@pytest.fixture
def state(tmp_path):
    with State.open(organisation(tmp_path)) as opened:
        yield opened
