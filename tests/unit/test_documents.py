"""What README and docs/ name exists: documents that cannot rot."""

import ast
import re
from pathlib import Path

import pytest
import typer

from gateway.cli.app import app
from gateway.sdk import csvfile

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("deploy/**/*.md")),
]


def existing_tests():
    names = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        names |= {n.name for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))}
    return names


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_named_tests_exist(path):
    named = set(re.findall(r"`(test_[a-z0-9_]+)`", path.read_text("utf-8")))
    assert named <= existing_tests()
    assert named or path != ROOT / "README.md"


def commands(group, *before):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *before, name)
        else:
            yield (*before, name)


def test_every_command_is_in_the_readme_and_every_command_of_the_readme_exists():
    existing = set(commands(typer.main.get_command(app)))
    groups = {command[0] for command in existing if len(command) > 1}
    named = set()
    for first, second in re.findall(r"\bregie ([a-z]+)(?: ([a-z]+))?", README):
        if first in groups:
            named.add((first, second))
        elif (first,) in existing:
            named.add((first,))
        else:
            raise AssertionError(f"README names regie {first}")
    assert named <= existing
    for command in existing:
        assert command in named or re.search(rf"\b{command[-1]}\b", README), (
            f"README says nothing of regie {' '.join(command)}"
        )


def test_the_columns_of_files_are_the_ones_that_are_read():
    for layout in (csvfile.RESIDENTS, csvfile.ARREARS, csvfile.INCOME, csvfile.CHOICES, csvfile.OUTCOMES):
        assert f"`{','.join(layout.columns)}`" in README


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_named_files_exist(path):
    named = re.findall(r"`((?:docs|proto|gateway|consent_ledger|deploy|tests)/[\w./-]*\w)`", path.read_text("utf-8"))
    for name in named:
        assert (ROOT / name).exists(), name
