"""`regie log fsck`, `regie audit replay`, `regie ledger rebuild`: what they say, and their exit codes."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from consent_ledger.clock import system_clock
from consent_ledger.log.keys import LogKeys
from consent_ledger.sequencer import open_ledger
from gateway.auditor.reports import open_report
from gateway.cli.app import app
from tests.support.ledger import SIGNER
from tests.support.lively import lively_ledger
from tests.support.servers import make_home, registry_of
from tests.support.tampering import delete, opened, rows_of, set_column

VKEY = SIGNER.verifier.format()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("home") / "home")


@pytest.fixture
def home(made, tmp_path):
    return shutil.copytree(made.folder, tmp_path / "home")


@pytest.fixture
def ledger(home, made):
    return home / made.operator("ledger").data.relative_to(made.folder) / "ledger.db"


@pytest.fixture(scope="module")
def lively(tmp_path_factory):
    return lively_ledger(tmp_path_factory.mktemp("lively") / "ledger.db", 120, seed=3, erasing=True)


@pytest.fixture
def regie(home):
    def run(*arguments, code=0):
        result = CliRunner(env={"REGIE_HOME": str(home)}).invoke(app, [str(part) for part in arguments])
        assert result.exit_code == code, (result.exit_code, result.stdout, result.stderr, result.exception)
        return result

    return run


def test_a_sound_home(regie, home):
    found = json.loads(regie("log", "fsck", "--json").stdout)
    assert (found["sound"], found["problems"], found["problem_count"]) == (True, [], 0)
    assert found["size"] == found["rows"]["public_event"] > 30
    assert "permit.opening" in found["not_checked"]
    assert "lawfully erased" in regie("log", "fsck", home).stdout
    replayed = json.loads(regie("audit", "replay", "--json").stdout)
    assert replayed["verified"] is True
    assert [replayed[name] for name in ("match", "mismatch", "erased", "unopenable")] == [0, 0, 0, 0]
    assert (replayed["size"], replayed["witnessed_size"]) == (found["size"], None)
    assert regie("ledger", "rebuild").stdout.startswith("nothing to do")


def test_a_replay_of_a_part_with_a_signed_report(regie, home, made, tmp_path):
    """Signed by the home's auditor, or by whoever is named; the report says which leaves were judged."""
    for more, signer in (
        ((), made.operators["auditor"]),
        (("--as", made.operators["ledger"]), made.operators["ledger"]),
    ):
        path = tmp_path / f"{signer}.json"
        regie("audit", "replay", "--from", "5", "--to", "30", "--report", path, *more)
        report, by, _ = open_report(path.read_text("utf-8"), registry_of(made))
        assert (by, report["from"], report["to"], report["verified"]) == (signer, 5, 30, True)
    regie("audit", "replay", "--report", tmp_path / "none" / "r.json", code=2)


def test_a_replay_counts_and_names(regie, lively, tmp_path):
    said = regie("audit", "replay", lively, "--vkey", VKEY).stdout
    assert "0 mismatch" in said
    assert "by what is left of residents of whom something is erased" in said
    found = json.loads(regie("audit", "replay", lively, "--vkey", VKEY, "--json").stdout)
    assert found["match"] == sum(kind.get("match", 0) for kind in found["by_kind"].values()) > 30
    assert found["erased"] == len(found["findings"]) > 10
    assert {"index", "kind", "verdict", "why", "erased_by"} <= set(found["findings"][0])
    assert found["entries_per_second"] > 100
    path = shutil.copy(lively, tmp_path / "lost.db")
    delete(path, "payload", rows_of(path, "payload")[0])
    broken = regie("audit", "replay", path, "--vkey", VKEY, "--json", code=1)
    assert (json.loads(broken.stdout)["verified"], json.loads(broken.stdout)["unopenable"] > 0) == (False, True)
    assert "unopenable: its payload is lost" in broken.stderr


def test_damage_is_named_and_mended(regie, ledger):
    row = rows_of(ledger, "public_event")[4]
    connection = opened(ledger)
    connection.execute("UPDATE head SET public_sequence = 2")
    connection.close()
    delete(ledger, "public_event", row)
    said = regie("log", "fsck", code=1)
    assert f"public_event {row['idx']}, row: expected a row: the leaf is public, got none" in said.stderr
    found = json.loads(regie("log", "fsck", "--json", code=1).stdout)
    assert found["problem_count"] == 2
    assert {(one["table"], one["key"], one["column"]) for one in found["problems"]} == {
        ("head", "1", "public_sequence"),
        ("public_event", str(row["idx"]), "row"),
    }
    rebuilt = json.loads(regie("ledger", "rebuild", "--json").stdout)
    assert (rebuilt["added"], rebuilt["changed"]) == ({"public_event": 1}, {"head": 1})
    assert (rebuilt["removed"], rebuilt["problem_count"]) == ({}, 0)
    regie("log", "fsck")


def test_what_no_log_tells_stays_broken(regie, lively, tmp_path):
    """The signatures in this ledger are no real ones, and answers are no projection: rebuilding says so."""
    path = shutil.copy(lively, tmp_path / "ledger.db")
    connection = opened(path)
    connection.execute("DELETE FROM subject")
    connection.close()
    said = regie("ledger", "rebuild", path, "--vkey", VKEY, code=1)
    assert "still do not check" in said.stderr
    assert "added: " in said.stdout


def test_a_log_that_does_not_check(regie, ledger):
    set_column(ledger, "leaf", rows_of(ledger, "leaf")[3], "hash", bytes(32))
    assert "leaf 3, hash: expected" in regie("log", "fsck", code=1).stderr
    assert "nothing to replay: leaf 3, hash" in regie("audit", "replay", code=1).stderr
    error = json.loads(regie("ledger", "rebuild", "--json", code=1).stdout)["error"]
    assert error["reason"] == "PROOF_INVALID"
    assert error["message"].startswith("nothing was written: the log does not check: leaf 3, hash")


@pytest.mark.parametrize("command", [("log", "fsck"), ("audit", "replay"), ("ledger", "rebuild")])
def test_wrong_calls(regie, tmp_path, lively, command):
    assert "there is no ledger at" in regie(*command, tmp_path / "none.db", code=2).stderr
    assert "is not a home of Regie" in regie(*command, tmp_path, code=2).stderr
    assert "begins with postgresql://" in regie(*command, "mysql://host/name", code=2).stderr
    unreachable = regie(*command, f"postgresql://nobody@/none?host={tmp_path}", "--json", code=3)
    assert json.loads(unreachable.stdout)["error"]["reason"] == "LEDGER_UNAVAILABLE"
    # The home's key is not that of this ledger.
    assert regie(*command, lively, code=1).stderr.startswith("regie: ")


def test_a_ledger_in_use_is_not_rebuilt(regie, made, ledger):
    keys = LogKeys.parse(made.operator("ledger").text_key("log"))
    with open_ledger(ledger, keys, system_clock):
        assert "has a writer already" in regie("ledger", "rebuild", code=3).stderr
        regie("log", "fsck")
        regie("audit", "replay")
