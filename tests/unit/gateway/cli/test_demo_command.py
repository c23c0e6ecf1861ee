"""The command around the story: what it prints, where the town is kept, and with which code it ends."""

import json
from collections import Counter
from contextlib import asynccontextmanager

import pytest
import typer
from typer.testing import CliRunner

import gateway.server
import gateway.town.play
from consent_ledger.errors import RegieError
from gateway.cli.demo import demo
from gateway.town.count import Count

APP = typer.Typer()
APP.command()(demo)


class Served:
    async def ready(self):
        pass


@pytest.fixture
def told(monkeypatch):
    """Replace servers and story; the test says how the story ends."""
    count = Count(
        answers=Counter(accepted=1),
        reasons=Counter(ALLOWED=1),
        delivered=1,
        receipts_verified=1,
        log_verified=True,
        log_witnessed=True,
        log_size=40,
    )

    @asynccontextmanager
    async def serving(home, roles, clock, settings):
        assert set(roles) == {"gateway", "pseudonyms", "ledger", "witness", "viewer", "auditor"}
        yield Served()

    async def play(home, town, clock, teller):
        if isinstance(told.ends, Exception):
            raise told.ends
        return count

    def told():
        return count

    told.ends = None
    monkeypatch.setattr(gateway.server, "serving", serving)
    monkeypatch.setattr(gateway.town.play, "play", play)
    return told


def run(*arguments):
    return CliRunner().invoke(APP, [str(argument) for argument in arguments])


def test_json_is_all_there_is(told):
    result = run("--exit", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["delivered"] == 1
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize("wrong", ["scenes_wrong", "log_verified", "receipts_verified", "delivered"])
def test_whatever_does_not_hold_ends_with_1(told, wrong):
    setattr(told(), wrong, {"scenes_wrong": 1, "log_verified": False, "receipts_verified": 0, "delivered": 2}[wrong])
    for arguments in ((), ("--json",)):
        result = run("--exit", *arguments)
        assert result.exit_code == 1
        assert result.stdout


def test_a_refusal_is_one_line(told):
    told.ends = RegieError("LEDGER_UNAVAILABLE", "the ledger does not answer")
    result = run("--exit", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["error"]["reason"] == "LEDGER_UNAVAILABLE"
    assert "Traceback" not in result.output


def test_the_town_is_kept_where_asked(told, tmp_path):
    assert run("--exit", "--home", tmp_path / "town").exit_code == 0
    assert (tmp_path / "town" / "town" / "choices.csv").is_file()
    again = run("--exit", "--home", tmp_path / "town")
    assert again.exit_code == 2
    assert "serve all" in again.output


def test_a_folder_with_other_things_is_left_alone(told, tmp_path):
    (tmp_path / "letter.txt").write_text("x")
    result = run("--exit", "--home", tmp_path)
    assert result.exit_code == 2
    assert "new or empty" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_without_a_home_nothing_is_left(told, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run("--exit").exit_code == 0
    assert list(tmp_path.iterdir()) == []
