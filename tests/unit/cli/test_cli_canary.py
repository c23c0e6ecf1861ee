"""`regie canary` and `regie exchange unresolved`, as a person or a daily job meets them."""

import asyncio
import json
import stat
from contextlib import asynccontextmanager

import pysqlite3.dbapi2 as sqlite
import pytest
from typer.testing import CliRunner

from consent_ledger.clock import DAY_MS
from gateway.cli.app import app
from gateway.evaluator import rules
from gateway.server import serving
from gateway.town.participants import LAMPJE, TAX_OFFICE, VIEWER, ZONNEVEEN
from tests.support import people
from tests.support.canaries import ROLES
from tests.support.servers import make_home

PURPOSE, ITEM = "vroegsignalering-energie", "betalingsachterstand"
PERSONS = people.people(12)
CITY, SUPPLIER, PORTAL = ZONNEVEEN.oin, LAMPJE.oin, VIEWER.oin


@pytest.fixture
def home(tmp_path):
    return make_home(tmp_path / "home")


@pytest.fixture
def regie(home):
    async def run(*arguments, code=0):
        """Run a command in a thread, as it brings its own event loop."""
        runner = CliRunner(env={"REGIE_HOME": str(home.folder)})
        result = await asyncio.to_thread(runner.invoke, app, [str(part) for part in arguments])
        assert result.exit_code == code, result.output
        return result

    return run


@asynccontextmanager
async def flock(regie, home, tmp_path):
    async with serving(home, ROLES):
        made = await regie("canary", "setup", tmp_path / "cards", "--as", CITY, "--json")
        cards = json.loads(made.stdout)["cards"]
        for oin in (PORTAL, SUPPLIER):
            mine = [card["file"] for card in cards if oin == PORTAL or card["sender"] == oin]
            await regie("canary", "join", *mine, "--as", oin)
        choices = [(person, "JA") for person in PERSONS]
        chosen = people.choices(tmp_path / "choices.csv", choices, SUPPLIER, CITY, PURPOSE, ITEM)
        await regie("consent", "import", chosen)
        yield cards


def send_arguments(tmp_path):
    path = people.arrears(tmp_path / "arrears.csv", PERSONS)
    return ["send", path, "--purpose", PURPOSE, "--to", CITY, "--as", SUPPLIER, "--json"]


async def test_every_day_of_canaries(regie, home, tmp_path):
    async with flock(regie, home, tmp_path) as cards:
        assert {(card["sender"] == TAX_OFFICE.oin, card["purpose"]) for card in cards} == {
            (False, PURPOSE),
            (True, "regelingen-bij-inkomensdaling"),
        }
        assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "cards").iterdir()} == {0o600}
        sent = json.loads((await regie(*send_arguments(tmp_path))).stdout)
        assert (sent["rows"], sent["accepted"]) == (12, 12)
        received = (await regie("receive", "--as", CITY, "--json")).stdout.splitlines()
        assert len(received) == 12
        for oin, path in ((SUPPLIER, "signals"), (PORTAL, "choices"), (CITY, "rows")):
            checked = json.loads((await regie("canary", "check", "--as", oin, "--json")).stdout)
            assert (checked["alarm"], checked["ok"] > 0) == (0, True)
            assert path in {finding["path"] for finding in checked["findings"]}
        alone = await regie("canary", "send", "--purpose", PURPOSE, "--to", CITY, "--as", SUPPLIER, "--json")
        assert json.loads(alone.stdout)["answer"] == "accepted"
        again = await regie("canary", "setup", tmp_path / "cards", "--as", CITY, code=2)
        assert "File exists" in again.stderr


@pytest.mark.parametrize("role", ["ledger", "recipient"])
async def test_a_wrong_factor_ends_commands_with_code_1(regie, home, tmp_path, monkeypatch, role):
    async with flock(regie, home, tmp_path):
        right = rules.domains
        swapped = {"ledger": lambda found: (found[1], found[1]), "recipient": lambda found: (found[0], found[0])}[role]
        monkeypatch.setattr(rules, "domains", lambda header: swapped(right(header)))
        sent = await regie(*send_arguments(tmp_path), code=1 if role == "ledger" else 0)
        assert ("ALARM: a canary was answered geen_toestemming" in sent.stderr) == (role == "ledger")
        assert json.loads(sent.stdout)["rows"] == 12
        received = await regie("receive", "--as", CITY, "--json", code=1 if role == "recipient" else 0)
        assert ("another pseudonym than enrolled" in received.stderr) == (role == "recipient")
        alarmed = SUPPLIER if role == "ledger" else CITY
        checked = await regie("canary", "check", "--as", alarmed, code=1)
        assert "ALARM" in checked.stdout
        await regie("canary", "check", "--as", PORTAL)


async def test_the_operator_sees_days_that_fit_nobody(regie, home, tmp_path):
    async with flock(regie, home, tmp_path):
        await regie(*send_arguments(tmp_path))
        await regie("receive", "--as", CITY)
        shown = json.loads((await regie("exchange", "unresolved", "--json")).stdout)
        (row,) = shown["days"]
        assert (row["recipient"], row["delivered"], row["unresolved"], row["alarm"]) == (CITY, 13, None, False)
    database = sqlite.connect(home.operator("gateway").data / "gateway.db")
    with database:
        (delivered_ms,) = database.execute("SELECT delivered_ms FROM waiting").fetchone()
        today = delivered_ms // DAY_MS
        values = [(CITY, PURPOSE, today - 1, 0, b"", b""), (CITY, PURPOSE, today, 10, b"", b"")]
        database.executemany("INSERT INTO unresolved VALUES (?, ?, ?, ?, ?, ?)", values)
    database.close()
    shown = json.loads((await regie("exchange", "unresolved", "--json", code=1)).stdout)
    assert [(row["unresolved"], row["alarm"]) for row in shown["days"]] == [(10, True), (0, False)]
    await regie("exchange", "unresolved", "--share", "80")


async def test_what_is_no_card_is_named(regie, tmp_path):
    (tmp_path / "other.json").write_text("{}")
    home = make_home(tmp_path / "home2")
    async with serving(home, ROLES):
        result = await regie("canary", "join", tmp_path / "other.json", "--as", SUPPLIER, "--home", home.folder, code=2)
    assert "other.json is no card of canaries" in result.stderr
