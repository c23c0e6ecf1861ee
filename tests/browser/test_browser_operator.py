"""AS8 and AS9 with everything served: what an operator does to the ledger's own database, the resident's browser finds."""

from __future__ import annotations

from contextlib import contextmanager

import pysqlite3.dbapi2 as sqlite
import pytest
import pytest_asyncio
from living import RESULT, at_home

from consent_ledger.v1 import events_pb2
from gateway.settings import Settings
from tests.support.scenario import BILL, served_town

pytestmark = pytest.mark.timeout(120)
FAST = Settings(publish_seconds=0.2)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(tmp_path_factory):
    """It is not checked at the end: it is damaged."""
    async with served_town(tmp_path_factory.mktemp("operator") / "home", FAST, visitors=["anna", "ben"]) as served:
        yield served


@contextmanager
def as_operator(town):
    """The served ledger's database, its own protection taken off."""
    database = sqlite.connect(town.home.operator("ledger").data / "ledger.db", timeout=20)
    try:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        yield database
        database.commit()
    finally:
        database.close()


async def test_as8_an_edited_entry_klopt_niet(town, open_window):
    """A no becomes a yes in the database; the page shows the yes, and the device of the resident calls it wrong."""
    person = town.visitors["anna"]
    await town.chooses(person, BILL, "NEE")
    index = (await town.record(person)).choices[0].log_index
    async with at_home(open_window, town, "anna") as anna:
        await anna.read(f"/mijn/toestemmingen/{index}")
        assert await anna.verdict() == "Klopt"
        with as_operator(town) as database:
            (raw,) = database.execute("SELECT event FROM payload WHERE idx = ?", (index,)).fetchone()
            event = events_pb2.Event.FromString(raw)
            scope = event.consent_refused.scope
            event.consent_granted.scope.CopyFrom(scope)
            event.consent_granted.mode = events_pb2.MODE_JA
            database.execute("UPDATE payload SET event = ? WHERE idx = ?", (event.SerializeToString(), index))
        await anna.read(f"/mijn/toestemmingen/{index}")
        assert await anna.verdict() == "Klopt niet"
        assert "neem contact met ons op" in (await anna.text())
        # Somebody without JavaScript is told by the server, which did not write this database.
    async with at_home(open_window, town, "anna", java_script_enabled=False) as anna:
        await anna.read(f"/mijn/toestemmingen/{index}")
        assert "Onze server kon dit niet controleren" in await anna.window.text("#controle-uitslag")


async def test_as9_a_hidden_entry_is_a_gap(town, open_window):
    """An attempt is taken out of the database: the numbers of one's own entries do not follow each other any more."""
    person = town.visitors["ben"]
    assert await town.report(person, BILL) == "geen_toestemming"
    await town.chooses(person, BILL, "JA")
    hidden = (await town.newest(person)).log_index
    async with at_home(open_window, town, "ben") as ben:
        await ben.read("/mijn/controle")
        assert await ben.verdict() == "Klopt"
        assert "Er ontbreekt geen regel over u" in await ben.window.text(RESULT)
        with as_operator(town) as database:
            database.execute("DELETE FROM payload WHERE idx = ?", (hidden,))
        await ben.read("/mijn/controle")
        assert await ben.verdict() == "Klopt niet"
        await ben.page.click(f"{RESULT} summary")
        assert "missing" in await ben.window.text(RESULT)
