"""Every page of the console in both languages, and every text id that its templates name."""

from __future__ import annotations

import re
from pathlib import Path

import gateway.auditor
from consent_ledger.viewer.catalogue import LANGUAGES, TEXTS, load_catalogue
from gateway.auditor.showing import menu

FOLDER = Path(gateway.auditor.__file__).parent
CSS = 25_000
"""Bytes of the viewer's style sheet and the console's own beside it, at most so much each."""


def test_both_languages_say_everything_with_the_same_values():
    words = load_catalogue(TEXTS, FOLDER / "texts")
    nl, en = (words[language] for language in LANGUAGES)
    assert set(nl.keys()) == set(en.keys())
    for key in sorted(nl.keys()):
        fields = [set(re.findall(r"{(\w+)}", nl.forms(key)[-1])), set(re.findall(r"{(\w+)}", en.forms(key)[-1]))]
        assert fields[0] == fields[1], key


def test_templates_name_texts_that_there_are():
    known = load_catalogue(TEXTS, FOLDER / "texts")["nl"]
    for path in (FOLDER / "templates").glob("*.html"):
        for key in re.findall(r'\bt[m]?\("([\w.]+)"[),]', path.read_text("utf-8")):
            assert key in known, (path.name, key)


def test_the_menu_has_an_order_and_names():
    found = menu()
    assert [item.order for item in found] == sorted({item.order for item in found})
    for words in load_catalogue(TEXTS, FOLDER / "texts").values():
        assert all(item.key in words for item in found)


def test_the_style_sheet_stays_small():
    assert (FOLDER / "static" / "audit.css").stat().st_size < CSS
