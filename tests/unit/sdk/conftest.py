import pytest

from consent_ledger.clock import system_clock
from gateway.directory.founding import found_home
from gateway.directory.participants import NewParticipant
from gateway.town.participants import THE_OPERATORS
from tests.support.sdk import CITY, SUPPLIER, TAX_OFFICE


@pytest.fixture
def home(tmp_path):
    agencies = (
        NewParticipant(SUPPLIER, "energy_supplier", "Lampje"),
        NewParticipant(TAX_OFFICE, "tax_office", "Kantoor"),
        NewParticipant(CITY, "municipality", "Gemeente Zonneveen", 1000),
    )
    return found_home(tmp_path / "home", (*THE_OPERATORS, *agencies), system_clock)
