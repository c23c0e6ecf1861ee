"""checking/program.py: the program that browsers run knows everything that the ledger can write."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest

from consent_ledger import dates, texts
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.viewer.catalogue import load_catalogue
from consent_ledger.viewer.checking.program import (
    FOLDER,
    PAGE,
    PAGE_FILE,
    STANDALONE,
    STANDALONE_FILE,
    program,
    programs,
    words,
)
from consent_ledger.viewer.checking.tables import messages
from tests.support.checking import TRUST

CATALOGUE = load_catalogue()
TOP = re.compile(r"^(?:export )?(?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)
SOURCES = {name: (FOLDER / f"{name}.js").read_text("utf-8") for name in {*PAGE, *STANDALONE}}


@pytest.mark.parametrize("modules", [PAGE, STANDALONE])
def test_no_name_stands_twice(modules):
    """Else joining the modules would change what they mean."""
    names = [name for module in modules for name in TOP.findall(SOURCES[module])]
    assert len(names) > 40
    assert sorted({name for name in names if names.count(name) > 1}) == []


@pytest.mark.parametrize("modules", [PAGE, STANDALONE])
def test_modules_import_from_those_before_them_what_these_export(modules):
    for at, module in enumerate(modules):
        for names, source in re.findall(r'^import \{ ([^}]*) \} from "\./(\w+)\.js";', SOURCES[module], re.MULTILINE):
            assert source in modules[:at]
            exported = re.findall(r"^export (?:async )?(?:function|class|const) (\w+)", SOURCES[source], re.MULTILINE)
            assert set(names.split(", ")) <= set(exported), (module, source)
    joined = program(modules, TRUST, CATALOGUE)
    assert not re.search(r"^(import|export) ", joined, re.MULTILINE)


def test_every_module_is_in_a_program_and_small():
    assert {path.stem for path in FOLDER.glob("*.js")} == set(SOURCES)
    assert all(len(source.splitlines()) <= 250 for source in SOURCES.values())
    # Nothing is loaded, nothing is made from text, and nothing is sent but what get() asks of this server.
    for source in SOURCES.values():
        assert not re.search(
            r"\beval\b|new Function|innerHTML|outerHTML|insertAdjacentHTML|XMLHttpRequest|sendBeacon", source
        )
    assert sum(source.count("fetch(") for source in SOURCES.values()) == SOURCES["page"].count("fetch(") == 1


@pytest.mark.parametrize("language", ["nl", "en"])
def test_every_kind_of_event_has_a_name(language):
    said = words(CATALOGUE)[language]
    kinds = [field.name for field in pb.Event.DESCRIPTOR.oneofs_by_name["body"].fields]
    assert [kind for kind in kinds if f"kind.{kind}" not in said] == []


def test_every_text_that_the_program_says_exists():
    known = set(words(CATALOGUE)["nl"])
    for source in SOURCES.values():
        used = set(re.findall(r'words(?:\.(\w+)|\["([\w.]+)"\])', source))
        assert {first or second for first, second in used} - known - {"nl", "en"} == set()
    reasons = set(re.findall(r'new NotYet\("([\w-]+)"\)', "".join(SOURCES.values())))
    assert len(reasons) >= 6
    assert {f"why.{reason}" for reason in reasons} <= known
    steps = set(re.findall(r'take\("(\w+)"', "".join(SOURCES.values())))
    assert {f"step.{step}.ok" for step in steps} - known == {"step.file.ok"}  # that it is a file is not said


def test_every_sentence_is_the_ledgers():
    """The templates of the program, filled in, against texts.py."""
    at = 1_772_539_200_000
    for language, said in words(CATALOGUE).items():
        day = (dates.day_nl if language == "nl" else dates.day_en)(at)
        for reason in pb.Reason.values():
            if reason:
                expected = getattr(texts.sentence(reason, at, "Lampje"), language)
                assert said[f"reason.{reason}"].replace("{date}", day).replace("{asker}", "Lampje") == expected
        assert said[f"reason.{pb.REASON_PAUSED}.open"] == getattr(texts.sentence(pb.REASON_PAUSED, 0, ""), language)
        held = getattr(texts.withheld(pb.REASON_WITHDRAWN, at, "Lampje"), language)
        why = said[f"reason.{pb.REASON_WITHDRAWN}"].replace("{date}", day).removeprefix(said["blocked"])
        assert said["withheld"].replace("{why}", why) == held
        assert said["waiting"].replace("{date}", day) == getattr(texts.waiting(at), language)


def test_the_tables_hold_every_field_that_an_event_can_have():
    tables = messages()
    assert {field.name for field in pb.Event.DESCRIPTOR.fields} == {each["name"] for each in tables["Event"].values()}
    assert tables["PrivatePart"][4] == {"name": "decided_by", "type": "uint", "repeated": True, "packed": True}
    assert tables["ConsentGranted"][2] == {"name": "items", "type": "string", "repeated": True}
    assert tables["Leaf"][2]["type"] == "PublicEvent"
    assert {each["type"] for table in tables.values() for each in table.values()} - set(tables) == {
        *("uint", "bool", "enum", "string", "bytes")
    }


def test_the_file_to_keep_asks_nobody_anything():
    """Its own policy allows its one script and its one style, and nothing else at all."""
    page = programs(TRUST, CATALOGUE)[STANDALONE_FILE].decode()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    (script,) = re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (script, style)]
    assert policy == f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'"
    assert "//" not in re.sub(
        r"^\s*//.*$|https?://\S*|[\w.+/=]{40,}", "", re.sub(r"//.*$", "", script, flags=re.MULTILINE)
    )
    assert "src=" not in page
    assert "href=" not in page


def test_the_same_at_every_start():
    """Whoever compares its SHA-256 with somebody else's compares the same file."""
    assert programs(TRUST, load_catalogue()) == programs(TRUST, load_catalogue())
    data = re.match(r"const PROGRAM = (.*);\n", programs(TRUST, CATALOGUE)[PAGE_FILE].decode())
    assert data
    assert json.loads(data[1])["trust"]["quorum"]["needed"] == 2
