"""The documents of operations: every command in them exists with these options, every file too, and sums are right."""

from __future__ import annotations

import re
import shlex

import pytest
import typer

from gateway.cli.app import app
from tests.support.deploying import FOLDER, SERVICES

REGIE = typer.main.get_command(app)
DOCS = FOLDER.parent / "docs"
OPERATIONS = (DOCS / "operations.md").read_text("utf-8")
SCALING = (DOCS / "scaling.md").read_text("utf-8")
COMMANDS = sorted(set(re.findall(r"^(regie [^#\n]+?)\s*(?:#.*)?$", OPERATIONS, re.MULTILINE)))
INLINE = sorted(set(re.findall(r"`(regie [a-z][^`\n]*)`", OPERATIONS + SCALING)))


def check(line: str) -> None:
    """Raise when `regie` has no such command, or the command no such option; words in capitals are free."""
    command, words = REGIE, shlex.split(line)[1:]
    while words and (found := getattr(command, "commands", {}).get(words[0])):
        command, words = found, words[1:]
    assert not hasattr(command, "commands"), f"{line}: no command {words[:1]}"
    options = {name: one for one in command.params for name in one.opts if name.startswith("-")}
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    while words:
        word = words.pop(0)
        if word.startswith("-"):
            assert word in options, f"{line}: no option {word}"
            if not options[word].is_flag and words:
                words.pop(0)
        else:
            assert arguments, f"{line}: takes no {word}"


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_that_is_shown_exists_with_its_options(line):
    check(line)


def test_commands_in_sentences_exist_too():
    shortened = {"regie log rotate-key"}
    assert shortened <= set(INLINE)
    for line in INLINE:
        check(line)


@pytest.mark.parametrize("line", ["regie ledger compact", "regie log verify --fast", "regie doctor more"])
def test_what_does_not_exist_is_noticed(line):
    with pytest.raises(AssertionError, match="no "):
        check(line)


def test_every_role_is_started_and_every_file_is_there():
    served = {line.split()[2] for line in COMMANDS if line.startswith("regie serve")}
    assert served == SERVICES - {"desk"}
    named = re.findall(r"`((?:deploy|docs|tests)/[\w./-]+)`", OPERATIONS + SCALING)
    assert named
    assert [name for name in named if not (FOLDER.parent / name).exists()] == []


def test_what_was_not_run_is_said():
    assert "**Not run**: containers" in OPERATIONS
    for path in ("container/Containerfile", "compose/compose.yaml", "kubernetes/overlays/demo/kustomization.yaml"):
        assert "Not run here" in (FOLDER / path).read_text("utf-8")
