"""The catalogues: complete in both languages, the same values in both, and used ids exist."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

from consent_ledger.viewer.catalogue import LANGUAGES, TEXTS, TextError, Words, load_catalogue
from consent_ledger.viewer.rendering import TEMPLATES

HEADER = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n\n'


@pytest.fixture(scope="module")
def words() -> dict[str, Words]:
    return dict(load_catalogue())


def test_both_languages_have_every_text(words: dict[str, Words]):
    assert set(words["nl"].keys()) == set(words["en"].keys())
    assert len(set(words["nl"].keys())) > 50


def test_both_languages_fill_in_the_same_values(words: dict[str, Words]):
    different = [key for key in sorted(words["nl"].keys()) if _fields(words["nl"], key) != _fields(words["en"], key)]
    assert different == []


def _fields(words: Words, key: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(words.forms(key)[-1]) if name is not None}


def test_templates_use_only_texts_that_exist(words: dict[str, Words]):
    used = {
        (path.name, key)
        for path in TEMPLATES.rglob("*.html")
        for key in re.findall(r"""\btm?\("([a-z0-9_]+\.[a-z0-9_]+)"[,)]""", path.read_text("utf-8"))
    }
    assert len(used) > 50
    assert sorted((name, key) for name, key in used if key not in words["nl"]) == []


def test_each_module_has_a_catalogue_in_each_language():
    names = [{path.name for path in (TEXTS / language).glob("*.po")} for language in LANGUAGES]
    assert names[0] == names[1]


def test_values_are_filled_in_and_numbers_choose_their_form(words: dict[str, Words]):
    assert words["nl"].text("layout.errors", n=1) == "Er is iets niet ingevuld of niet duidelijk"
    assert words["nl"].text("layout.errors", n=1234) == "Er zijn 1.234 dingen niet ingevuld of niet duidelijk"
    assert words["en"].text("layout.errors", n=2) == "2 things are missing or not clear"
    with pytest.raises(KeyError):
        words["nl"].text("layout.no_such_text")


def test_values_in_markup_are_escaped(words: dict[str, Words]):
    made = words["nl"].markup("how.shared_link", href='"><script>')
    assert "<script>" not in made
    assert '<a href="&#34;&gt;&lt;script&gt;">' in made


def test_days_and_lists(words: dict[str, Words]):
    at = 1_774_747_800_000  # 2026-03-29 01:30 UTC: summer time began half an hour ago
    assert (words["nl"].moment(at), words["en"].moment(at)) == ("29 maart 2026 om 03:30", "29 March 2026 at 03:30")
    assert words["nl"].listed(["a", "b", "c"]) == "a, b en c"
    assert words["en"].listed(["a", "b"]) == "a and b"
    assert (words["nl"].listed(["a"]), words["nl"].listed([])) == ("a", "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('msgid "other.a"\nmsgstr "A"\n', "must begin with page."),
        ('msgid "page.a"\nmsgstr ""\n', "has no text"),
        ('msgid "page.a"\nmsgid_plural "page.a"\nmsgstr[0] "A"\nmsgstr[1] ""\n', "has no text"),
        ('msgid "page.a"\nmsgstr "A"\n\nmsgid "page.a"\nmsgstr "A"\n', "occurs twice"),
    ],
)
def test_a_catalogue_that_cannot_be_used_is_refused(tmp_path: Path, text: str, why: str):
    for language in LANGUAGES:
        (tmp_path / language).mkdir()
        (tmp_path / language / "page.po").write_text(HEADER + text, "utf-8")
    with pytest.raises(TextError, match=re.escape(why)):
        load_catalogue(tmp_path)
