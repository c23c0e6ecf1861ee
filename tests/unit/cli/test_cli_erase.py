"""`regie consent erase`: a look first, and only --yes erases."""

import json

import pytest
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.home import Home
from gateway.sdk.csvfile import ARREARS, CHOICES, RESIDENT
from tests.support.sdk import CITY, PURPOSE, SUPPLIER
from tests.support.servers import make_home
from tests.unit.cli.test_cli_commands import served, write

ROW = "{ref},1980-02-29,1234AB,1,,,2,ja,nee,2026-01-01,reminder"


@pytest.fixture
def home(tmp_path):
    return make_home(tmp_path / "home")


@pytest.fixture
def regie(home: Home, tmp_path):
    me = write(tmp_path / "me.csv", RESIDENT, "123456782,1980-02-29,1234AB,1,,")

    def run(*arguments, code=0):
        words = [str(word) for word in arguments]
        result = CliRunner(env={"REGIE_HOME": str(home.folder)}).invoke(app, [*words, "--json"])
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    run.me = me
    return run


def send(regie, tmp_path, reference):
    path = write(tmp_path / f"{reference}.csv", ARREARS, ROW.format(ref=reference))
    return regie("send", path, "--purpose", PURPOSE, "--to", CITY, "--as", SUPPLIER)


def test_a_resident_erases_and_begins_anew(home, regie, tmp_path):
    scope = ("--resident", regie.me, "--sender", SUPPLIER, "--recipient", CITY, "--purpose", PURPOSE)
    erase = ("consent", "erase", "--resident", regie.me)
    with served(home):
        assert regie(*erase) == {"dry_run": True, "entries": [], "kept": [], "waiting": 0}
        regie("consent", "grant", *scope, "--months", "6")
        regie("consent", "pause", "--resident", regie.me)  # one entry about every purpose and scheme
        regie("consent", "resume", "--resident", regie.me)
        assert send(regie, tmp_path, "A")["accepted"] == 1
        shown = regie(*erase)
        assert shown["dry_run"] is True
        kinds = [entry["kind"] for entry in shown["entries"]]
        assert kinds == ["consent_granted", "sharing_paused", "sharing_resumed", "exchange_decided"]
        assert shown["waiting"] == 1
        assert send(regie, tmp_path, "B")["accepted"] == 1  # nothing changed by looking

        one = regie(*erase, "--purpose", PURPOSE)
        assert [entry["kind"] for entry in one["kept"]] == ["sharing_paused", "sharing_resumed"]
        assert regie(*erase, "--purpose", "onbekend", code=2)["error"]["reason"] == "PURPOSE_UNKNOWN"

        done = regie(*erase, "--yes")
        assert (done["dry_run"], done["erased"], done["kept"]) == (False, 5, 0)
        assert done["log_indices"]
        assert done["announced_by"] > "20"
        assert regie(*erase)["entries"] == []
        assert regie(*erase, "--yes")["erased"] == 0
        listed = regie("consent", "list", "--resident", regie.me)
        assert (listed["choices"], listed["exchanges"]) == ([], [])
        assert send(regie, tmp_path, "C")["geen_toestemming"] == 1
        # The very same choice is a new one: the portal remembers none either.
        regie("consent", "grant", *scope, "--months", "6")
        assert send(regie, tmp_path, "D")["accepted"] == 1
        assert regie("receive", "--as", CITY, "--json") is not None
        ledger = home.operator("ledger").data / "ledger.db"
        assert regie("log", "verify", ledger)["erased"] == 5


def test_the_portal_remembers_no_choice_of_who_had_it_erased(home, regie, tmp_path):
    """Else the same file again would count as recorded, and nothing would stand at the ledger."""
    row = f"123456782,1980-02-29,1234AB,1,,,{SUPPLIER},{CITY},{PURPOSE},,JA,6"
    choices = write(tmp_path / "choices.csv", CHOICES, row)

    def imported():
        counts = regie("consent", "import", choices)
        return counts["recorded"], counts["unchanged"]

    with served(home):
        assert imported() == (1, 0)
        assert imported() == (0, 1)
        regie("consent", "erase", "--resident", regie.me)
        assert imported() == (0, 1)
        regie("consent", "erase", "--resident", regie.me, "--yes")
        assert imported() == (1, 0)


def test_people_read_what_goes_and_that_nothing_went(home, regie):
    scope = ("--resident", regie.me, "--sender", SUPPLIER, "--recipient", CITY, "--purpose", PURPOSE)

    def say(*words):
        arguments = ["consent", "erase", "--resident", str(regie.me), *words]
        return CliRunner(env={"REGIE_HOME": str(home.folder)}).invoke(app, arguments)

    with served(home):
        assert "holds nothing" in say().stdout
        regie("consent", "refuse", *scope)
        before = say().stdout
        assert "consent refused" in before
        assert "Nothing was changed" in before
        assert "1 entries erased" in say("--yes").stdout
        assert "holds nothing" in say("--yes").stdout
