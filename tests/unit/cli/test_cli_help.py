"""Help: every command explains itself, and asking for it costs nothing."""

import subprocess
import sys

import pytest
import typer.main
from typer.testing import CliRunner

from gateway.cli.app import app

HEAVY = ("grpc", "sqlmodel", "sqlalchemy", "google.protobuf", "cryptography", "rbcl", "pydantic", "rich.progress")


def commands(group=None, path=()):
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands())


def test_the_commands_of_the_architecture_are_there():
    assert {path[0] for path in COMMANDS} >= {
        "init",
        "serve",
        "send",
        "receive",
        "enrol",
        "consent",
        "log",
        "proof",
        "directory",
    }
    assert ("consent", "import") in COMMANDS


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_and_option_has_help(path):
    command = COMMANDS[path]
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", ""), f"{' '.join(path)}: {parameter.name}"
    assert CliRunner().invoke(app, [*path, "--help"]).exit_code == 0


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in COMMANDS
        if path[0] in {"send", "receive", "enrol", "consent", "proof", "log", "directory", "outcome"}
    ],
    ids=" ".join,
)
def test_every_command_shows_an_example(path):
    assert f"`regie {' '.join(path)}" in COMMANDS[path].help


def test_commands_load_nothing_heavy():
    code = f"import sys, gateway.cli.app; print([m for m in {HEAVY!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_version():
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout.startswith("regie ")
