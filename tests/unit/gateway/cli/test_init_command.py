import json

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.init import init
from gateway.home import Home

APP = typer.Typer()
APP.command()(init)


def run(*arguments):
    return CliRunner().invoke(APP, [str(argument) for argument in arguments])


def test_a_demo_home_has_a_town(tmp_path):
    result = run("--home", tmp_path / "home", "--demo", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["demo"] is True
    assert Home.open(tmp_path / "home").demo
    kinds = [participant["kind"] for participant in said["participants"]]
    assert (kinds.count("energy_supplier"), kinds.count("municipality"), len(kinds)) == (3, 2, 11)
    assert len(said["files"]) == len(list((tmp_path / "home" / "town").iterdir())) == 8


def test_without_demo_there_is_one_of_each(tmp_path):
    result = run("--home", tmp_path / "home")
    assert result.exit_code == 0, result.output
    assert "regie serve ledger" in result.stdout
    assert "serve all" not in result.stdout
    assert not Home.open(tmp_path / "home").demo
    assert not (tmp_path / "home" / "town").exists()


def test_agencies_from_a_file(tmp_path):
    listed = tmp_path / "agencies.csv"
    listed.write_text("oin,kind,name,population\n00000099000000000042,municipality,Gemeente Nergens,5000\n")
    result = run("--home", tmp_path / "home", "--participants", listed, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["participants"][5:] == [
        {"oin": "00000099000000000042", "kind": "municipality", "name": "Gemeente Nergens"}
    ]
    assert Home.open(tmp_path / "home").organisation("00000099000000000042").has("closing")


def test_a_bad_file_is_named_by_row_and_field_and_makes_nothing(tmp_path):
    listed = tmp_path / "agencies.csv"
    listed.write_text("oin,kind,name,population\n00000099000000000042,bank,Bank,\n")
    result = run("--home", tmp_path / "home", "--participants", listed, "--json")
    assert result.exit_code == 2
    error = json.loads(result.stdout)["error"]
    assert (error["reason"], error["field"], error["row"]) == ("FIELD_INVALID", "kind", 2)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_a_home_is_not_written_over(tmp_path, arguments):
    assert run("--home", tmp_path / "home").exit_code == 0
    before = (tmp_path / "home" / "regie.toml").read_text()
    result = run("--home", tmp_path / "home", *arguments)
    assert result.exit_code == 2
    assert "is a home already" in result.output
    assert (tmp_path / "home" / "regie.toml").read_text() == before


def test_demo_and_participants_do_not_go_together(tmp_path):
    result = run("--home", tmp_path / "home", "--demo", "--participants", tmp_path / "x.csv")
    assert result.exit_code == 2
    assert "--participants" in result.output
