"""The pages of somebody about whom 10,000 things were asked cost the ledger what those of somebody with 10 cost.

Counted in statements, and in instructions of SQLite; the times themselves are in `make bench` (tests/bench/viewer.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from starlette.testclient import TestClient

from tests.support.ledger import CITY, OTHER_CITY, SUPPLIER
from tests.support.longrecord import Cost, counted, long_record
from tests.support.places import MINE
from tests.support.viewer import log_in, viewer_client

FEW, MANY = 10, 10_000
NEVER_THERE = ("question", "recorded", "question_own", "change_options")
"""Pages of what this resident does not have."""
MOST: dict[str, tuple[str, int]] = {
    "mijn": ("/mijn", 44),
    "mijn_controle": ("/mijn/controle", 85),
    "uitwisselingen": ("/mijn/uitwisselingen", 22),
    "uitwisseling": ("/mijn/uitwisselingen/{newest}", 90),
    "bewijs": ("/mijn/uitwisselingen/{newest}/bewijs", 90),
    "toestemmingen": ("/mijn/toestemmingen", 20),
    "toestemming": ("/mijn/toestemmingen/{choice}", 60),
    "kiezen": ("/mijn/toestemmingen/nieuw", 0),
    "kieshulp": ("/mijn/toestemmingen/nieuw/hulp", 0),
    "organisatiekaart": (f"/mijn/organisaties/{SUPPLIER}", 44),
    "pauze": ("/mijn/pauze", 20),
    "questions": ("/mijn/vragen", 42),
    "question_new": ("/mijn/vragen/nieuw", 22),
    "wishes": ("/mijn/contact", 20),
    "wishes_part": ("/mijn/contact/kanalen", 20),
    "change": ("/mijn/verandering", 0),
    "change_offer": ("/mijn/verandering/keuzes/vroegsignalering-energie", 20),
    "representatives": ("/mijn/machtigingen", 4),
    "representative_new": ("/mijn/machtigingen/nieuw", 0),
    "viewed": ("/mijn/ingezien", 4),
    "printout": ("/mijn/afdruk", 22),
    "download": ("/mijn/download", 40),
    "erasure": ("/mijn/wissen", 60),
}
"""For each page an address, and the statements that it may ask at most, whoever it is about."""
LISTS_ALL = ("/mijn/download?bewijzen=alle", "/mijn/wissen?tellen=ja")
"""Asked to, these count everything there is about somebody: how many files it makes, and what would be erased."""
PROVING = ("mijn_controle", "uitwisseling", "bewijs", "toestemming")
"""These also read the log around an entry: of each level at most 256 hashes, however long the record is."""
WORK, WORK_PROVING = 2_500, 9_000
"""Going through 10,000 rows takes more instructions than the first (units of longrecord.STEP)."""
VALUES = re.compile(r"CONSTANT ROW|VALUES CLAUSE")


@dataclass
class Reader:
    """Anna's browser, and what her pages cost the ledger."""

    client: TestClient
    cost: Cost
    newest: int
    choice: int

    def statements(self, template: str) -> int:
        """Ask for a page; nothing else is counted."""
        self.cost.clear()
        path = template.format(newest=self.newest, choice=self.choice)
        answer = self.client.get(f"/nl{path}")
        assert answer.status_code in (200, 303), (path, answer.status_code)
        assert answer.status_code == 200 or "hulp" in path, path
        return self.cost.statements


@pytest.fixture(scope="module", params=[FEW, MANY])
def reader(request, tmp_path_factory) -> Iterator[Reader]:
    with long_record(tmp_path_factory.mktemp("long"), request.param) as portal, counted(portal) as cost:
        events = portal.ledger.events()
        choice = next(index for index, event, _ in events if event.WhichOneof("body") == "consent_granted")
        client = viewer_client(portal)
        log_in(client)
        assert client.get("/nl/mijn").status_code == 200  # that she looks is recorded once
        yield Reader(client, cost, events[-1][0], choice)


def test_every_page_is_counted():
    assert set(MOST) | set(NEVER_THERE) == set(MINE)


@pytest.mark.parametrize("name", MOST)
def test_a_page_asks_no_more_of_a_long_record(reader, name):
    template, most = MOST[name]
    assert reader.statements(template) <= most
    assert reader.cost.work < (WORK_PROVING if name in PROVING else WORK)


@pytest.mark.parametrize("older", ["", "&voor={newest}"])
@pytest.mark.parametrize("who", [SUPPLIER, CITY, OTHER_CITY])
def test_choosing_among_exchanges_stays_cheap(reader, who, older):
    """Also when nothing is found: the page then says that it did not look through all of it."""
    assert reader.statements(f"/mijn/uitwisselingen?wie={who}{older}") <= 40
    assert reader.cost.work < WORK


def test_the_oldest_page_costs_no_more_than_the_newest(reader):
    """Pages go by index: what was skipped is not counted off first."""
    newest = reader.statements("/mijn/uitwisselingen")
    assert reader.statements(f"/mijn/uitwisselingen?voor={reader.choice + 12}") <= newest + 6
    assert reader.cost.work < WORK


def test_no_page_scans_a_table(reader):
    reader.cost.clear()
    for template, _ in MOST.values():
        reader.client.get(f"/nl{template.format(newest=reader.newest, choice=reader.choice)}")
    plans = reader.cost.plans()
    assert len(plans) >= 6
    scans = {
        sql: [step for step in steps if step.startswith("SCAN") and not VALUES.search(step)]
        for sql, steps in plans.items()
    }
    assert {sql: found for sql, found in scans.items() if found} == {}


def test_what_lists_everything_asks_by_the_hundred(reader):
    """These grow with the record, as they must; but not by a statement for each entry."""
    for path in LISTS_ALL:
        assert reader.statements(path) <= 75 + MANY // 200


def test_the_instrument_sees_a_scan(reader):
    with reader.cost.engine.connect() as connection:
        reader.cost.clear()
        connection.exec_driver_sql("SELECT count(*) FROM payload WHERE length(event) > 1000000").all()
    if reader.newest > MANY:
        assert reader.cost.work > WORK
    assert any(step.startswith("SCAN") for steps in reader.cost.plans().values() for step in steps)
